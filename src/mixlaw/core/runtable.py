"""The run table: tokens of every domain in, losses of every target out, one row per run.

Shape letters: R runs, K domains, J targets.

CSV, JSON or Parquet with columns `run`, `seed`, `tokens:<domain>`, `loss:<target>` and, optionally, `count:<target>`,
`unique:<domain>`, `params`, `checkpoint_of`, `fidelity`, `study`, `metric:<name>` and its standard error
`error:<name>`. Any program can write it, with further columns of its own (`mixlaw.core.column_names`). An empty loss
cell means "not measured"; a run of zero tokens is the base model as it was, before any training. Rows with one and the
same `checkpoint_of` are checkpoints along one training run.
`fidelity` says what a row is: `true` (or empty), a run that was trained; `point`, a checkpoint whose training was
brought to an end as that of a run is; or `merged`, models of one domain each averaged by the row's shares of tokens and
only evaluated. Losses of rows with another `study` may lie higher or lower by one shift, which a fit finds
(`mixlaw.fit.studies`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.column_names import PREFIXES, unknown
from mixlaw.core.csv_cells import csv_cell, csv_columns
from mixlaw.core.errors import DataError
from mixlaw.core.fidelity import MERGED, POINT, labels
from mixlaw.core.files import write_text
from mixlaw.core.frames import frame
from mixlaw.core.notebook import Tabular, shares, text_table
from mixlaw.core.record_columns import of_records
from mixlaw.core.run import RunRecord
from mixlaw.core.table_checks import cell_number, check_columns, check_rows
from mixlaw.core.table_columns import columns_of
from mixlaw.core.tokens import format_tokens

_SHOWN = 6
"""Columns of the user's own that are named; the others are counted."""


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
        errors: name of a metric -> (R,) standard errors, such as those of a mean over rows; NaN where not known.
        checkpoint_of: R names of the training runs that rows are checkpoints of; empty if every row is a run of its
            own.
        fidelity: R times `true`, `point` or `merged`; empty where all rows are `true`.
        study: R names of the studies that rows belong to; empty where all are of one.
        shifts: study -> target -> `mean` and `sd`, nats, of what has been taken off its losses, so that they are those
            of the first study. Not in files.
        worth_RJ: how much a loss weighs against that of a run, 0 to 1; None where all weigh the same. Not in files.
        merged_RJ: what a merged model's loss was before it was calibrated, NaN for runs; None without. Not in files.
        unused: columns of the source that no fit reads, such as notes. Not in files.
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
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    checkpoint_of: tuple[str, ...] = ()
    fidelity: tuple[str, ...] = ()
    study: tuple[str, ...] = ()
    shifts: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    worth_RJ: np.ndarray | None = None
    merged_RJ: np.ndarray | None = None
    unused: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"<RunTable: {self._title}>"

    def __str__(self) -> str:
        return text_table(*self.table(), self.notes)

    def _drawn(self) -> tuple[Any, ...]:
        title, columns, rows = self.table()
        mixtures = [shares(dict(zip(self.domains, row.tolist(), strict=True))) for row in self.tokens_RK]
        return title, [*columns, "mixture"], [[*r, m] for r, m in zip(rows, mixtures, strict=True)], self.notes

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be said of the table: which columns of its source no fit reads."""
        more = f" and {len(self.unused) - _SHOWN} more" if len(self.unused) > _SHOWN else ""
        return (f"Columns that no fit reads: {', '.join(self.unused[:_SHOWN])}{more}.",) if self.unused else ()

    @property
    def _title(self) -> str:
        low, high = (format_tokens(float(x)) for x in (self.totals_R.min(), self.totals_R.max()))
        return f"{self.counted} of {low} to {high} tokens; domains {', '.join(self.domains)}"

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

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies, in the order in which they appear; empty where all rows are of one."""
        return tuple(dict.fromkeys(self.study))

    @property
    def counted(self) -> str:
        """How many runs there are, and points along them: `13 runs` or `13 runs with 20 points along them`."""
        along = int(self.point_R.sum())
        return f"{len(self) - along} runs" + (f" with {along} points along them" if along else "")

    @property
    def point_R(self) -> np.ndarray:
        """Which rows are points along runs, short of their ends."""
        return np.array([kind == POINT for kind in self.fidelity] or [False] * len(self), bool)

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
            {name: values[index] for name, values in self.errors.items()},
            tuple(self.checkpoint_of[i] for i in index) if self.checkpoint_of else (),
            tuple(self.fidelity[i] for i in index) if self.fidelity else (),
            tuple(self.study[i] for i in index) if self.study else (),
            self.shifts,
            pick(self.worth_RJ),
            pick(self.merged_RJ),
            self.unused,
        )

    @staticmethod
    def from_records(records: Iterable[RunRecord], domains: Sequence[str], targets: Sequence[str]) -> RunTable:
        """Return the table of completed runs, in the order given, then of the points along them.

        A target that a run lacks is not measured.
        """
        return RunTable(domains=tuple(domains), targets=tuple(targets), **of_records(records, domains, targets))

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
            if self.study:
                row["study"] = self.study[r]
            row |= {f"metric:{name}": values[r] for name, values in self.metrics.items()}
            rows.append(row | {f"error:{name}": values[r] for name, values in self.errors.items()})
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
        columns: Any, source: str = "run table", place: Callable[[int], str] | None = None, *, losses: bool = True
    ) -> RunTable:
        """Return the table from named columns of strings or numbers (a DataFrame's too).

        Args:
            columns: column name -> R values, or a data frame. Columns of other names are the user's own and are listed
                in `unused`, except those that are known ones by another name.
            source: the origin, for messages.
            place: row index -> how a message names that row.
            losses: whether it must have losses or metrics; without them it says what is to be predicted.

        Raises:
            DataError: no rows, no token or loss columns, a column by another name than its own, a duplicate run, or a
                malformed value.
        """
        columns, place = columns_of(columns, source), place or (lambda i: f"row {i + 1}")
        names = {prefix: [c.split(":", 1)[1] for c in columns if c.startswith(prefix + ":")] for prefix in PREFIXES}
        check_columns(columns, names, source, losses)
        count = len(next(iter(columns.values())))
        if count == 0:
            raise DataError(f"{source} has a header and no runs.", "Add one row per run.")

        def numbers(column: str, lower: float, rule: str, empty: bool = False) -> np.ndarray:
            return np.array(
                [cell_number(v, lower, rule, empty, source, place(i), column) for i, v in enumerate(columns[column])]
            )

        def block(prefix: str, over: list[str], rule: str, empty: bool) -> np.ndarray | None:
            # Read before it is known whether all are there: a malformed value is an error even in a block left out.
            given = [numbers(c, 0, rule, empty) for name in over if (c := f"{prefix}:{name}") in columns]
            return np.column_stack(given) if given and len(given) == len(over) else None

        runs = [str(v) for v in columns.get("run", [f"run-{i}" for i in range(count)])]
        tokens_RK = block("tokens", names["tokens"], "a token count is a number >= 0", False)
        losses_RJ = block("loss", names["loss"], "a loss is a finite number of nats >= 0", True)
        counts_RJ = block("count", names["loss"], "a count is a number >= 0", False)
        assert tokens_RK is not None
        losses_RJ = np.zeros((count, 0)) if losses_RJ is None else losses_RJ
        check_rows(runs, tokens_RK, source, place if losses else None)
        return RunTable(
            tuple(runs),
            tuple(names["tokens"]),
            tuple(names["loss"]),
            tokens_RK,
            losses_RJ,
            tuple(str(v) for v in columns["seed"]) if "seed" in columns else (),
            counts_RJ,
            block("unique", names["tokens"], "a token count is a number >= 0", False),
            numbers("params", 1, "a model has at least one parameter") if "params" in columns else None,
            {m: numbers(f"metric:{m}", -math.inf, "a metric is a finite number", True) for m in names["metric"]},
            {m: numbers(f"error:{m}", 0, "a standard error is a number >= 0", True) for m in names["error"]},
            *labels(columns, runs, source, place),
            # How many tokens a loss was measured on is known of all targets or of none.
            unused=(*unknown(columns), *(() if counts_RJ is not None else (f"count:{t}" for t in names["count"]))),
        )
