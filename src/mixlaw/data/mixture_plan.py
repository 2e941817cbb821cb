"""Which rows a mixture holds, and where each of them goes: numbers only, no text.

A domain's rows are its sample of w_i N tokens: whole passes in new orders, then a remainder without replacement, so
that every row appears p or p + 1 times. All rows of all domains are then put into one random order, which is cut into
files (shards) and those into buckets that fit in memory. Nothing here depends on how many processes write.

Memory: 24 bytes per row of the mixture, however long the conversations are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixlaw.core.seeds import generator
from mixlaw.data.rows import sample_indices

BUCKET_TOKENS = 8_000_000
"""Training tokens of the text that one process holds at a time, about 32 MB."""

SHARD_TOKENS = 25_000_000
"""Training tokens of a file where the number of files is not given, about 100 MB."""


@dataclass(frozen=True)
class MixturePlan:
    """The rows of a mixture and their places.

    Attributes:
        samples: domain -> its rows, repeats included, in the order of the sample.
        places: domain -> the place of each of them in the global order, 0 to `rows` - 1.
        shard_starts: place of the first row of each file, and `rows`.
        bucket_starts: place of the first row of each bucket, and `rows`; every file begins with a new bucket.
    """

    samples: Mapping[str, np.ndarray]
    places: Mapping[str, np.ndarray]
    shard_starts: np.ndarray
    bucket_starts: np.ndarray

    @property
    def rows(self) -> int:
        """Rows of the mixture."""
        return int(self.shard_starts[-1])

    @property
    def shards(self) -> int:
        """Files."""
        return len(self.shard_starts) - 1


def plan_mixture(
    row_tokens: Mapping[str, np.ndarray],
    tokens: Mapping[str, int],
    seed: int,
    shards: int | None = None,
    bucket_tokens: int = BUCKET_TOKENS,
) -> MixturePlan:
    """Return the rows of a mixture and their places.

    Args:
        row_tokens: domain -> tokens of each of its rows.
        tokens: domain -> training tokens wanted of it; domains with none are left out.
        seed: of the samples and of the order.
        shards: files; None for as many as keep each at about `SHARD_TOKENS`. Never more than there are rows.
        bucket_tokens: tokens of a bucket, about.

    Raises:
        DataError: tokens are wanted from a domain without rows.
    """
    samples = {
        name: sample_indices(row_tokens[name], count, seed, name) for name, count in sorted(tokens.items()) if count > 0
    }
    rows = sum(map(len, samples.values()))
    place_of = np.empty(rows, np.int64)
    place_of[generator("mixture order", seed).permutation(rows)] = np.arange(rows)
    places, start = {}, 0
    for name, sample in samples.items():
        places[name] = place_of[start : start + len(sample)]
        start += len(sample)
    total = sum(tokens.values())
    files = min(rows, shards or math.ceil(total / SHARD_TOKENS))
    shard_starts = _cuts(0, rows, files)
    buckets = math.ceil(total / files / bucket_tokens)
    cuts = [_cuts(a, b, min(int(b - a), buckets))[:-1] for a, b in itertools.pairwise(shard_starts)]
    return MixturePlan(samples, places, shard_starts, np.concatenate([*cuts, [rows]]))


def _cuts(start: int, end: int, parts: int) -> np.ndarray:
    """Return the bounds of `parts` equal parts, to within one row."""
    return start + (np.arange(parts + 1, dtype=np.int64) * (end - start)) // parts


def shard_names(shards: int, suffix: str) -> list[str]:
    """Return the files' names: train.jsonl, or train-00000-of-00012.jsonl and so on."""
    if shards == 1:
        return [f"train.{suffix}"]
    return [f"train-{i:05d}-of-{shards:05d}.{suffix}" for i in range(shards)]
