"""The verb `export`: a configuration with which another trainer trains on the mixture."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from mixlaw.api.export_data import DATA, MAX_DROPPED, MODEL, Data, write_data
from mixlaw.api.export_sources import other_tokens, sources
from mixlaw.api.mixture import mix, wanted_mixture
from mixlaw.api.project import Note, Project
from mixlaw.core.checksums import FILES, checksums, damage
from mixlaw.core.documents import read_document, sealed
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.files import write_text
from mixlaw.core.renamed import renamed
from mixlaw.data.exports import TOOLS, export_recipe
from mixlaw.data.exports.own_data import link, settle
from mixlaw.data.exports.readme import readme
from mixlaw.data.exports.recipe import HELD_OUT, Recipe, Training

FACTS = "export.json"
README = "README.md"


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


@renamed(budget_tokens="budget")
def export(
    config: str | Path | Project,
    to: str,
    *,
    by_reference: bool = False,
    budget: str | int | None = None,
    weights: Mapping[str, float] | None = None,
    file_format: str = "jsonl",
    shards: int | None = None,
    rows: str = "auto",
    max_dropped: float = MAX_DROPPED,
    out: str | Path | None = None,
    note: Note | None = None,
) -> Export:
    """Write the configuration and data with which another trainer trains on the solution, or on given weights.

    The folder holds all that the tool needs, with relative paths: it can be moved. Where the tool cannot read the
    mixture's rows as they are, it gets rows of its own.

    Args:
        config: a mix.yaml or its project.
        to: `trl`, `axolotl`, `llamafactory`, `open-instruct` or `nemo`.
        by_reference: let the tool read the domains' original sources, instead of files that mixlaw wrote.
        budget: None for the configuration's; another one is solved for.
        weights: domain -> share, instead of the solution's.
        file_format: of the materialised files.
        shards: how many of them.
        rows: `conversations`, `tokens` (ids and labels, for trl, axolotl and llamafactory), or `auto`: conversations
            if the tool then learns from the same tokens as mixlaw, otherwise tokens.
        max_dropped: part of the rows that the tool may skip by its own rules. Others of the same domains take their
            place; above it the export is refused.
        out: the folder; None for exports/<tool>-<budget>-<hash8> in the study.
        note: called with a sentence about each step.

    Raises:
        ConfigError: no such tool, a tool that cannot be configured so, or wrong weights.
        DataError: the tool would lose a part of the rows, or skip too many of them.
        StudyError: there is no solution, or the folder holds something else, or an export that has changed since it
            was written.
    """
    if to not in TOOLS:
        raise ConfigError(f"--to: there is no tool '{to}'.", f"Known: {', '.join(TOOLS)}.")
    project = Project.open(config, note)
    wanted = wanted_mixture(project, budget, weights)
    kind = f"{to}-by-reference" if by_reference else to
    folder = Path(out) if out is not None else project.study.folder / "exports" / f"{kind}-{wanted.name}"
    _require_undamaged(folder)
    data = None
    if by_reference:
        training = Training(**_common(project), sources=sources(project, wanted, to, max_dropped))
    else:
        manifest, mixture = mix(
            project,
            budget=wanted.mixture.budget_tokens,
            weights=wanted.mixture.weights if weights is not None else None,
            file_format=file_format,
            shards=shards,
        )
        with _writing(folder):
            data = write_data(
                project, wanted, to, manifest, mixture, folder, rows=rows, max_dropped=max_dropped, shards=shards
            )
            training = _materialised(project, data, folder)
    recipe = export_recipe(to, training)
    more = data.notes if data is not None else [*_cut_off(project), *other_tokens(project, wanted, to)]
    warnings = [text for text in more if data is None or text != data.rows.why]
    warnings += [text for text in recipe.notes if text == HELD_OUT]
    recipe = replace(recipe, notes=(*more, *recipe.notes))
    facts = {
        "tool": to,
        "by_reference": by_reference,
        "budget_tokens": wanted.mixture.budget_tokens,
        "weights": dict(wanted.mixture.weights),
        "unit": recipe.unit,
        "drift": dict(recipe.drift),
        "command": recipe.command,
        "notes": list(recipe.notes),
        "warnings": warnings,
        "mixture": str(data.mixture.resolve()) if data else None,
        **(data.facts() if data else {}),
        "sources": [asdict(source) | {"wanted_rows": source.wanted_rows} for source in training.sources],
    }
    _write(folder, recipe, facts)
    return Export(folder, recipe, data.mixture if data else None, facts)


def _cut_off(project: Project) -> list[str]:
    """Return a sentence about the rows that mixlaw drops and that tools read in the sources; none without."""
    dropped = [f"{d.dropped} of '{name}'" for name, d in project.prepared.items() if d.dropped]
    said = (
        f"The sources have rows whose answer starts after max_length ({', '.join(dropped)}). They use up tokens, and "
    )
    return [f"{said}the model learns nothing from them."] if dropped else []


def _materialised(project: Project, data: Data, folder: Path) -> Training:
    """Return what is to be trained of data in an export's folder; a model's folder is put beside them."""
    total = sum(data.counts)
    training = Training(
        **_common(project),
        files=tuple(data.names),
        shares=tuple(count / total for count in data.counts),
        rows=data.rows,
    )
    model = Path(training.model).expanduser()
    if not model.is_dir():
        return training
    part = folder / f".{MODEL}.part"
    shutil.rmtree(part, ignore_errors=True)
    link([path for path in sorted(model.iterdir()) if path.is_file() and not path.name.startswith(".")], part)
    settle(part, folder / MODEL)
    return replace(training, model=f"./{MODEL}", revision=None)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say where what cannot be written was to go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder with --out."
        ) from None


def _common(project: Project) -> dict[str, Any]:
    config = project.config
    model = config.final_model or config.model
    return {
        "model": model.name_or_path,
        "revision": model.revision,
        "train": config.train.model_dump(),
        "seed": config.plan.seed,
        "attention": model.attn_implementation,
    }


def _require_undamaged(folder: Path) -> None:
    """Raise StudyError where an export is there that is not as it was written."""
    if not (folder / FACTS).exists():
        return
    if problem := damage(folder, read_document(folder / FACTS, "export").get(FILES)):
        raise StudyError(problem, "Delete that export, or choose another folder with --out.")


def _write(folder: Path, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write the files, unless others of the same names are there; export.json has the checksums of all of them.

    A model's folder has none: it is the user's, and its programs name a damaged file themselves.
    """
    told = readme(facts["tool"], recipe, facts["budget_tokens"], facts["weights"])
    texts = {**recipe.files, README: told}
    data = [p.relative_to(folder).as_posix() for p in sorted((folder / DATA).rglob("*")) if p.is_file()]
    digests = checksums(folder, data) | {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
    facts[FILES] = dict(sorted(digests.items()))
    texts[FACTS] = json.dumps(sealed("export", facts), indent=1, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_bytes() != text.encode():
            raise StudyError(
                f"{path} exists and differs; an export never replaces a file.",
                "Choose another folder with --out, or delete the file.",
            )
    with _writing(folder):
        for name, text in texts.items():
            write_text(folder / name, text)
