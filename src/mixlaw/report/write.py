"""`write_report`: the report's three files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlaw.core.documents import write_document
from mixlaw.core.errors import DataError
from mixlaw.core.files import json_ready, write_text
from mixlaw.core.runtable import RunTable
from mixlaw.fit.result import Fit
from mixlaw.report.answer import answer, facts
from mixlaw.report.budgets import solution_path
from mixlaw.report.document import build_document
from mixlaw.report.downstream import downstream_markdown
from mixlaw.report.explorer import explorer_data
from mixlaw.report.health import health_checks
from mixlaw.report.logs import Log
from mixlaw.report.markdown import render_markdown
from mixlaw.report.matrix import transfer_matrix
from mixlaw.report.page import render_page
from mixlaw.report.pictures import write_pictures
from mixlaw.report.sections import build_sections
from mixlaw.solve.solution import Solution


def write_report(
    out_dir: str | Path,
    *,
    runs: RunTable,
    fit: Fit,
    solution: Solution | None,
    title: str,
    study: Mapping[str, Any] | None = None,
    path: Sequence[Solution] | None = None,
    logs: Mapping[str, Log] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Path]:
    """Write report.html, report.md with its figures in figures/, and report.json; each file atomically.

    Args:
        out_dir: folder, made where it is missing.
        runs: the runs, with at least the fit's domains and targets; merged models are left out, and runs that the fit
            has not seen are marked.
        fit: the fitted law.
        solution: the weights to explain; None for a report on the fit alone.
        title: heading of the report.
        study: what the study says of itself, all optional: `model`; `wall_s`, seconds from start to end, or
            `train_wall_s`, summed over the runs; `runs_failed`, or `failed`, their names; `config`, as in mix.yaml;
            `available_tokens`; `commands`, the lines that make it again; `versions`, `inputs` and `hashes`, name ->
            text. Other texts and numbers are listed as they are; everything is kept in report.json.
        path: solutions of the same fit at other budgets, for the chart over the budget; None to solve them under the
            bounds of the study's `config`.
        logs: run -> (step, training loss) pairs, where a training log is known.
        notes: sentences to say beside the answer.

    Returns:
        `html`, `md`, `json` -> the file.

    Raises:
        MissingExtra: Jinja or Matplotlib is not installed.
        DataError: the runs lack a domain or target of the fit.
    """
    runs = runs.take(~runs.merged_R)
    _require(runs, fit)
    study = json_ready(study) if study else None
    if path is None and solution:
        path = solution_path(fit, solution, study or {})
    path = list(path or ())
    checks = health_checks(fit, runs, solution, study)
    sentence, beside = answer(fit, solution)
    beside = [*notes, *beside, *runs.notes]
    few = facts(fit, runs, solution, study)
    matrix = transfer_matrix(fit, solution, study) if solution else None
    explorer = explorer_data(fit, runs, solution, path, study)
    sections = build_sections(fit, runs, solution, checks, study, path, explorer=explorer, matrix=matrix, logs=logs)
    document = build_document(title, fit, runs, solution, checks, study, path, notes=notes, matrix=matrix)
    page = render_page(
        title, sentence, beside, few, sections, checks, document, json_ready(explorer), list(fit.targets)
    )
    files = {kind: Path(out_dir) / f"report.{kind}" for kind in ("html", "md", "json")}
    pictures = write_pictures(Path(out_dir) / "figures", sections)
    write_document(files["json"], "report", document)
    text = render_markdown(title, sentence, beside, few, sections, solution, pictures) + downstream_markdown(study)
    write_text(files["md"], text)
    write_text(files["html"], page)
    return files


def _require(runs: RunTable, fit: Fit) -> None:
    for what, needed, there in (("domain", fit.domains, runs.domains), ("target", tuple(fit.targets), runs.targets)):
        if missing := [name for name in needed if name not in there]:
            raise DataError(
                f"The run table lacks the {what} {', '.join(map(repr, missing))} of the fit.",
                "Give the run table that was fitted.",
            )
    if stray := [name for name in runs.domains if name not in fit.domains]:
        raise DataError(
            f"The run table has the domain {', '.join(map(repr, stray))}, which the fit has not seen.",
            "Fit these runs again.",
        )
