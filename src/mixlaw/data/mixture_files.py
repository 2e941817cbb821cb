"""Writing a mixture's files in bounded memory, in any number of processes, and going on after a kill.

Two passes over a working folder. In the first, each domain is read once from front to back, and every row's line goes
to the end of the bucket of its place. In the second, each file is made from its buckets, one in memory at a time, put
into the order of the places. A step counts as done once its small JSON file is there, which is written last and
atomically; an unfinished step is done again from its start. What a file holds depends on the places alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import MissingExtra
from mixlaw.core.files import read_json, write_json
from mixlaw.core.fingerprints import file_fingerprint
from mixlaw.data.mixture_plan import MixturePlan, shard_names
from mixlaw.data.prepare import DomainTokens, conversations

_BUFFER_BYTES = 32 << 20
_HEAD = struct.Struct("<qi")
_PARQUET_ROWS = 2048


def write_plan(plan: MixturePlan, prepared: dict[str, DomainTokens], folder: Path) -> None:
    """Write the plan into the working folder, for the processes that do the work."""
    np.save(folder / "buckets.npy", plan.bucket_starts)
    for d, (name, sample) in enumerate(plan.samples.items()):
        numbers = np.asarray(prepared[name].train.source_rows)[sample]
        order = np.argsort(numbers, kind="stable")
        np.save(folder / f"numbers-{d}.npy", numbers[order])
        np.save(folder / f"places-{d}.npy", plan.places[name][order])


def scatter(domain: Domain, files: list[Path] | None, d: int, folder: Path) -> None:
    """First pass over one domain: write the line of every row of the mixture into the bucket of its place."""
    done = folder / f"scattered-{d}.json"
    if done.exists():
        return
    target = folder / f"domain-{d}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    numbers = np.load(folder / f"numbers-{d}.npy", mmap_mode="r")
    places = np.load(folder / f"places-{d}.npy", mmap_mode="r")
    starts = np.load(folder / "buckets.npy")
    buffers: dict[int, bytearray] = {}
    held, at = 0, 0
    for row, messages, _ in conversations(domain, files):
        if at == len(numbers):
            break
        if numbers[at] != row.number:
            continue
        line = json.dumps({"messages": messages, "domain": domain.name}, ensure_ascii=False).encode() + b"\n"
        while at < len(numbers) and numbers[at] == row.number:
            place = int(places[at])
            bucket = int(np.searchsorted(starts, place, side="right")) - 1
            buffers.setdefault(bucket, bytearray()).extend(_HEAD.pack(place, len(line)) + line)
            held, at = held + len(line), at + 1
        if held > _BUFFER_BYTES:
            _flush(buffers, target)
            held = 0
    _flush(buffers, target)
    write_json(done, {"rows": at})


def _flush(buffers: dict[int, bytearray], folder: Path) -> None:
    # Opened for each flush: there may be more buckets than files that a process may hold open.
    for bucket, data in buffers.items():
        with open(folder / f"{bucket}.bin", "ab") as file:
            file.write(data)
    buffers.clear()


def assemble(shard: int, buckets: Sequence[int], name: str, domains: int, folder: Path) -> None:
    """Second pass over one file: put the rows of its buckets into order and write them."""
    done = folder / f"assembled-{shard}.json"
    if done.exists():
        return
    rows = 0

    def lines() -> Iterator[bytes]:
        nonlocal rows
        for bucket in buckets:
            ordered = _bucket(bucket, domains, folder)
            rows += len(ordered)
            yield from ordered

    part = folder / f".{name}.part"
    (_write_parquet if name.endswith(".parquet") else _write_jsonl)(part, lines())
    target = folder / "files" / name
    os.replace(part, target)
    write_json(done, {"name": name, "sha256": file_fingerprint(target), "rows": rows})
    for bucket in buckets:
        for d in range(domains):
            (folder / f"domain-{d}" / f"{bucket}.bin").unlink(missing_ok=True)


def _bucket(bucket: int, domains: int, folder: Path) -> list[bytes]:
    """Return the lines of a bucket in the order of their places."""
    found: list[tuple[int, bytes]] = []
    for d in range(domains):
        with contextlib.suppress(FileNotFoundError), open(folder / f"domain-{d}" / f"{bucket}.bin", "rb") as file:
            while head := file.read(_HEAD.size):
                place, length = _HEAD.unpack(head)
                found.append((place, file.read(length)))
    found.sort(key=lambda pair: pair[0])
    return [line for _, line in found]


def _write_jsonl(file: Path, lines: Iterable[bytes]) -> None:
    with open(file, "wb") as stream:
        stream.writelines(lines)
        stream.flush()
        os.fsync(stream.fileno())


def _write_parquet(file: Path, lines: Iterable[bytes]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", "Writing Parquet") from None
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(message)), ("domain", pa.string())])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: list[Any] = []
        for line in lines:
            rows.append(json.loads(line))
            if len(rows) == _PARQUET_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def write_files(
    plan: MixturePlan,
    domains: Sequence[tuple[Domain, list[Path] | None]],
    suffix: str,
    folder: Path,
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Do what is missing of both passes, and return name, SHA-256 and rows of every file.

    Args:
        plan: what was written with `write_plan`.
        domains: the domains of the plan, in its order, with their source files.
        suffix: `jsonl` or `parquet`.
        folder: the working folder; the files come into its `files`.
        workers: processes; 1 works in this one.
    """
    (folder / "files").mkdir(exist_ok=True)
    names = shard_names(plan.shards, suffix)
    reading = [(scatter, (domain, files, d, folder)) for d, (domain, files) in enumerate(domains)]
    first = np.searchsorted(plan.bucket_starts, plan.shard_starts)
    writing = [
        (assemble, (s, range(int(first[s]), int(first[s + 1])), name, len(domains), folder))
        for s, name in enumerate(names)
    ]
    for tasks in (reading, writing):
        _do(tasks, min(workers, len(tasks)))
    return [read_json(folder / f"assembled-{s}.json") for s in range(len(names))]


def _do(tasks: Sequence[tuple[Callable[..., None], tuple[Any, ...]]], workers: int) -> None:
    if workers <= 1:
        for function, arguments in tasks:
            function(*arguments)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Spawned, not forked: a process that holds threads (of torch, of Arrow) cannot be forked safely.
    with ProcessPoolExecutor(workers, get_context("spawn"), _end_with, (os.getpid(),)) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in tasks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _end_with(parent: int) -> None:
    """End this process soon after its parent: a worker that outlives it would write beside the next attempt."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
