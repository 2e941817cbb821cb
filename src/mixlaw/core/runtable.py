"""The run table: tokens of every domain in, losses of every target out, one row per run.

Shape letters: R runs, K domains, J targets.

CSV or Parquet with columns `run`, `seed`, `tokens:<domain>`, `loss:<target>` and, optionally, `count:<target>`,
`unique:<domain>`, `params`, `checkpoint_of`, `fidelity` and `metric:<name>`. Any program can write it. An empty loss
cell means "not measured"; a run of zero tokens is the base model as it was, before any training. Rows with one and the
same `checkpoint_of` are checkpoints along one training run. `fidelity` says what a row is: `true` (or empty), a run
that was trained, or `merged`, models of one domain each averaged by the row's shares of tokens and only evaluated.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.csv_cells import csv_cell, csv_columns
from mixlaw.core.errors import DataError
from mixlaw.core.fidelity import MERGED, TRUE, fidelities, is_missing, run_of_each
from mixlaw.core.files import write_text
from mixlaw.core.frames import frame
from mixlaw.core.notebook import Tabular, shares
from mixlaw.core.run import RunRecord
from mixlaw.core.tokens import format_tokens

_PREFIXES = ("tokens", "loss", "count", "unique", "metric")
_NEAR = 0.75
"""Likeness (difflib's) from which a prefix is taken for a misspelt one: `token`, `losses`, `Loss`. No data."""

_MOST = 1e18
"""Of any number in a table. Beyond it squares and products overflow, and no token count or loss is that large."""


@dataclass(frozen=True, repr=False)
class RunTable(Tabular):
    """Finished training runs: the tokens of each domain and the measured losses, as arrays.

    Attributes:
        runs: names, R of them.
        domains: names, K of them.
        targets: names, J of them.
        tokens_RK: training tokens, >= 0.
        losses_RJ: mean nats per supervised token; NaN where a target was not measured.
        seeds: R labels; runs of the same mixture with different labels are replicates.
        counts_RJ: supervised tokens evaluated, or None.
        unique_RK: distinct training tokens, or None.
        params_R: model parameters, or None.
        metrics: name -> (R,) array; NaN where not measured.
        checkpoint_of: R names of the training runs that rows are checkpoints of; empty if every row is a run of its
            own.
        fidelity: R times `true` or `merged`; empty where all rows are runs that were trained.
        worth_RJ: how much a loss weighs against that of a run, 0 to 1; None where all weigh the same. Not in files.
        merged_RJ: what a merged model's loss was before it was calibrated, NaN for runs; None without. Not in files.
    """

    runs: tuple[str, ...]
    domains: tuple[str, ...]
    targets: tuple[str, ...]
    tokens_RK: np.ndarray
    losses_RJ: np.ndarray
    seeds: tuple[str, ...] = ()
    counts_RJ: np.ndarray | None = None
    unique_RK: np.ndarray | None = None
    params_R: np.ndarray | None = None
    metrics: Mapping[str, np.ndarray] = field(default_factory=dict)
    checkpoint_of: tuple[str, ...] = ()
    fidelity: tuple[str, ...] = ()
    worth_RJ: np.ndarray | None = None
    merged_RJ: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"<RunTable: {self._title}>"

    def _drawn(self) -> tuple[Any, ...]:
        title, columns, rows = self.table()
        mixtures = [shares(dict(zip(self.domains, row.tolist(), strict=True))) for row in self.tokens_RK]
        return title, [*columns, "mixture"], [[*r, m] for r, m in zip(rows, mixtures, strict=True)]

    @property
    def _title(self) -> str:
        low, high = (format_tokens(float(x)) for x in (self.totals_R.min(), self.totals_R.max()))
        return f"{len(self)} runs of {low} to {high} tokens; domains {', '.join(self.domains)}"

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Return title, columns and rows, with one row per run."""
        columns = ["run", *(f"tokens:{name}" for name in self.domains), *(f"loss:{name}" for name in self.targets)]
        rows = [
            [run, *(format_tokens(float(n)) for n in tokens), *map(float, losses)]
            for run, tokens, losses in zip(self.runs, self.tokens_RK, self.losses_RJ, strict=True)
        ]
        return self._title, columns, rows

    @property
    def totals_R(self) -> np.ndarray:
        """Training tokens of each run over all domains."""
        return self.tokens_RK.sum(axis=1)

    @property
    def merged_R(self) -> np.ndarray:
        """Which rows are merged models."""
        return np.array([kind == MERGED for kind in self.fidelity] or [False] * len(self), bool)

    def take(self, rows: Sequence[int] | np.ndarray) -> RunTable:
        """Return the table of the given rows (indices or a boolean mask), in that order."""
        index = np.arange(len(self))[np.asarray(rows)]

        def pick(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[index]

        return RunTable(
            tuple(self.runs[i] for i in index),
            self.domains,
            self.targets,
            self.tokens_RK[index],
            self.losses_RJ[index],
            tuple(self.seeds[i] for i in index) if self.seeds else (),
            pick(self.counts_RJ),
            pick(self.unique_RK),
            pick(self.params_R),
            {name: values[index] for name, values in self.metrics.items()},
            tuple(self.checkpoint_of[i] for i in index) if self.checkpoint_of else (),
            tuple(self.fidelity[i] for i in index) if self.fidelity else (),
            pick(self.worth_RJ),
            pick(self.merged_RJ),
        )

    @staticmethod
    def from_records(records: Iterable[RunRecord], domains: Sequence[str], targets: Sequence[str]) -> RunTable:
        """Return the table of completed runs, in the order given; a target that a run lacks is not measured."""
        records = list(records)
        missing = float("nan")
        return RunTable(
            tuple(record.spec.name for record in records),
            tuple(domains),
            tuple(targets),
            np.array([[r.tokens.get(d, 0) for d in domains] for r in records], float).reshape(-1, len(domains)),
            np.array(
                [[r.losses[t].loss_nats if t in r.losses else missing for t in targets] for r in records], float
            ).reshape(-1, len(targets)),
            tuple(str(record.spec.seed) for record in records),
            np.array([[r.losses[t].count if t in r.losses else 0 for t in targets] for r in records], float).reshape(
                -1, len(targets)
            ),
            np.array([[r.unique_tokens.get(d, 0) for d in domains] for r in records], float).reshape(-1, len(domains)),
            np.array([r.parameters for r in records], float),
            fidelity=tuple(MERGED if r.spec.merge is not None else TRUE for r in records)
            if any(r.spec.merge is not None for r in records)
            else (),
        )

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dict per run, with the columns of a run table."""
        rows = []
        for r, run in enumerate(self.runs):
            row: dict[str, Any] = {"run": run}
            if self.seeds:
                row["seed"] = self.seeds[r]
            for prefix, names, array in (
                ("tokens", self.domains, self.tokens_RK),
                ("loss", self.targets, self.losses_RJ),
                ("count", self.targets, self.counts_RJ),
                ("unique", self.domains, self.unique_RK),
            ):
                if array is not None:
                    row |= {f"{prefix}:{name}": array[r, i] for i, name in enumerate(names)}
            if self.params_R is not None:
                row["params"] = self.params_R[r]
            if self.checkpoint_of:
                row["checkpoint_of"] = self.checkpoint_of[r]
            if self.fidelity:
                row["fidelity"] = self.fidelity[r]
            rows.append(row | {f"metric:{name}": values[r] for name, values in self.metrics.items()})
        return rows

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, one row per run, with the columns of a run table; `load_runs` reads it again.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_rows(), "run")

    @property
    def tokens(self) -> dict[str, list[float]]:
        """Domain -> training tokens of each run."""
        return {name: self.tokens_RK[:, k].tolist() for k, name in enumerate(self.domains)}

    @property
    def losses(self) -> dict[str, list[float]]:
        """Target -> loss of each run, nats per supervised token; NaN where it was not measured."""
        return {name: self.losses_RJ[:, j].tolist() for j, name in enumerate(self.targets)}

    @property
    def total_tokens(self) -> list[float]:
        """Training tokens of each run over all domains."""
        return self.totals_R.tolist()

    def to_csv(self, path: str | Path) -> None:
        """Write the table as CSV; counts are whole numbers, losses have 17 significant digits."""
        rows = self.to_rows()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(rows[0] if rows else ["run"])
        for row in rows:
            writer.writerow([csv_cell(value) for value in row.values()])
        write_text(path, text.getvalue())

    @staticmethod
    def from_csv(path: str | Path) -> RunTable:
        """Read a CSV run table.

        Raises:
            DataError: the file is missing or empty, or a value is malformed; the message names row and column.
        """
        columns, lines = csv_columns(path)
        return RunTable.from_columns(columns, str(path), lambda i: f"line {lines[i]}")

    @staticmethod
    def from_columns(
        columns: Mapping[str, Sequence[Any]], source: str = "run table", place: Callable[[int], str] | None = None
    ) -> RunTable:
        """Return the table from named columns of strings or numbers (a DataFrame's too).

        Args:
            columns: column name -> R values; unknown columns are ignored.
            source: the origin, for messages.
            place: row index -> how a message names that row.

        Raises:
            DataError: no rows, no token or loss columns, a duplicate run, or a malformed value.
        """
        place = place or (lambda i: f"row {i + 1}")
        names = {prefix: [c.split(":", 1)[1] for c in columns if c.startswith(prefix + ":")] for prefix in _PREFIXES}
        _check_columns(columns, names, source)
        count = len(next(iter(columns.values())))
        if count == 0:
            raise DataError(f"{source} has a header and no runs.", "Add one row per run.")

        def numbers(column: str, lower: float, rule: str, empty: bool = False) -> np.ndarray:
            return np.array(
                [_number(v, lower, rule, empty, source, place(i), column) for i, v in enumerate(columns[column])]
            )

        def block(prefix: str, over: list[str], rule: str, empty: bool) -> np.ndarray | None:
            # Read before it is known whether all are there: a malformed value is an error even in a block left out.
            given = [numbers(c, 0, rule, empty) for name in over if (c := f"{prefix}:{name}") in columns]
            return np.column_stack(given) if given and len(given) == len(over) else None

        for prefix, over in (("count", "loss"), ("unique", "tokens")):
            if stray := set(names[prefix]) - set(names[over]):
                raise DataError(
                    f"{source} has the column '{prefix}:{min(stray)}' without '{over}:{min(stray)}'.",
                    "Rename or delete it.",
                )
        runs = [str(v) for v in columns.get("run", [f"run-{i}" for i in range(count)])]
        tokens_RK = block("tokens", names["tokens"], "a token count is a number >= 0", False)
        losses_RJ = block("loss", names["loss"], "a loss is a finite number of nats >= 0", True)
        assert tokens_RK is not None
        losses_RJ = np.zeros((count, 0)) if losses_RJ is None else losses_RJ
        _check_rows(runs, tokens_RK, source, place)
        return RunTable(
            tuple(runs),
            tuple(names["tokens"]),
            tuple(names["loss"]),
            tokens_RK,
            losses_RJ,
            tuple(str(v) for v in columns["seed"]) if "seed" in columns else (),
            block("count", names["loss"], "a count is a number >= 0", False) if names["count"] else None,
            block("unique", names["tokens"], "a token count is a number >= 0", False) if names["unique"] else None,
            numbers("params", 1, "a model has at least one parameter") if "params" in columns else None,
            {m: numbers(f"metric:{m}", -math.inf, "a metric is a finite number", True) for m in names["metric"]},
            run_of_each(runs, columns.get("checkpoint_of")),
            fidelities(columns.get("fidelity"), source, place),
        )


def _check_columns(columns: Mapping[str, Any], names: Mapping[str, list[str]], source: str) -> None:
    """Raise DataError for a column without a name or with a misspelt prefix, or where one is lacking."""
    if unnamed := next((f"{prefix}:" for prefix, found in names.items() if not all(map(str.strip, found))), ""):
        raise DataError(f"{source} has a column '{unnamed}' without a name after the colon.", "Name it.")
    for column in columns:
        prefix, colon, name = column.partition(":")
        near = difflib.get_close_matches(prefix.strip().lower(), _PREFIXES, n=1, cutoff=_NEAR)
        if colon and prefix not in _PREFIXES and near:
            raise DataError(
                f"{source} has a column '{column}', which no run table has.",
                f"Name it '{near[0]}:{name}', or give it a name without a colon if it means something else.",
            )
    if not names["tokens"] or not (names["loss"] or names["metric"]):
        lacking = "tokens:<domain>" if not names["tokens"] else "loss:<target>"
        raise DataError(
            f"{source} has no column '{lacking}'; it has {', '.join(map(repr, list(columns)[:8])) or 'none'}.",
            "A run table has run, tokens:<domain>, and loss:<target> or metric:<name> columns.",
        )


def _number(value: Any, lower: float, rule: str, empty: bool, source: str, place: str, column: str) -> float:
    if is_missing(value):
        if empty:
            return math.nan
        raise DataError(f"{source}, {place}, column '{column}': the cell is empty; {rule}.", "Fill it in.")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and lower <= number <= _MOST):
        raise DataError(
            f"{source}, {place}, column '{column}': {value!r}; {rule}.",
            "Correct the value, or delete that run from the table.",
        )
    return number


def _check_rows(runs: list[str], tokens_RK: np.ndarray, source: str, place: Callable[[int], str]) -> None:
    seen: dict[str, int] = {}
    for i, run in enumerate(runs):
        if run in seen:
            raise DataError(
                f"{source}, {place(i)}: the run '{run}' is already in {place(seen[run])}.",
                "Rename or delete one of them.",
            )
        seen[run] = i
    if not tokens_RK.any():
        raise DataError(
            f"{source}: no run has any tokens.",
            "Add runs that were trained; only the row of the base model may have zero tokens.",
        )
