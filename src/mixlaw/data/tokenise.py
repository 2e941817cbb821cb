"""Domains tokenised in pieces by any number of processes, then merged: the result is that of one process, to the byte.

Every piece of a source writes the tokens of its rows to files of its own, a set for each domain (a collection is read
once for all of its domains); `mixlaw.data.splitting` merges them. Memory: some hundred conversations in a piece.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation, as_json
from mixlaw.data.formats import converter, reader_of
from mixlaw.data.masks import hides_reasoning
from mixlaw.data.normal_text import content_hashes
from mixlaw.data.pool import run_tasks, shared
from mixlaw.data.readers import Tally
from mixlaw.data.reading import Piece, RawRow, Source, wanted_of

SUFFIXES = ("rows", "ids", "supervised")
_HIDDEN = "reasoning of earlier answers, which the template leaves out"
_CHUNK = 1024
_CHUNK_CHARACTERS = 4 << 20
ROW = np.dtype([(n, "<i8") for n in ("number", "length", "bytes")] + [(n, "<u8") for n in ("high", "low", "content")])
"""Of a row: its number, tokens, supervised bytes, the first 16 bytes of the hash of its messages, big-endian, and the
hash of its normal form."""


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
    """What a piece holds for one domain: rows in all, cut rows and the tokens cut off, dropped rows; rows that carry
    tools, calls and the like (see `Conversation.carries`); and how often there was a key that is not carried.
    """

    seen: int = 0
    truncated: int = 0
    lost_tokens: int = 0
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

    @property
    def rows(self) -> int:
        """Rows that the files hold."""
        return sum(map(row_count, self.stems))

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
        count.unused.update(reader.unused)
    return tally.rows, counts


def _write_chunk(
    chunk: Sequence[tuple[RawRow, int, Conversation]],
    tokenizer: ChatTokenizer,
    max_length: int,
    stem: Path,
    counts: list[Counts],
) -> None:
    """Append the tokens of some rows to the files of their domains."""
    rendered = tokenizer.render_together([(m, row.place) for row, _, m in chunk])
    cuts = "</think>" in tokenizer.template.text
    for (_, d, conversation), (text, _) in zip(chunk, rendered, strict=True):
        if cuts or not conversation.plain:
            hidden = sum(m["role"] == "assistant" and hides_reasoning(m, text) for m in conversation.messages)
            if hidden:
                counts[d].unused[_HIDDEN] += hidden
    batch = tokenizer.encode_together(rendered, max_length)
    lost = batch.whole_lengths - batch.lengths
    domains = np.array([d for _, d, _ in chunk])
    rows = np.zeros(len(chunk), ROW)
    rows["number"] = [row.number for row, _, _ in chunk]
    rows["length"], rows["bytes"] = batch.lengths, batch.supervised_bytes
    # The first 16 bytes decide: among 10^9 rows two different ones share them with a probability of 10^-21.
    texts = as_json([m for _, _, m in chunk])
    hashes = np.frombuffer(b"".join([hashlib.sha256(text).digest()[:16] for text in texts]), ">u8").reshape(-1, 2)
    rows["high"], rows["low"], rows["content"] = hashes[:, 0], hashes[:, 1], content_hashes(texts)
    # The first token of a row is predicted from nothing, so a mask on it alone is no supervision either.
    learns = batch.row_supervised > np.append(batch.supervised, 0)[batch.starts]
    for d in np.unique(domains):
        mine, count = domains == d, counts[d]
        kept = mine & learns
        count.seen += int(mine.sum())
        count.truncated += int(batch.truncated[mine].sum())
        count.lost_tokens += int(lost[mine].sum())
        count.dropped += int((mine & ~learns).sum())
        tokens = slice(None) if kept.all() else np.repeat(kept, batch.lengths)
        for suffix, array in (
            ("rows", rows[kept]),
            ("ids", batch.ids[tokens]),
            ("supervised", batch.supervised[tokens]),
        ):
            with open(f"{stem}.{d}.{suffix}", "ab") as file:
                file.write(array.data)


def empty(domain: Domain) -> DataError:
    """Return the error of a domain without rows."""
    if domain.split_by is None:
        return DataError(
            f"Domain '{domain.name}' is empty: {domain.path} has no rows.", "Add rows, or remove the domain."
        )
    return DataError(
        f"Domain '{domain.name}' is empty: no row of {domain.path} has a '{domain.split_by}' of "
        f"{', '.join(map(repr, domain.values[:10])) or 'its own'}.",
        "Correct the values, or remove the domain.",
    )


def rows_of(stem: Path) -> np.ndarray:
    """Return what is known of the rows of a part, in the form `ROW`."""
    path = Path(f"{stem}.rows")
    return np.fromfile(path, ROW) if path.exists() else np.zeros(0, ROW)


def row_count(stem: Path) -> int:
    """Return how many rows a part has."""
    path = Path(f"{stem}.rows")
    return path.stat().st_size // ROW.itemsize if path.exists() else 0
