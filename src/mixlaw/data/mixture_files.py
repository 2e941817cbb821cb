"""Writing a mixture's files in bounded memory, in any number of processes, and going on after a kill.

Two passes over a working folder. In the first, the sources are read in pieces from front to back (a collection once for
all of its domains), and every row's line goes to the end of the bucket of its place. In the second, each file is made
from its buckets, one in memory at a time, put into the order of the places. A step counts as done once its small JSON
file is there, which is written last and atomically; an unfinished step is done again from its start. What a file holds
depends on the places alone.

The folder may have lain there for days when another process goes on in it, so it is verified like the cache: the plan
and finished files by their SHA-256, the lines of buckets by their CRC-32 and their places.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.checksums import checksums, damage
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import file_fingerprint
from mixlaw.data.formats import converter
from mixlaw.data.mixture_plan import MixturePlan, shard_names
from mixlaw.data.parquet import write_parquet
from mixlaw.data.pool import run_tasks, shared
from mixlaw.data.prepare import DomainTokens
from mixlaw.data.readers import Wanted
from mixlaw.data.reading import Piece, Source
from mixlaw.data.rows import TokenRows

_BUFFER_BYTES = 32 << 20
_HEAD = struct.Struct("<qiI")
"""Of a line in a bucket: its place, its bytes and its CRC-32."""
PIECE_BYTES = 128 << 20
"""Bytes of a piece in the first pass, about: each leaves a file in every bucket."""


@dataclass(frozen=True)
class Origin:
    """The rows of one source that go into a mixture.

    Attributes:
        domains: names of the domains that it has, in the order of the plan.
        source: their rows.
        form: how they are written.
    """

    domains: Sequence[str]
    source: Source
    form: str


class DamagedStep(DataError):
    """What an earlier process has left in a working folder is not as it was written."""


def finished_step(path: Path) -> dict[str, Any]:
    """Return what a finished step has said; raise DamagedStep where it cannot be read."""
    try:
        return read_document(path, "mixture_step")
    except DataError as error:
        raise DamagedStep(error.message) from None


def write_plan(
    plan: MixturePlan, prepared: dict[str, DomainTokens], origins: Sequence[Origin], folder: Path
) -> dict[str, str]:
    """Write the plan into the working folder for the processes that work: rows by their number in the source.

    Returns:
        The checksums of its files.
    """
    names = ["buckets.npy"]
    np.save(folder / "buckets.npy", plan.bucket_starts)
    for o, origin in enumerate(origins):
        rows: list[TokenRows] = [prepared[name].train for name in origin.domains]
        numbers = np.concatenate(
            [np.asarray(r.source_rows)[plan.samples[name]] for name, r in zip(origin.domains, rows, strict=True)]
        )
        places = np.concatenate([plan.places[name] for name in origin.domains])
        owners = np.repeat(np.arange(len(origin.domains)), [len(plan.samples[name]) for name in origin.domains])
        order = np.argsort(numbers, kind="stable")
        for name, array in (("numbers", numbers), ("places", places), ("owners", owners.astype(np.int32))):
            np.save(folder / f"{name}-{o}.npy", array[order])
            names.append(f"{name}-{o}.npy")
    return checksums(folder, names)


def scatter(o: int, p: int, piece: Piece, before: int, folder: Path) -> None:
    """First pass over one piece: write the line of every row of the mixture into the bucket of its place.

    Args:
        o: which of the shared origins.
        p: the piece's number.
        piece: of the origin's source.
        before: rows of the source before it.
        folder: the working folder.
    """
    done = folder / f"scattered-{o}-{p}.json"
    if done.exists():
        return
    origin: Origin = shared()[o]
    target = folder / _part(o, p)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    numbers, places, owners = (np.load(folder / f"{n}-{o}.npy", mmap_mode="r") for n in ("numbers", "places", "owners"))
    # Places up to the next piece's rows; `count` rows may lie in it, of which these are in the mixture.
    a, b = np.searchsorted(numbers, [before, before + origin.source.count(piece)])
    numbers, places, owners = numbers[a:b] - before, places[a:b].tolist(), owners[a:b].tolist()
    starts = np.load(folder / "buckets.npy")
    buckets = (np.searchsorted(starts, places, side="right") - 1).tolist()
    distinct, counts = np.unique(numbers, return_counts=True)
    buffers: dict[int, bytearray] = {}
    held, at = 0, 0
    convert = converter(origin.form, origin.source.domain)
    for row, count in zip(origin.source.read(piece, Wanted(numbers=distinct)), counts.tolist(), strict=True):
        conversation = convert(row.values, row.place)
        for k in range(at, at + count):
            line = conversation.line(origin.domains[int(owners[k])])
            buffers.setdefault(buckets[k], bytearray()).extend(
                _HEAD.pack(places[k], len(line), zlib.crc32(line)) + line
            )
            held += len(line)
        at += count
        if held > _BUFFER_BYTES:
            _flush(buffers, target)
            held = 0
    _flush(buffers, target)
    write_document(done, "mixture_step", {"rows": at})


def _part(o: int, p: int) -> str:
    return f"part-{o}-{p}"


def _flush(buffers: dict[int, bytearray], folder: Path) -> None:
    # Opened for each flush: there may be more buckets than files that a process may hold open.
    for bucket, data in buffers.items():
        with open(folder / f"{bucket}.bin", "ab") as file:
            file.write(data)
    buffers.clear()


def assemble(
    shard: int, buckets: Sequence[int], name: str, parts: Sequence[str], carried: frozenset[str], folder: Path
) -> None:
    """Second pass over one file: put the rows of its buckets into order and write them; see `write_files`."""
    done, target = folder / f"assembled-{shard}.json", folder / "files" / name
    if done.exists():
        if problem := damage(target.parent, {name: finished_step(done)["file_sha256"]}):
            raise DamagedStep(problem)
        return
    rows = 0

    def lines() -> Iterator[bytes]:
        nonlocal rows
        for bucket in buckets:
            ordered = _bucket(bucket, parts, folder)
            rows += len(ordered)
            yield from ordered

    part = folder / f".{name}.part"
    if name.endswith(".parquet"):
        write_parquet(part, lines(), carried)
    else:
        _write_jsonl(part, lines())
    os.replace(part, target)
    write_document(done, "mixture_step", {"name": name, "file_sha256": file_fingerprint(target), "rows": rows})
    for bucket in buckets:
        for name in parts:
            (folder / name / f"{bucket}.bin").unlink(missing_ok=True)


def _bucket(bucket: int, parts: Sequence[str], folder: Path) -> list[bytes]:
    """Return the lines of a bucket in the order of their places; raise DamagedStep where they are not all there."""
    found: list[tuple[int, bytes]] = []
    for name in parts:
        path = folder / name / f"{bucket}.bin"
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            while head := file.read(_HEAD.size):
                place, length, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (-1, 0, -1)
                line = file.read(max(0, length))
                if zlib.crc32(line) != crc:
                    raise DamagedStep(f"{path} has changed since it was written: a line does not match its checksum.")
                found.append((place, line))
    found.sort(key=lambda pair: pair[0])
    first, last = np.load(folder / "buckets.npy", mmap_mode="r")[bucket : bucket + 2].tolist()
    if [place for place, _ in found] != list(range(first, last)):
        raise DamagedStep(f"Bucket {bucket} in {folder} has not the rows that it is for.")
    return [line for _, line in found]


def _write_jsonl(file: Path, lines: Iterable[bytes]) -> None:
    with open(file, "wb") as stream:
        stream.writelines(lines)
        stream.flush()
        os.fsync(stream.fileno())


def write_files(
    plan: MixturePlan,
    origins: Sequence[Origin],
    suffix: str,
    folder: Path,
    workers: int = 1,
    carried: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """Do what is missing of both passes, and return name, SHA-256 and rows of every file.

    Args:
        plan: what was written with `write_plan`.
        origins: where the rows of its domains are, as given to `write_plan`.
        suffix: `jsonl` or `parquet`.
        folder: the working folder; the files come into its `files`.
        workers: processes; 1 works in this one.
        carried: what any row has beside roles and contents: it makes the columns of Parquet, one schema for all files.
    """
    (folder / "files").mkdir(exist_ok=True)
    pieces = [(o, piece) for o, origin in enumerate(origins) for piece in origin.source.pieces(PIECE_BYTES)]
    before = rows_before(pieces, origins, workers)
    reading = [(scatter, (o, p, piece, before[p], folder)) for p, (o, piece) in enumerate(pieces)]
    run_tasks(reading, workers, origins)
    names, parts = shard_names(plan.shards, suffix), [_part(o, p) for p, (o, _) in enumerate(pieces)]
    first = np.searchsorted(plan.bucket_starts, plan.shard_starts)
    writing = [
        (assemble, (s, range(int(first[s]), int(first[s + 1])), name, parts, carried, folder))
        for s, name in enumerate(names)
    ]
    run_tasks(writing, workers)
    steps = [finished_step(folder / f"assembled-{s}.json") for s in range(len(names))]
    return [{"name": step["name"], "sha256": step["file_sha256"], "rows": step["rows"]} for step in steps]


def rows_before(pieces: Sequence[tuple[int, Piece]], origins: Sequence[Origin], workers: int) -> list[int]:
    """Return how many rows of its source lie before each piece; a source of one piece needs no counting.

    Args:
        pieces: (place of its origin, piece), those of one origin from front to back.
        origins: the sources.
        workers: processes; 1 works in this one.
    """
    several = {o for o, _ in pieces if sum(other == o for other, _ in pieces) > 1}
    # Parquet and datasets know their rows; lines must be read, which is worth processes.
    lines = any(
        origins[o].source.kind(s) == "lines" for o in several for s in range(len(origins[o].source.files or ()))
    )
    counts = run_tasks([(_count, (o, piece)) for o, piece in pieces if o in several], workers if lines else 1, origins)
    found, counted = [], iter(counts)
    total = dict.fromkeys(range(len(origins)), 0)
    for o, _ in pieces:
        found.append(total[o])
        total[o] += next(counted) if o in several else 0
    return found


def _count(o: int, piece: Piece) -> int:
    return shared()[o].source.count(piece)
