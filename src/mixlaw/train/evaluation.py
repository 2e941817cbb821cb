"""Validation losses: the sum in nats and the count of supervised tokens, never an average of averages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.core.run import TargetLoss
from mixlaw.core.seeds import generator
from mixlaw.data.rows import TokenRows
from mixlaw.train.packing import PackedBatch, collate
from mixlaw.train.settings import TrainSettings

if TYPE_CHECKING:
    from mixlaw.train.causal_lm import CausalLM


@dataclass(frozen=True)
class ValidationSet:
    """One target's batches, prepared once for all runs.

    Attributes:
        batches: conversations of similar length, one a row.
        bytes: UTF-8 bytes of the supervised text.
    """

    batches: tuple[PackedBatch, ...]
    bytes: int

    @staticmethod
    def of(name: str, rows: TokenRows, settings: TrainSettings) -> ValidationSet:
        """Return the validation set of a target, capped at `eval_rows` rows chosen by the target's name.

        Raises:
            DataError: there is no supervised token to predict.
        """
        count, chosen = len(rows.row_tokens), evaluated_rows(name, rows, settings)
        by_length = chosen[np.lexsort((chosen, -np.asarray(rows.row_tokens)[chosen]))]
        size = settings.per_device_eval_batch_size
        batches = []
        for first in range(0, len(by_length), size):
            pairs = []
            for row in by_length[first : first + size]:
                start, end = int(rows.offsets[row]), int(rows.offsets[row + 1])
                pairs.append([(rows.ids[start:end], rows.supervised[start:end])])
            batch = collate(pairs)
            if len(batch.labels_S):
                batches.append(batch)
        if not batches:
            raise DataError(
                f"The validation set '{name}' has {count} rows, but no supervised token to evaluate.",
                "Hold out more rows, or check the domain's assistant turns.",
            )
        return ValidationSet(tuple(batches), int(rows.supervised_bytes[chosen].sum()))

    def evaluate(self, lm: CausalLM) -> TargetLoss:
        """Return the loss of the model as it stands (in evaluation mode), accumulated in float64."""
        sums = [float(lm.token_nats(batch).double().sum()) for batch in self.batches]
        return TargetLoss(math.fsum(sums), sum(len(batch.labels_S) for batch in self.batches), self.bytes)


def evaluated_rows(name: str, rows: TokenRows, settings: TrainSettings) -> np.ndarray:
    """Return which rows of a target are evaluated: all, or `eval_rows` of them chosen by the target's name."""
    count = len(rows.row_tokens)
    if settings.eval_rows is None or settings.eval_rows >= count:
        return np.arange(count)
    # A prefix of one permutation: a larger cap evaluates a superset.
    return generator("evaluation", name).permutation(count)[: settings.eval_rows]
