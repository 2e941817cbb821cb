"""The conversations that a run trains on, their order, and what they count: the same for every trainer.

Samples and orders are nested: a larger run has the conversations of a smaller one, and any two conversations come in
the same order in all runs of a seed. This cancels noise between runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.core.seeds import generator
from mixlaw.data.rows import TokenRows, sample_rows
from mixlaw.train.packing import pack
from mixlaw.train.settings import TrainSettings


@dataclass(frozen=True)
class Sample:
    """The conversations of a run: row `rows[d][n]` of domain d is the n-th of its nested sample."""

    rows: Mapping[str, np.ndarray]
    tokens: Mapping[str, int]
    supervised_tokens: Mapping[str, int]
    unique_tokens: Mapping[str, int]

    def record(self, spec: RunSpec, losses: Mapping[str, TargetLoss], steps: int, parameters: int) -> RunRecord:
        """Return the record of a run that trained on these conversations."""
        return RunRecord(spec, self.tokens, self.supervised_tokens, self.unique_tokens, losses, steps, parameters)


def conversation(rows: TokenRows, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (ids, supervised) of one row."""
    start, end = int(rows.offsets[row]), int(rows.offsets[row + 1])
    return rows.ids[start:end], rows.supervised[start:end]


def draw_sample(spec: RunSpec, train_rows: Mapping[str, TokenRows], settings: TrainSettings) -> Sample:
    """Return the rows that the run trains on and count their tokens, over all epochs; none of an untrained run.

    Raises:
        DataError: the spec asks for tokens of a domain that has no rows, or rows are longer than `max_length`.
    """
    rows, tokens, supervised, unique = {}, {}, {}, {}
    epochs = settings.num_train_epochs
    for name, requested in sorted(spec.tokens.items()):
        if requested <= 0:
            continue
        domain = train_rows.get(name)
        if domain is None or not len(domain.row_tokens):
            raise DataError(
                f"Run '{spec.name}' asks for {requested} tokens of '{name}', which has no training rows.",
                "Add rows to that domain, or remove it.",
            )
        if (longest := int(domain.row_tokens.max())) > settings.max_length:
            raise DataError(
                f"'{name}' has a conversation of {longest} tokens; train.max_length is {settings.max_length}.",
                "Run the command again to prepare the data with this max_length.",
            )
        wanted = max(1, round(requested / epochs))
        chosen = sample_rows(domain, wanted, spec.seed, name, pool=spec.pools.get(name))
        rows[name] = chosen
        tokens[name] = epochs * int(domain.row_tokens[chosen].sum())
        supervised[name] = epochs * int(predicted_tokens(domain)[chosen].sum())
        unique[name] = int(domain.row_tokens[np.unique(chosen)].sum())
    if not rows and not spec.untrained:
        raise DataError(f"Run '{spec.name}' has no tokens of any domain.", "Plan runs with at least one token.")
    return Sample(rows, tokens, supervised, unique)


def training_order(spec: RunSpec, sample: Sample, epoch: int) -> list[tuple[str, int]]:
    """Return the conversations of one epoch in training order, as (domain, row).

    Each conversation's key is the n-th number of its domain's own stream.
    """
    entries = [
        (key, name, int(row))
        for name, chosen in sample.rows.items()
        for key, row in zip(
            generator("order", spec.seed, name, epoch).random(len(chosen)).tolist(), chosen, strict=True
        )
    ]
    return [entry[1:] for entry in sorted(entries, key=lambda entry: entry[:2])]


def pack_epoch(
    spec: RunSpec, sample: Sample, train_rows: Mapping[str, TokenRows], settings: TrainSettings, epoch: int
) -> list[list[tuple[str, int]]]:
    """Return the packed rows of one epoch in training order, each a list of (domain, row).

    A packed row takes the place of its longest conversation.
    """
    entries = training_order(spec, sample, epoch)
    if settings.packing:
        packed = pack([train_rows[name].row_tokens[row] for name, row in entries], settings.max_length)
    else:
        packed = [[i] for i in range(len(entries))]
    packed.sort(key=lambda row: row[0])
    return [[entries[i] for i in row] for row in packed]


def tokens_of(rows: Iterable[Iterable[tuple[str, int]]], train_rows: Mapping[str, TokenRows]) -> int:
    """Return the tokens of packed rows."""
    return sum(int(train_rows[domain].row_tokens[index]) for row in rows for domain, index in row)


def predicted_tokens(rows: TokenRows) -> np.ndarray:
    """Return the supervised tokens of each row, without a row's first token, which nothing predicts."""
    supervised = np.asarray(rows.supervised, np.int64).copy()
    starts = np.asarray(rows.offsets[:-1])
    supervised[starts[np.asarray(rows.row_tokens) > 0]] = 0
    return np.diff(np.concatenate([[0], np.cumsum(supervised)])[np.asarray(rows.offsets)])
