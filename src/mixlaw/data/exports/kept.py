"""A domain without the rows that a tool would skip, so that a mixture of the others holds the wanted tokens again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.conversations import Conversation
from mixlaw.data.prepare import DomainTokens, conversations
from mixlaw.data.rows import TokenRows


@dataclass(frozen=True)
class KeptRows(TokenRows):
    """Some rows of a domain: their numbers and counts; `ids` and `supervised` are still those of all rows.

    Attributes:
        kept_supervised: (R,) supervised tokens of each.
    """

    kept_supervised: np.ndarray

    @cached_property
    def row_supervised(self) -> np.ndarray:
        """(R,) supervised tokens of each row."""
        return self.kept_supervised


def without_skipped(domain: Domain, prepared: DomainTokens, converts: Callable[[Conversation], object]) -> DomainTokens:
    """Return a domain without the training rows for which a conversion raises ValueError.

    Raises:
        DataError: none is left.
    """
    rows = prepared.train
    skipped = set()
    for row, conversation, _ in conversations(domain):
        try:
            converts(conversation)
        except ValueError:
            skipped.add(row.number)
    numbers = np.asarray(rows.source_rows)
    kept = np.flatnonzero(~np.isin(numbers, np.fromiter(skipped, np.int64, len(skipped))))
    if not len(kept):
        raise DataError(
            f"The tool would skip every row of '{domain.name}'.",
            "Export with --rows tokens, which it reads without skipping any.",
        )
    if len(kept) == len(rows):
        return prepared
    supervised = rows.row_supervised[kept]
    name = fingerprint([rows.fingerprint, hashlib.sha256(kept.astype("<i8").tobytes()).hexdigest()])
    fewer = KeptRows(
        rows.folder,
        rows.ids,
        rows.supervised,
        np.concatenate([[0], np.cumsum(rows.row_tokens[kept])]).astype(np.int64),
        numbers[kept],
        np.asarray(rows.supervised_bytes)[kept],
        {**rows.meta, "fingerprint": name, "supervised_tokens": int(supervised.sum())},
        supervised,
    )
    return replace(prepared, train=fewer)
