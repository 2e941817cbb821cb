"""Packing: several conversations in one fixed-length row, none of which sees another.

Best fit, longest first: each conversation goes into the row with the least room that still holds it. No
conversation is split, so every supervised token keeps its whole context; the price is the padding at the end of
some rows, which is computed and never counted. On chat data whose conversations are well below `max_length` the
rows are over 95 % full, where cutting the concatenated stream would be 100 % full and break one conversation a row.

Isolation comes from the positions alone: they restart at 0 with every conversation, and a causal language model
of `transformers` that is given restarting `position_ids`, no attention mask and no cache builds the
block-diagonal causal mask itself (eager, sdpa and flash attention alike).

Shape letters: B rows, T tokens of a row, S supervised tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PackedBatch:
    """Rows that one forward pass takes.

    Attributes:
        input_ids_BT: tokens, padded with 0.
        position_ids_BT: 0, 1, 2, ... from the start of each conversation; padding is a conversation of its own.
        predict_S: flat indices b * T + t whose output predicts a supervised token, the one at t + 1.
        labels_S: those tokens.
        tokens: real tokens, padding left out.
        lengths_C: tokens of each conversation, row after row.
        starts_C: flat index b * T + t at which each begins.
    """

    input_ids_BT: np.ndarray
    position_ids_BT: np.ndarray
    predict_S: np.ndarray
    labels_S: np.ndarray
    tokens: int
    lengths_C: np.ndarray
    starts_C: np.ndarray

    @property
    def in_one_row(self) -> PackedBatch:
        """The same conversations in one row without padding."""
        if self.tokens == self.input_ids_BT.size:
            kept = slice(None)
            predict = self.predict_S
        else:
            begins = np.cumsum(self.lengths_C) - self.lengths_C
            kept = np.repeat(self.starts_C - begins, self.lengths_C) + np.arange(self.tokens)
            predict = np.searchsorted(kept, self.predict_S)
        return PackedBatch(
            self.input_ids_BT.reshape(1, -1)[:, kept],
            self.position_ids_BT.reshape(1, -1)[:, kept],
            predict,
            self.labels_S,
            self.tokens,
            self.lengths_C,
            np.cumsum(self.lengths_C) - self.lengths_C,
        )


def pack(lengths: Sequence[int] | np.ndarray, max_length: int) -> list[list[int]]:
    """Return rows of conversation indices whose lengths sum to at most `max_length`, best fit, longest first.

    Args:
        lengths: tokens of each conversation, each in 1..max_length; among equal lengths the earlier goes first.
        max_length: tokens of a row.

    Returns:
        Rows, in the order in which they were opened; deterministic.

    Raises:
        ValueError: a length is outside 1..max_length.
    """
    lengths = np.asarray(lengths, np.int64)
    if lengths.size and not (lengths.min() >= 1 and lengths.max() <= max_length):
        raise ValueError(f"lengths must be in 1..{max_length}, got {lengths.min()}..{lengths.max()}")
    rows: list[list[int]] = []
    # Bit r of `rooms` says that a row with r tokens of room is in `open_rows[r]`: the best fit is the lowest
    # set bit at or above the length, found without a search.
    rooms = 0
    open_rows: list[list[int]] = [[] for _ in range(max_length + 1)]
    for index in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[index])
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms &= ~(1 << room)
        else:
            room, row = max_length, len(rows)
            rows.append([])
        rows[row].append(index)
        if left := room - length:
            open_rows[left].append(row)
            rooms |= 1 << left
    return rows


def collate(conversations: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], length: int | None = None) -> PackedBatch:
    """Return the batch of some rows of conversations.

    The first token of a conversation is never a label: nothing before it belongs to the same conversation.

    Args:
        conversations: for each row, its conversations as (ids, supervised) pairs of equal length.
        length: T; None for the longest row's.
    """
    used = [sum(len(ids) for ids, _ in row) for row in conversations]
    width = max(used, default=0) if length is None else length
    input_ids = np.zeros((len(conversations), width), np.int64)
    position_ids = np.zeros_like(input_ids)
    predict, labels = [], []
    starts: list[int] = []
    lengths: list[int] = []
    for b, row in enumerate(conversations):
        start = 0
        for ids, supervised in row:
            end = start + len(ids)
            input_ids[b, start:end] = ids
            position_ids[b, start:end] = np.arange(len(ids))
            if len(ids):
                starts.append(b * width + start)
                lengths.append(len(ids))
            chosen = np.flatnonzero(supervised[1:])
            predict.append(b * width + start + chosen)
            labels.append(np.asarray(ids, np.int64)[chosen + 1])
            start = end
        position_ids[b, start:] = np.arange(width - start)
    empty = np.zeros(0, np.int64)
    return PackedBatch(
        input_ids,
        position_ids,
        np.concatenate(predict) if predict else empty,
        np.concatenate(labels) if labels else empty,
        sum(used),
        np.array(lengths, np.int64),
        np.array(starts, np.int64),
    )
