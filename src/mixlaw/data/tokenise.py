"""Domains tokenised in pieces by any number of processes, then merged: the result is that of one process, to the byte.

Every piece of a source writes the tokens of its rows to files of its own, a set for each domain (a collection is read
once for all of its domains). The merge chooses the held-out rows by the hashes of all of a domain's rows, and streams
the parts in order into the arrays of `TokenRows`. Memory: some hundred conversations in a piece; in the merge about 80
bytes a row of one domain, however long the conversations are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation, as_json
from mixlaw.data.formats import converter, reader_of
from mixlaw.data.pool import run_tasks, shared
from mixlaw.data.readers import Tally
from mixlaw.data.reading import Piece, RawRow, Source, wanted_of
from mixlaw.data.rows import TokenRows

SUFFIXES = ("rows", "ids", "supervised")
_CHUNK = 1024
_CHUNK_CHARACTERS = 4 << 20
_LARGEST_SHARE = 0.2
_FEW = 8
"""Rows for each one to hold out among which those are looked for first."""
_TOKENS_AT_ONCE = 4 << 20
_ROW = np.dtype([("number", "<i8"), ("length", "<i8"), ("bytes", "<i8"), ("high", "<u8"), ("low", "<u8")])
"""Of a row: its number, tokens, supervised bytes, and the first 16 bytes of the hash of its messages, big-endian."""


@dataclass(frozen=True)
class Job:
    """Domains that are tokenised from one source.

    Attributes:
        domains: one, or those of one collection.
        source: their rows.
        form: how the rows are written.
    """

    domains: Sequence[Domain]
    source: Source
    form: str


@dataclass
class Counts:
    """What a piece holds for one domain: rows in all, cut rows, dropped rows; rows that carry tools, calls and the like
    (see `Conversation.carries`); and how often there was a key that is not carried.
    """

    seen: int = 0
    truncated: int = 0
    dropped: int = 0
    carried: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Parts:
    """The parts of one domain, in order.

    Attributes:
        stems: of the parts' files.
        sources: the file that each part comes from.
        before: rows of the source before each part.
        counts: of each part.
    """

    stems: list[Path]
    sources: list[int]
    before: list[int]
    counts: list[Counts]

    def remove(self) -> None:
        """Delete the parts' files."""
        for stem in self.stems:
            for suffix in SUFFIXES:
                Path(f"{stem}.{suffix}").unlink(missing_ok=True)


def tokenise(
    jobs: Sequence[Job], tokenizer: ChatTokenizer, max_length: int, folder: Path, workers: int
) -> list[list[Parts]]:
    """Tokenise all rows of all jobs, and return the parts of each job's domains.

    Args:
        jobs: what to read.
        tokenizer: of the model.
        max_length: longest row, tokens.
        folder: an empty one, for the parts.
        workers: processes; 1 works in this one.

    Raises:
        DataError: the first malformed row, in the order of the jobs and their rows.
    """
    pieces = [(j, piece) for j, job in enumerate(jobs) for piece in job.source.pieces()]
    tasks = [(tokenise_piece, (j, piece, folder / str(p))) for p, (j, piece) in enumerate(pieces)]
    results = run_tasks(tasks, workers, (jobs, tokenizer, max_length))
    found: list[list[Parts]] = []
    for j, job in enumerate(jobs):
        mine = [p for p, (owner, _) in enumerate(pieces) if owner == j]
        ends = np.cumsum([0, *(results[p][0] for p in mine)]).tolist()
        sources = [pieces[p][1].source for p in mine]
        found.append(
            [
                Parts([folder / f"{p}.{d}" for p in mine], sources, ends[:-1], [results[p][1][d] for p in mine])
                for d in range(len(job.domains))
            ]
        )
    return found


def tokenise_piece(j: int, piece: Piece, stem: Path) -> tuple[int, list[Counts]]:
    """Tokenise one piece of job j; return its rows, and its counts for every domain."""
    jobs, tokenizer, max_length = shared()
    job: Job = jobs[j]
    try:
        return _tokenise_piece(job, tokenizer, max_length, piece, stem, 0)
    except DataError:
        # Lines before a piece are counted only where a message needs them. Without that error there is another.
        before = job.source.lines_before(piece)
        if before == 0:
            raise
        return _tokenise_piece(job, tokenizer, max_length, piece, stem, before)


def _tokenise_piece(
    job: Job, tokenizer: ChatTokenizer, max_length: int, piece: Piece, stem: Path, lines_before: int
) -> tuple[int, list[Counts]]:
    counts, tally = [Counts() for _ in job.domains], Tally()
    for d in range(len(job.domains)):
        for suffix in SUFFIXES:
            Path(f"{stem}.{d}.{suffix}").unlink(missing_ok=True)
    readers = [reader_of(domain, tokenizer.template.keys) for domain in job.domains]
    converts = [converter(job.form, domain, reader) for domain, reader in zip(job.domains, readers, strict=True)]
    wanted = wanted_of(job.domains)
    keys = wanted.keys
    chunk: list[tuple[RawRow, int, Conversation]] = []
    held = 0
    try:
        for row in job.source.read(piece, wanted, tally, lines_before):
            d = 0 if keys is None else keys[wanted.text(row.values)]
            conversation = converts[d](row.values, row.place)
            chunk.append((row, d, conversation))
            held += conversation.characters
            if not conversation.plain:
                counts[d].carried.update(conversation.carries())
            if len(chunk) == _CHUNK or held > _CHUNK_CHARACTERS:
                _write_chunk(chunk, tokenizer, max_length, stem, counts)
                chunk, held = [], 0
    finally:
        # After an error too: a row before it may have one of its own, which is then the first.
        if chunk:
            _write_chunk(chunk, tokenizer, max_length, stem, counts)
    for count, reader in zip(counts, readers, strict=True):
        count.unused = reader.unused
    return tally.rows, counts


def _write_chunk(
    chunk: Sequence[tuple[RawRow, int, Conversation]],
    tokenizer: ChatTokenizer,
    max_length: int,
    stem: Path,
    counts: list[Counts],
) -> None:
    """Append the tokens of some rows to the files of their domains."""
    batch = tokenizer.encode_together(tokenizer.render_together([(m, row.place) for row, _, m in chunk]), max_length)
    domains = np.array([d for _, d, _ in chunk])
    rows = np.zeros(len(chunk), _ROW)
    rows["number"] = [row.number for row, _, _ in chunk]
    rows["length"], rows["bytes"] = batch.lengths, batch.supervised_bytes
    # The first 16 bytes decide: among 10^9 rows two different ones share them with a probability of 10^-21.
    digests = [hashlib.sha256(text).digest()[:16] for text in as_json([m for _, _, m in chunk])]
    hashes = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    rows["high"], rows["low"] = hashes[:, 0], hashes[:, 1]
    # The first token of a row is predicted from nothing, so a mask on it alone is no supervision either.
    learns = batch.row_supervised > np.append(batch.supervised, 0)[batch.starts]
    for d in np.unique(domains):
        mine, count = domains == d, counts[d]
        kept = mine & learns
        count.seen += int(mine.sum())
        count.truncated += int(batch.truncated[mine].sum())
        count.dropped += int((mine & ~learns).sum())
        tokens = slice(None) if kept.all() else np.repeat(kept, batch.lengths)
        for suffix, array in (
            ("rows", rows[kept]),
            ("ids", batch.ids[tokens]),
            ("supervised", batch.supervised[tokens]),
        ):
            with open(f"{stem}.{d}.{suffix}", "ab") as file:
                file.write(array.data)


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
    rows = np.empty(sum(_row_count(stem) for stem in parts.stems), _ROW)
    at = 0
    for stem in parts.stems:  # one after the other: joining them would need twice the memory
        rows[at : at + _row_count(stem)] = _rows(stem)
        at += _row_count(stem)
    rows["number"] += np.repeat(parts.before, [_row_count(stem) for stem in parts.stems])
    seen, dropped = (sum(getattr(c, key) for c in parts.counts) for key in ("seen", "dropped"))
    if seen == 0:
        raise empty(domain)
    if not len(rows):
        raise DataError(
            f"Domain '{domain.name}': in all {seen} rows the answer begins beyond max_length={max_length} tokens.",
            "Raise train.max_length.",
        )
    held = _held_out(rows, validation_rows)
    if held.all():
        raise DataError(
            f"Domain '{domain.name}' has {len(rows)} usable rows, all alike or held out for validation: none is left "
            "to train on.",
            "Add rows to it.",
        )
    first, last = _distinct(rows, np.flatnonzero(held))
    only = np.zeros(len(rows), bool)
    only[first] = True
    _write(folder / "train", parts, rows, ~held, rows["number"][~held])
    _write(folder / "validation", parts, rows, only, rows["number"][last])
    per_source = [0] * files
    for source, count in zip(parts.sources, parts.counts, strict=True):
        per_source[source] += count.seen
    return {
        "row_format": form,
        "rows_per_source": per_source,
        "dropped": dropped,
        "truncated": sum(c.truncated for c in parts.counts),
        "duplicates": int(held.sum()) - len(first),
        "carried": dict(sum((c.carried for c in parts.counts), Counter())),
        "unused": dict(sum((c.unused for c in parts.counts), Counter())),
    }


def empty(domain: Domain) -> DataError:
    """Return the error of a domain without rows."""
    if domain.split_by is None:
        return DataError(
            f"Domain '{domain.name}' is empty: {domain.path} has no rows.", "Add rows, or drop the domain."
        )
    return DataError(
        f"Domain '{domain.name}' is empty: no row of {domain.path} has a '{domain.split_by}' of "
        f"{', '.join(map(repr, domain.values[:10])) or 'its own'}.",
        "Correct the values, or drop the domain.",
    )


def _rows(stem: Path) -> np.ndarray:
    path = Path(f"{stem}.rows")
    return np.fromfile(path, _ROW) if path.exists() else np.zeros(0, _ROW)


def _row_count(stem: Path) -> int:
    path = Path(f"{stem}.rows")
    return path.stat().st_size // _ROW.itemsize if path.exists() else 0


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
            count = _row_count(stem)
            if count and chosen[start : start + count].any():
                tokens = np.memmap(f"{stem}.{suffix}", kind, "r")
                yield from _selected(tokens, rows["length"][start : start + count], chosen[start : start + count])
            start += count

    TokenRows.write_stream(
        folder,
        lambda: stream("ids", "<u4"),
        lambda: stream("supervised", "|u1"),
        rows["length"][chosen],
        numbers,
        rows["bytes"][chosen],
    )


def _selected(tokens: np.ndarray, lengths: np.ndarray, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the tokens of the chosen rows, a bounded number at a time."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    a = 0
    while a < len(lengths):
        b = max(a + 1, int(np.searchsorted(ends, ends[a] + _TOKENS_AT_ONCE, side="right")) - 1)
        part = tokens[ends[a] : ends[b]]
        yield part if chosen[a:b].all() else part[np.repeat(chosen[a:b], lengths[a:b])]
        a = b
