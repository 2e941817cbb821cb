"""The verb `export`: a configuration with which another trainer trains on the mixture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.api.mixture import Wanted, mix, wanted_mixture
from mixlaw.api.project import Note, Project
from mixlaw.core.documents import sealed
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.files import write_text
from mixlaw.data.exports import TOOLS, export_recipe
from mixlaw.data.exports.recipe import Recipe, Source, Training
from mixlaw.data.reading import source_files

FACTS = "export.json"


@dataclass(frozen=True)
class Export:
    """What was written for another trainer.

    Attributes:
        folder: where.
        recipe: the configuration.
        mixture: the folder of the training files; None by reference.
        facts: as in export.json.
    """

    folder: Path
    recipe: Recipe
    mixture: Path | None
    facts: dict[str, Any]


def export(
    config: str | Path | Project,
    to: str,
    *,
    by_reference: bool = False,
    budget_tokens: str | int | None = None,
    weights: Mapping[str, float] | None = None,
    file_format: str = "jsonl",
    shards: int | None = None,
    out: str | Path | None = None,
    note: Note | None = None,
) -> Export:
    """Write a trainer's configuration for the study's solution, or for given weights.

    Args:
        config: a mix.yaml or its project.
        to: `trl`, `axolotl`, `llamafactory`, `open-instruct` or `nemo`.
        by_reference: point at the domains' own sources, in the tool's unit, instead of at materialised files.
        budget_tokens: None for the configuration's; another one is solved for.
        weights: domain -> share, instead of the solution's.
        file_format: of the materialised files.
        shards: how many of them.
        out: the folder; None for exports/<tool>-<budget>-<hash8> in the study.
        note: called with a sentence about each step.

    Raises:
        ConfigError: no such tool, one that cannot express it, or wrong weights.
        StudyError: there is no solution, or the folder holds something else.
    """
    if to not in TOOLS:
        raise ConfigError(f"--to: there is no tool '{to}'.", f"Known: {', '.join(TOOLS)}.")
    project = Project.open(config, note)
    wanted = wanted_mixture(project, budget_tokens, weights)
    common = _common(project)
    mixture = None
    if by_reference:
        training = Training(**common, sources=_sources(project, wanted))
    else:
        manifest, mixture = mix(
            project,
            budget_tokens=wanted.mixture.budget_tokens,
            weights=wanted.mixture.weights if weights is not None else None,
            file_format=file_format,
            shards=shards,
        )
        rows = [file["rows"] for file in manifest["files"]]
        training = Training(
            **common,
            files=tuple(str((mixture / file["name"]).resolve()) for file in manifest["files"]),
            shares=tuple(n / sum(rows) for n in rows),
        )
    recipe = export_recipe(to, training)
    if by_reference and (dropped := {n: d.dropped for n, d in project.prepared.items() if d.dropped}):
        rows = ", ".join(f"{count} of '{name}'" for name, count in dropped.items())
        note_dropped = (
            f"The sources have rows whose answer starts after max_length ({rows}). They use up tokens, and the model "
            "learns nothing from them."
        )
        recipe = replace(recipe, notes=(*recipe.notes, note_dropped))
    kind = f"{to}-by-reference" if by_reference else to
    folder = Path(out) if out is not None else project.study.folder / "exports" / f"{kind}-{wanted.name}"
    facts = {
        "tool": to,
        "by_reference": by_reference,
        "budget_tokens": wanted.mixture.budget_tokens,
        "weights": dict(wanted.mixture.weights),
        "unit": recipe.unit,
        "drift": dict(recipe.drift),
        "command": recipe.command,
        "notes": list(recipe.notes),
        "mixture": str(mixture.resolve()) if mixture else None,
        "sources": [asdict(source) | {"wanted_rows": source.wanted_rows} for source in training.sources],
    }
    _write(folder, recipe, facts)
    return Export(folder, recipe, mixture, facts)


def _common(project: Project) -> dict[str, Any]:
    config = project.config
    return {
        "model": config.model.name_or_path,
        "revision": config.model.revision,
        "train": config.train.model_dump(),
        "seed": config.plan.seed,
        "attention": config.model.attn_implementation,
    }


def _sources(project: Project, wanted: Wanted) -> tuple[Source, ...]:
    found = []
    tokens = wanted.mixture.tokens
    for name, domain in project.domains.items():
        if tokens[name] == 0:
            continue
        prepared = project.prepared[name]
        # Tools read every row of the source: held-out ones, and those that mixlaw drops since their answer is cut off.
        cut_off = np.full(prepared.dropped, project.train_settings.max_length)
        row_tokens = np.concatenate([prepared.train.row_tokens, prepared.validation.row_tokens, cut_off])
        if domain.split_by is not None:
            raise ConfigError(
                f"--by-reference: '{name}' is the rows of {domain.path} with some values of '{domain.split_by}', and "
                "tools read every row of a source.",
                "Export without --by-reference: the mixture's files hold those rows alone.",
            )
        files = source_files(domain)
        found.append(
            Source(
                name,
                tuple(str(file.resolve()) for file in files or ()),
                {"path": domain.path, "subset": domain.subset, "split": domain.split, "revision": domain.revision}
                if files is None
                else {},
                prepared.format,
                dict(domain.columns),
                sum(source["rows"] for source in prepared.sources),
                float(row_tokens.mean()),
                float(row_tokens.std()),
                tokens[name],
            )
        )
    return tuple(found)


def _write(folder: Path, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write the files, unless others of the same names are there."""
    place = str(folder.resolve())
    texts = {name: text.replace("{folder}", place) for name, text in recipe.files.items()}
    texts[FACTS] = json.dumps(sealed("export", facts), indent=1, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise StudyError(
                f"{path} exists and differs; an export never replaces a file.", "Name another --out, or delete it."
            )
    try:
        for name, text in texts.items():
            write_text(folder / name, text)
    except OSError as error:
        raise StudyError(f"{folder} cannot be written: {error.strerror or error}.", "Name another --out.") from None
