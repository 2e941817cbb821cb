"""Verbs that write files for people and trainers: check, mix, report, and the example."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mixlaw.api.costs import spent_in
from mixlaw.api.data_health import checks_of, data_facts
from mixlaw.api.executor import require_extras
from mixlaw.api.facts import study_facts
from mixlaw.api.merged import trained
from mixlaw.api.next_run import next_run_of
from mixlaw.api.numbers import load_runs
from mixlaw.api.project import Note, Project
from mixlaw.api.reported import report_inputs, seal_report, written_report
from mixlaw.core.commands import command
from mixlaw.core.cost import Cost
from mixlaw.core.documents import read_document
from mixlaw.core.errors import ConfigError, DataError, FitError, SolveError, StudyError
from mixlaw.core.files import json_ready
from mixlaw.core.notebook import Tabular
from mixlaw.core.renamed import renamed
from mixlaw.core.tokens import format_tokens, parse_tokens
from mixlaw.fit import fit_law
from mixlaw.report.data_health import Overlap, failing
from mixlaw.report.verdicts import Check as HealthCheck
from mixlaw.solve import Solution, solve_mixture
from mixlaw.study.alone import alone

_SHOWN_KEYS = 6


@dataclass(frozen=True, repr=False)
class Check(Tabular):
    """What `check` found.

    Attributes:
        domains: name -> counts, as in domains.json.
        examples: name -> the first conversation as (text, whether it is supervised) parts.
        proxy_runs: how many runs the plan has.
        proxy_tokens: training tokens of all of them.
        budget_tokens: the target budget.
        notes: sentences about the plan.
        parameters: of the model; None if its files are not on this machine.
        checks: of the data, the failed ones first: PASS, WARN or FAIL with the remedy.
        overlap: which conversations domains have in common.
        likeness: name -> counts of near copies and phrases shared with validation (`mixlaw.data.near_copies`).
        cost: of the runs, evaluations included, as a share of the final run.
    """

    domains: dict[str, Any]
    examples: dict[str, list[tuple[str, bool]]]
    proxy_runs: int
    proxy_tokens: int
    budget_tokens: int
    notes: list[str]
    parameters: int | None = None
    checks: list[HealthCheck] = field(default_factory=list)
    overlap: Overlap | None = None
    likeness: dict[str, dict[str, int]] = field(default_factory=dict)
    cost: Cost | None = None

    def table(self) -> tuple[str, list[str], list[list[Any]], list[str]]:
        """Return title, columns, rows and notes, with one row per domain."""
        rows: list[list[Any]] = [
            [name, c["format"], c["train"]["rows"], format_tokens(c["train"]["tokens"]), c["validation"]["rows"]]
            for name, c in self.domains.items()
        ]
        title = f"{len(rows)} domains; {self.proxy_runs} proxy runs of {format_tokens(self.proxy_tokens)} tokens in all"
        said = [f"{c.status} {c.name}: {c.finding} {c.next_step}" for c in failing(self.checks)]
        return title, ["domain", "format", "rows", "tokens", "held out"], rows, [*said, *self.notes]


def check(config: str | Path, note: Note | None = None) -> Check:
    """Check mix.yaml and the data, count tokens, and estimate the cost of the plan. Trains nothing.

    Raises:
        ConfigError, DataError, DesignError: mix.yaml, the data or the plan has a problem; the message lists it.
    """
    from mixlaw.data.prepare import example
    from mixlaw.train.saving import another_end

    project = Project.open(config, note)
    require_extras(project)
    unused = project.left_out
    chat = project.tokenizer.loaded
    examples = {name: example(domain, chat) for name, domain in project.domains.items()}
    specs, notes = project.planned
    ends = another_end(chat, project.config.model.revision)
    notes = [*chat.warnings, *ends, *_not_carried(project), *([unused] if unused else []), *notes]
    data = data_facts(project, count=True)
    return Check(
        data["domains"],
        examples,
        len(trained(specs)),
        sum(spec.trained_tokens for spec in specs),
        project.config.budget_tokens,
        notes,
        project.prices.parameters,
        checks_of(data),
        Overlap.from_json(data["overlap"]),
        data["likeness"],
        project.prices.runs(specs),
    )


class ModelCheck(NamedTuple):
    """What `check_model` found.

    Attributes:
        conversations: kind of conversation -> `ok`, or why rows of that kind are refused.
        stops: the tokens that end an answer, at which a trained model stops.
        warnings: what is wrong with the model for training, as sentences.
    """

    conversations: dict[str, str]
    stops: tuple[str, ...]
    warnings: list[str]


def check_model(name_or_path: str) -> ModelCheck:
    """Return what a model's chat template makes of each kind of conversation, and what is wrong with it for training.

    Args:
        name_or_path: the model's folder or Hugging Face id.

    Raises:
        DataError: no such model, or no usable tokenizer.
    """
    from mixlaw.data.chat import load_tokenizer
    from mixlaw.testing.templates import check_template, template_cases
    from mixlaw.train.saving import another_end

    chat = load_tokenizer(name_or_path)
    warnings = [*chat.warnings, *another_end(chat)]
    try:
        check_template(chat.tokenizer)
    except AssertionError as error:
        warnings.append(f"Something is wrong with this template: {error}.")
    return ModelCheck(template_cases(chat.tokenizer, name_or_path), chat.masks.frame.stops, warnings)


def _not_carried(project: Project) -> list[str]:
    """Return a sentence for every domain whose rows have columns, or keys of turns, that mixlaw does not carry."""
    found = []
    for name, tokens in project.prepared.items():
        if tokens.unused:
            keys = sorted(tokens.unused.items(), key=lambda item: (-item[1], item[0]))
            shown = ", ".join(f"{key} ({count:,})" for key, count in keys[:_SHOWN_KEYS])
            more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
            found.append(f"{name}: not used for training: {shown}{more}.")
    return found


@renamed(budget_tokens="budget")
def report(
    source: str | Path | Project,
    out: str | Path | None = None,
    budget: float | str | None = None,
    *,
    law: Any = "auto",
    procedure: str = "joint",
) -> dict[str, Path]:
    """Write report.html, report.md with its figures, and report.json, and return their paths.

    Args:
        source: a mix.yaml, its study folder, or a run table.
        out: the folder; None for report/ in the study, or beside a run table.
        budget: 20e6 or "20M"; None for the study's, or for the total of a run table's largest run.
        law: of a run table: `auto`, or a law by name, class or instance (see `mixlaw.laws.find`).
        procedure: of a run table: `joint`, `own_curve` or `published`.

    Raises:
        ConfigError: a law or a procedure was given for a study, which already has a fit.
        DataError: no such source, or no finished runs.
        StudyError: there is no solution yet, or its runs had another model, other settings or other data.
        FitError: no law can be fitted to the runs.
    """
    project = source if isinstance(source, Project) else _project_of(Path(source))
    total = None if budget is None else parse_tokens(budget, "the budget")
    if project is None:
        return _report_on_table(Path(str(source)), out, total, law, procedure)
    if (law, procedure) != ("auto", "joint"):
        raise ConfigError(
            f"{source} is a study, and its report shows the study's fit; a law or a procedure is for run tables.",
            f"Set `fit: {{law: ..., procedure: ...}}` in mix.yaml and run `{command('run', project.file)}`.",
        )
    with alone(project.study, project.note):
        return _report_on_study(project, Path(out) if out else project.study.folder / "report", total)


def _report_on_study(project: Project, out: Path, budget: int | None) -> dict[str, Path]:
    """Write the report on a study's fit and solution."""
    from mixlaw.report import write_report

    runs, folder = project.run_table(), project.study.folder
    if not (folder / "solution.json").exists():
        raise StudyError(f"{folder} has no solution yet.", f"Run `{command('run', project.file)}` first.")
    project.require_unchanged()
    fitted, solution = project.fit, read_document(folder / "solution.json", "solution", Solution.from_json)
    if budget is not None and budget != solution.budget_tokens:
        solution = project.solve(fitted, budget)
    facts, logs = json_ready(_facts(project) | _links(project, out)), project.study.training_logs()
    inputs = report_inputs(runs, fitted, [solution.to_json(), project.study.name, facts, logs])
    if (there := written_report(out, inputs)) is not None:
        return there
    facts |= next_run_of(fitted, solution, project)
    files = write_report(
        out, runs=runs, fit=fitted, solution=solution, title=project.study.name, study=facts, logs=logs
    )
    seal_report(files, inputs)
    return files


def _report_on_table(
    path: Path, out: str | Path | None, budget: int | None, law: Any, procedure: str
) -> dict[str, Path]:
    """Write the report on a bare run table: fitted and solved here, without bounds."""
    from mixlaw.report import write_report
    from mixlaw.report.page import require_jinja

    require_jinja()  # before minutes go into a fit
    runs = load_runs(path)
    notes: list[str] = []
    fitted, solution = fit_law(runs, law, procedure), None
    if budget is not None:
        solution = solve_mixture(fitted, budget)
    else:
        largest = max(1, round(float(runs.totals_R.max())))
        try:
            solution = solve_mixture(fitted, largest)
            notes.append(
                f"No budget was given: the weights are for {format_tokens(largest)} tokens, the total of the largest "
                "run. Give your own with --budget 20M."
            )
        except (FitError, SolveError) as error:
            notes.append(f"No weights could be found at {format_tokens(largest)} tokens: {error}")
    return write_report(
        Path(out) if out else path.parent / f"{path.stem}-report",
        runs=runs,
        fit=fitted,
        solution=solution,
        title=path.stem,
        study=next_run_of(fitted, solution) or None if solution else None,
        notes=notes,
    )


def _facts(project: Project) -> dict[str, Any]:
    from mixlaw.api.evaluate import study_agreement

    found = study_agreement(project.study)
    cost = spent_in(project.study)
    facts = study_facts(project) | ({"cost": cost.to_json()} if cost else {})
    return facts | ({"downstream": found} if found["models"] else {})


def _links(project: Project, out: Path) -> dict[str, Any]:
    """Return the folder of every run, as an address that is relative to the report."""
    study = project.study
    folders = {record.spec.name: study.run_folder(record.spec) for record in study.records()}
    there = {name: quote(os.path.relpath(folder, out)) + "/" for name, folder in folders.items()}
    return {"run_folders": there}


def _project_of(path: Path) -> Project | None:
    if path.suffix.lower() in (".yaml", ".yml"):
        return Project.open(path)
    if path.is_dir():
        from mixlaw.config import parse_config

        resolved = path / "config.resolved.json"
        if not resolved.is_file():
            raise DataError(f"{path} is not a study folder.", "Give a study folder, a mix.yaml or a run table.")
        trainer = (read_document(resolved, "config").get("train") or {}).get("trainer", "")
        if ":" in trainer:
            raise ConfigError(
                f"{path} was trained by {trainer}; mixlaw runs your code only if you name it yourself.",
                "Give the study's mix.yaml, which names it.",
            )
        # A study that was moved or copied is where it is now, whatever it was told when it began.
        return Project(parse_config({**read_document(resolved, "config"), "study": str(path.resolve())}, str(resolved)))
    return None


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
            f"{differing[0]} exists and differs from the example.",
            "Use --force to replace it, or --out for another folder.",
        )
    for target, source in targets.items():
        if not target.exists() or (target in differing and (force or target.suffix != ".yaml")):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return out / "mix.yaml"
