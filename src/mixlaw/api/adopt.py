"""`adopt`: results of planned runs that another program trained, from a table or a tracker, as records of the study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlaw.api.base_model import base_spec
from mixlaw.api.hub import is_published, published_runs
from mixlaw.api.project import Note, Project
from mixlaw.core.column_names import meant
from mixlaw.core.documents import as_read
from mixlaw.core.errors import DataError, StudyError
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.core.table_columns import columns_of
from mixlaw.core.table_files import file_columns
from mixlaw.study.status import RunStatuses
from mixlaw.trackers.run_lists import fetch_runs, is_run_list


@dataclass(frozen=True)
class _Row:
    """One row of the table, and how messages name it."""

    values: Mapping[str, Any]
    place: str


def adopt(
    config: str | Path | Project,
    table: str | Path | Mapping[str, Sequence[Any]],
    *,
    run_column: str = "run",
    losses: Mapping[str, str] | None = None,
    note: Note | None = None,
) -> RunStatuses:
    """Read the results of planned runs, and return the states of all runs. If one row is wrong, none is used.

    The run `base-model` may be among them: the losses of the model as it is, before any training. A run that is already
    done is not changed. A row without any loss is a run that is not finished yet.

    Args:
        config: a mix.yaml or its project.
        table: a file as of a run table, columns (a DataFrame, a dict, or a list with a dict per run), a published study
            (`hf:USER/NAME`), or a tracker's run list:
            `wandb:ENTITY/PROJECT`, `mlflow:EXPERIMENT@URI` (see `mixlaw.trackers.run_lists`). Runs of a list that are
            not planned or not finished are skipped.
        run_column: the column with the planned runs' names.
        losses: domain -> column with its validation loss, nats per supervised token; by default `loss:<domain>`. A
            column `count:<domain>` has the number of tokens it was measured on (default: those held out),
            `tokens:<domain>` how many were trained on (default: those planned), `unique:<domain>` how many of them
            were distinct, and `params` the model's parameters.
        note: called with a sentence about each step.

    Raises:
        DataError: no such table, run list or column, a run that is not planned or appears twice, or a malformed value.
        MissingExtra: the tracker's package is not installed.
        StudyError: another process is training one of the runs.
        ConfigError, DesignError: see the parts.
    """
    project = Project.open(config, note)
    columns = {domain: (losses or {}).get(domain, f"loss:{domain}") for domain in project.config.domains}
    if unknown := sorted(set(losses or {}) - set(columns)):
        raise DataError(f"There is no domain '{unknown[0]}'.", f"Known: {', '.join(columns)}.")
    rows, source = _rows(table, project)
    for column in (run_column, *columns.values()):
        if column not in rows[0].values:
            has = ", ".join(map(repr, list(rows[0].values)[:12]))
            raise DataError(
                f"{source} has no column '{column}'; it has {has}.",
                "Give the names of the columns with --run-column and --loss.",
            )
    if not (isinstance(table, str) and is_run_list(table)):
        _require_read(rows, set(columns.values()), source)
    specs, base = project.design[0], base_spec(project.config, project.trainer_config)
    planned = {spec.name: spec for spec in (*specs, base)}
    if isinstance(table, str) and is_run_list(table):
        rows = _planned(rows, run_column, planned, source, project.note)
    records: dict[str, RunRecord] = {}
    for row in rows:
        name = str(row.values[run_column])
        if name not in planned:
            raise DataError(
                f"{source}, {row.place}: the run '{name}' is not planned.", f"Planned: {', '.join(list(planned)[:8])}."
            )
        if name in records:
            raise DataError(f"{source}, {row.place}: the run '{name}' appears twice.", "Delete or rename one of them.")
        if any(str(_cell(row, column)) for column in columns.values()):
            records[name] = _record(project, planned[name], row, columns, source)
    project.write_inputs()
    if base.name in records or project.study.record(base) is not None:
        specs = [*specs, base]
    project.study.save_plan(specs)
    taken = [_take(project, record, source) for record in records.values()]
    project.note(f"{sum(taken)} runs adopted; {len(taken) - sum(taken)} were already done.")
    return RunStatuses(project.study.status(specs))


def _rows(table: str | Path | Mapping[str, Sequence[Any]], project: Project) -> tuple[list[_Row], str]:
    columns: Mapping[str, Sequence[Any]]
    if isinstance(table, str) and is_run_list(table):
        return _listed(table, project), table
    if is_published(table):
        table = published_runs(str(table))
    if isinstance(table, (str, Path)):
        (columns, lines), source = file_columns(table), str(table)
    else:
        columns, lines, source = columns_of(table, "The table"), None, "The table"
    count = len(next(iter(columns.values()))) if columns else 0
    if count == 0:
        raise DataError(f"{source} has no rows.", "Add one row per run.")
    return [
        _Row({name: cells[i] for name, cells in columns.items()}, f"line {lines[i]}" if lines else f"row {i + 1}")
        for i in range(count)
    ], source


def _require_read(rows: list[_Row], losses: set[str], source: str) -> None:
    """Raise DataError for a column such as `tok:code`, which would be left out and is one that is read."""
    cells = {name: [row.values.get(name) for row in rows] for name in rows[0].values}
    for column, right in meant(cells).items():
        if ":" in column and column not in losses:
            raise DataError(
                f"{source} has a column '{column}', which adopt does not read.",
                f"Name it '{right}', or give it a name without a colon if it means something else.",
            )


def _planned(rows: list[_Row], run_column: str, planned: Iterable[str], source: str, note: Note) -> list[_Row]:
    """Return the rows of planned runs: a project holds others, where a table was made for the purpose."""
    kept = [row for row in rows if str(row.values[run_column]) in planned]
    if not kept:
        has = ", ".join(repr(str(row.values[run_column])) for row in rows[:8])
        raise DataError(
            f"None of the {len(rows)} finished runs of {source} is in the plan; their names are {has}.",
            f"Planned: {', '.join(list(planned)[:8])}. Rename the runs, or give the column that has these names "
            "with --run-column.",
        )
    if len(kept) < len(rows):
        note(f"{len(rows) - len(kept)} runs of {source} are not in the plan and were skipped.")
    return kept


def _listed(source: str, project: Project) -> list[_Row]:
    """Return the rows of a tracker's run list that may be planned runs."""
    found = fetch_runs(source)
    if found.unfinished:
        project.note(f"{found.unfinished} runs of {source} are not finished and were skipped.")
    return [
        _Row({name: cells[i] for name, cells in found.columns.items()}, f"run {place}")
        for i, place in enumerate(found.places)
    ]


def _cell(row: _Row, column: str) -> Any:
    value = row.values.get(column)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _number(row: _Row, column: str, default: float | None, rule: str, source: str) -> float:
    value = _cell(row, column)
    if value == "" and default is not None:
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise DataError(
            f"{source}, {row.place}, column '{column}': {value!r}; {rule}.", "Correct the value, or delete that row."
        )
    return number


def _record(project: Project, spec: RunSpec, row: _Row, columns: Mapping[str, str], source: str) -> RunRecord:
    losses = {}
    for domain, column in columns.items():
        held_out = project.prepared[domain].validation.supervised_tokens
        loss = _number(row, column, None, "a loss is a finite number of nats >= 0", source)
        count = int(_number(row, f"count:{domain}", held_out, "a count is a number >= 1", source))
        if count < 1:
            raise DataError(f"{source}, {row.place}: count:{domain} is {count}; it must be at least 1.", "Correct it.")
        losses[domain] = TargetLoss(loss * count, count)
    tokens = {
        domain: int(_number(row, f"tokens:{domain}", planned, "a token count is a number >= 0", source))
        for domain, planned in spec.tokens.items()
    }
    there = {**project.available_tokens, **spec.pools}
    distinct = {domain: min(count, there.get(domain, count)) for domain, count in tokens.items()}
    rule = "a count of distinct tokens is a number >= 0"
    unique = {domain: int(_number(row, f"unique:{domain}", n, rule, source)) for domain, n in distinct.items()}
    parameters = int(_number(row, "params", 0, "a number of parameters is >= 0", source))
    record = RunRecord(spec, tokens, {}, unique, losses, 0, parameters)
    try:
        return as_read("record", record.to_json(), RunRecord.from_json)
    except DataError as error:
        raise DataError(f"{source}, {row.place}: {error.message}", "Correct the value, or delete that row.") from None


def _take(project: Project, record: RunRecord, source: str) -> bool:
    """Write a record; return False where the run is done already."""
    study, spec = project.study, record.spec
    if study.record(spec) is not None:
        return False
    study.clear_failures([spec], everything=True)
    lease = study.claim(spec)
    if lease is None:
        if study.record(spec) is not None:
            return False
        raise StudyError(f"Another process is training '{spec.name}'.", "Stop it, or delete that row.")
    try:
        study.complete(spec, record, {"adopted_from": source})
    finally:
        lease.release()
    return True
