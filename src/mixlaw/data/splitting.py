"""A domain's parts merged into training and validation rows.

The held-out rows are those with the smallest hashes of all of a domain's rows. What is alike to one of them but for
case, white space or the system prompt trains nowhere, and of exact copies only the first does: a copy is a repeat of
its row, and how often a row is repeated is for the budget to say, not for the file.

Memory: about 80 bytes per row of one domain, however long the conversations are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.checksums import FILES, checksums
from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.hash_sets import is_in, later_copies
from mixlaw.data.rows import TokenRows
from mixlaw.data.tokenise import ROW, Parts, empty, row_count, rows_of

_LARGEST_SHARE = 0.2
_FEW = 8
"""Rows for each one to hold out among which those are looked for first."""
_TOKENS_AT_ONCE = 4 << 20

TRAIN, VALIDATION, ALL = "train_content.npy", "validation_content.npy", "content.npy"
"""Files of the hashes of rows' normal forms (`mixlaw.data.normal_text`): each side's in order, and all sorted."""


def merge(
    domain: Domain, form: str, files: int, parts: Parts, validation_rows: int, max_length: int, folder: Path
) -> dict[str, Any]:
    """Split a domain's parts and write them as `train` and `validation` into a folder; return the summary.

    Args:
        domain: its description, for messages.
        form: how its rows are written.
        files: how many files its source has.
        parts: from `tokenise`.
        validation_rows: rows to hold out; at most a fifth of the distinct ones.
        max_length: longest row, tokens, for messages.
        folder: where to write.

    Raises:
        DataError: an empty domain, or no rows left to train on.
    """
    rows = _joined(parts)
    seen, dropped = (sum(getattr(c, key) for c in parts.counts) for key in ("seen", "dropped"))
    if seen == 0:
        raise empty(domain)
    if not len(rows):
        raise DataError(
            f"Domain '{domain.name}': none of {seen} rows has an answer to learn that begins within "
            f"max_length={max_length} tokens.",
            "Raise train.max_length, or check the weights of turns.",
        )
    held = _held_out(rows, validation_rows)
    first, last = _distinct(rows, np.flatnonzero(held))
    only = np.zeros(len(rows), bool)
    only[first] = True
    train = ~(held | is_in(rows["content"], np.unique(rows["content"][only])))
    duplicates = int((~train & ~only).sum())
    train &= ~later_copies(rows["high"], rows["low"])
    if not train.any():
        raise DataError(
            f"Domain '{domain.name}' has {len(rows)} usable rows, all alike or held out for validation: none is left "
            "to train on.",
            "Add rows to the domain.",
        )
    _write(folder / "train", parts, rows, train, rows["number"][train])
    _write(folder / "validation", parts, rows, only, rows["number"][last])
    for name, content in ((TRAIN, rows["content"][train]), (VALIDATION, rows["content"][only])):
        np.save(folder / name, content)
    np.save(folder / ALL, np.unique(rows["content"][train | only]))
    per_source = [0] * files
    for source, count in zip(parts.sources, parts.counts, strict=True):
        per_source[source] += count.seen
    return {
        "row_format": form,
        "rows_per_source": per_source,
        "dropped": dropped,
        "truncated": sum(c.truncated for c in parts.counts),
        "lost_tokens": sum(c.lost_tokens for c in parts.counts),
        "duplicates": duplicates,
        "copies": len(rows) - int(train.sum()) - len(first) - duplicates,
        "carried": dict(sum((c.carried for c in parts.counts), Counter())),
        "unused": dict(sum((c.unused for c in parts.counts), Counter())),
        FILES: checksums(folder, (TRAIN, VALIDATION, ALL)),
    }


def _joined(parts: Parts) -> np.ndarray:
    """Return what is known of all rows, by their number in the whole source."""
    rows = np.empty(parts.rows, ROW)
    at = 0
    for stem, before in zip(parts.stems, parts.before, strict=True):  # joining them would need twice the memory
        count = row_count(stem)
        rows[at : at + count] = rows_of(stem)
        rows["number"][at : at + count] += before
        at += count
    return rows


def _held_out(rows: np.ndarray, validation_rows: int) -> np.ndarray:
    """Return whether each row is held out: the smallest hashes, as many as wanted, at most a fifth, at least one."""
    if len(rows) > _FEW * (validation_rows + 1):
        # Sorting all rows takes twice the memory. The smallest do, unless a fifth of the distinct ones decides.
        smallest = np.partition(rows["high"], _FEW * validation_rows)[_FEW * validation_rows]
        high, low, most = _smallest(rows[rows["high"] <= smallest], validation_rows)
        if most < validation_rows:
            high, low, _ = _smallest(rows, validation_rows)
    else:
        high, low, _ = _smallest(rows, validation_rows)
    return (rows["high"] < high) | ((rows["high"] == high) & (rows["low"] <= low))


def _smallest(rows: np.ndarray, count: int) -> tuple[Any, Any, int]:
    """Return the largest of the `count` smallest distinct hashes, at most a fifth of them; and how many those are."""
    order = np.lexsort((rows["low"], rows["high"]))
    high, low = rows["high"][order], rows["low"][order]
    new = np.concatenate([[True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])])
    most = int(_LARGEST_SHARE * int(new.sum()))
    last = np.flatnonzero(new)[max(1, min(count, most)) - 1]
    return high[last], low[last], most


def _distinct(rows: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last of the rows with each hash among some rows, in the order of the first."""
    first: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], int] = {}
    for r, high, low in zip(held.tolist(), rows["high"][held].tolist(), rows["low"][held].tolist(), strict=True):
        first.setdefault((high, low), r)
        last[high, low] = r
    return np.array(list(first.values())), np.array([last[key] for key in first])


def _write(folder: Path, parts: Parts, rows: np.ndarray, chosen: np.ndarray, numbers: np.ndarray) -> None:
    def stream(suffix: str, kind: str) -> Iterator[np.ndarray]:
        start = 0
        for stem in parts.stems:
            count = row_count(stem)
            if count and chosen[start : start + count].any():
                tokens = np.memmap(f"{stem}.{suffix}", kind, "r")
                yield from selected(tokens, rows["length"][start : start + count], chosen[start : start + count])
            start += count

    TokenRows.write_stream(
        folder,
        lambda: stream("ids", "<u4"),
        lambda: stream("supervised", "|u1"),
        rows["length"][chosen],
        numbers,
        rows["bytes"][chosen],
    )


def selected(tokens: np.ndarray, lengths: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the tokens of the chosen rows, a bounded number at a time."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    a = 0
    while a < len(lengths):
        b = max(a + 1, int(np.searchsorted(ends, ends[a] + _TOKENS_AT_ONCE, side="right")) - 1)
        part = tokens[ends[a] : ends[b]]
        yield part if chosen[a:b].all() else part[np.repeat(chosen[a:b], lengths[a:b])]
        a = b
