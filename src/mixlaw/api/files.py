"""Verbs that write files for people and trainers: init, check, mix, report, demo."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixlaw.api.numbers import load_runs
from mixlaw.api.project import Note, Project, stored_parameters, study_facts
from mixlaw.core.errors import ConfigError, DataError, StudyError
from mixlaw.core.files import read_json, write_text
from mixlaw.fit import Fit, fit_law
from mixlaw.solve import Solution


@dataclass(frozen=True)
class Check:
    """What `check` found.

    Attributes:
        domains: name -> counts, as in domains.json.
        examples: name -> the first conversation as (text, whether it is supervised) parts.
        proxy_runs: how many runs the plan has.
        proxy_tokens: training tokens of all of them.
        budget_tokens: the target budget.
        notes: sentences about the plan.
        parameters: of the model; None where its files are not at hand.
    """

    domains: dict[str, Any]
    examples: dict[str, list[tuple[str, bool]]]
    proxy_runs: int
    proxy_tokens: int
    budget_tokens: int
    notes: list[str]
    parameters: int | None = None

    @property
    def proxy_flop(self) -> float | None:
        """Floating-point operations of all proxy runs, 6 per parameter and token."""
        return None if self.parameters is None else 6.0 * self.parameters * self.proxy_tokens


def check(config: str | Path, note: Note | None = None) -> Check:
    """Validate everything, count the tokens, render a chat of each domain, and price the plan; trains nothing.

    Raises:
        ConfigError, DataError, DesignError: see the parts.
    """
    from mixlaw.data.prepare import example

    project = Project.open(config, note)
    examples = {name: example(domain, project.tokenizer) for name, domain in project.domains.items()}
    specs, notes = project.design
    return Check(
        {name: tokens.to_json() for name, tokens in project.prepared.items()},
        examples,
        len(specs),
        sum(sum(spec.tokens.values()) for spec in specs),
        project.config.budget_tokens,
        notes,
        stored_parameters(Path(project.config.model.name_or_path)),
    )


def report(source: str | Path | Project, out: str | Path | None = None) -> dict[str, Path]:
    """Write report.html, report.md and report.json, and return their paths.

    Args:
        source: a mix.yaml, its study folder, or a run table.
        out: the folder; None for report/ in the study, or beside a run table.

    Raises:
        DataError: no such source, or no finished runs.
        FitError: the runs carry no fit.
    """
    from mixlaw.report import write_report

    project = source if isinstance(source, Project) else _project_of(Path(source))
    if project is None:
        path = Path(str(source))
        runs = load_runs(path)
        folder = Path(out) if out else path.parent / f"{path.stem}-report"
        return write_report(folder, runs=runs, fit=fit_law(runs), solution=None, title=path.stem, study=None)
    runs = project.run_table()
    folder = project.study.folder
    if not (folder / "solution.json").exists():
        raise StudyError(f"{folder} has no solution yet.", "Run `mixlaw run` first.")
    fitted, solution = Fit.load(folder / "fit.json"), Solution.from_json(read_json(folder / "solution.json"))
    return write_report(
        Path(out) if out else folder / "report",
        runs=runs,
        fit=fitted,
        solution=solution,
        title=folder.parent.name if folder.name == "study" else folder.name,
        study=_facts(project),
    )


def _facts(project: Project) -> dict[str, Any]:
    from mixlaw.api.evaluate import study_agreement

    found = study_agreement(project.study)
    return study_facts(project) | ({"downstream": found} if found["models"] else {})


def _project_of(path: Path) -> Project | None:
    if path.suffix in (".yaml", ".yml"):
        return Project.open(path)
    if path.is_dir():
        from mixlaw.config import parse_config

        resolved = path / "config.resolved.json"
        if not resolved.is_file():
            raise DataError(f"{path} is no study folder.", "Name a study, a mix.yaml or a run table.")
        return Project(parse_config(read_json(resolved), str(resolved)))
    return None


def init(paths: list[str], out: str | Path = "mix.yaml", *, model: str | None = None, force: bool = False) -> Path:
    """Write a commented mix.yaml for data files; look at the first row of each to name its format.

    Args:
        paths: data files, folders or dataset ids; a domain is named after its file.
        out: where to write.
        model: base model; None for a placeholder that must be edited.
        force: whether an existing file is replaced.

    Raises:
        ConfigError: the file exists, or two paths give one name.
        DataError: a file is missing or malformed.
    """
    from mixlaw.core.domain import Domain
    from mixlaw.data.prepare import conversations

    out = Path(out)
    if out.exists() and not force:
        raise ConfigError(f"{out} exists.", "Say --force to replace it, or --out for another name.")
    lines: list[str] = []
    names: set[str] = set()
    for path in paths:
        name = Path(path).name.split(".")[0] or path
        if name in names:
            raise ConfigError(f"Two paths give the domain name '{name}'.", "Rename one, or edit mix.yaml by hand.")
        names.add(name)
        form = next((f for _, _, f in conversations(Domain(name, path))), None)
        if form is None:
            raise DataError(f"{path} has no rows.", "Add rows, or leave it out.")
        # Paths in a mix.yaml are relative to its folder.
        there = os.path.relpath(path, out.parent) if Path(path).exists() else path
        lines.append(f"  {_yaml_text(name)}: {{path: {_yaml_text(there)}}}  # {form}")
    write_text(out, _TEMPLATE.format(model=_yaml_text(model or "Qwen/Qwen2.5-0.5B"), domains="\n".join(lines)))
    return out


def _yaml_text(text: str) -> str:
    """Return a text as YAML: bare where that is read as the same text, quoted otherwise."""
    bare = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text) and yaml.safe_load(text) == text
    return text if bare else json.dumps(text, ensure_ascii=False)


def example_config(out: str | Path, *, force: bool = False, keep: bool = False) -> Path:
    """Copy the demo's mix.yaml with its data and model into a folder, and return the path of mix.yaml.

    Args:
        out: the folder; made where it is missing.
        force: whether files that differ from the example's are replaced.
        keep: whether a mix.yaml that differs is used as it is, and only the data and the model are replaced.

    Raises:
        ConfigError: the folder holds files of the same names that differ, and neither was asked for.
    """
    out, bundle = Path(out), Path(__file__).parents[1] / "demo"
    sources = [bundle / "mix.yaml", *(f for part in ("data", "tiny_base") for f in sorted((bundle / part).iterdir()))]
    targets = {out / source.relative_to(bundle): source for source in sources if source.is_file()}
    differing = [t for t, s in targets.items() if t.exists() and t.read_bytes() != s.read_bytes()]
    if differing and not (force or keep):
        raise ConfigError(
            f"{differing[0]} exists and differs from the example.", "Say --force to replace it, or --out elsewhere."
        )
    for target, source in targets.items():
        if not target.exists() or (target in differing and (force or target.suffix != ".yaml")):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return out / "mix.yaml"


_TEMPLATE = """\
# mixlaw: how much of each dataset goes into the fine-tuning. Check it with `mixlaw check`, do it with `mixlaw run`.

study: studies/mix                 # the folder of runs, fits, mixtures and reports; made when first needed

model:
  name_or_path: {model}   # a folder or a Hugging Face id; its tokenizer and chat template count the tokens
  # revision: <commit>             # pin it: the runs are cached by it

domains:                           # JSONL(.gz), Parquet, folders of them, or Hugging Face dataset ids
{domains}

validation: {{rows: 500}}            # held out of each domain by content; at most a fifth of it
budget_tokens: 20M                 # training tokens of the final run

plan:                              # the proxy runs
  design: auto                     # auto | perturbation | space_filling | grid | simplex_lattice | dirichlet
                                   # | d_optimal | g_optimal | sequential (batches until the decision is sure)
  # runs: 13                       # default 1 + 4 per domain; of sequential the most, default twice that
  # base_tokens: 500k              # tokens of each domain in the base run; default from budget and data
  # replicates: 2                  # repeats of the base run under other seeds, to measure the noise
  seed: 0

train:                             # Hugging Face's names
  learning_rate: 2.0e-5
  num_train_epochs: 1
  max_length: 2048
  per_device_train_batch_size: 4
  gradient_accumulation_steps: 4
  eval_rows: 200                   # validation rows per domain after each run

solve:
  objective: mean                  # or max (the worst target), or weighted with target_weight: {{<domain>: 1}}
  max_epochs: 4                    # passes over a domain at most
  # groups: ["code + math <= 0.5"] # and: min, max, no_worse: {{code: 2}} (percent), prior: natural with prior_strength
"""
