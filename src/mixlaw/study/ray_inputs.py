"""Folders that runs need, on nodes that may not see the driver's files: listed, packed, and placed once a node.

A node that sees the same files under the same path (shared storage) uses them. Elsewhere a folder travels as objects
of moderate size into a cache, under the hash of its content. The files that a run leaves come back the same way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlaw.data.texts import PARTS
from mixlaw.train.trainer_config import TrainerConfig

BATCH_BYTES = 64 * 2**20
"""Most bytes of one object."""

Batch = list[tuple[str, bytes]]
"""(path below the folder, bytes to append to it), in order."""


@dataclass(frozen=True)
class Folder:
    """Files below a folder of the driver's machine.

    Attributes:
        base: its absolute path.
        files: path below it -> (bytes, time of the last change in ns): the same on every machine that shares it.
    """

    base: str
    files: Mapping[str, tuple[int, int]]

    @staticmethod
    def of(base: Path, names: Iterable[str]) -> Folder:
        """Return the folder with the given files, as they are now."""
        stats = {name: (base / name).stat() for name in sorted(names)}
        return Folder(str(base), {name: (s.st_size, s.st_mtime_ns) for name, s in stats.items()})

    def is_here(self) -> bool:
        """Whether this machine sees these very files under the same path."""
        with contextlib.suppress(OSError):
            return Folder.of(Path(self.base), self.files) == self
        return False


@dataclass(frozen=True)
class Packed:
    """A folder's content as objects.

    Attributes:
        key: SHA-256 of names and content.
        batches: what `put` made of each `Batch`.
    """

    key: str
    batches: list[Any]


def input_folders(config: TrainerConfig) -> list[Folder]:
    """Return what a trainer reads: the folders of token rows, their text where it reads that, and a model's folder."""
    names: dict[Path, set[str]] = {}
    for rows in {path.resolve() for path in (*config.train_rows.values(), *config.validation_rows.values())}:
        found = names.setdefault(rows.parent, set())
        found |= {f"{rows.name}/{name}" for name in files_below(rows)}
        if config.trainer_class.reads_text and rows.name in PARTS:
            texts = (f"text/{rows.name}.jsonl", f"text/{rows.name}.npy")
            found |= {name for name in texts if (rows.parent / name).is_file()}
    model = Path(config.model.name_or_path).expanduser()
    if model.is_dir():
        names[model.resolve()] = set(files_below(model))
    return [Folder.of(base, found) for base, found in sorted(names.items())]


def files_below(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, hidden ones left out."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(path) for path in paths if not any(part.startswith(".") for part in path.parts)]


def moved(config: TrainerConfig, places: Mapping[str, Path]) -> TrainerConfig:
    """Return the configuration with its folders where they are on this node.

    Args:
        config: the driver's, with resolved paths.
        places: base of a `Folder` -> where its files are.
    """

    def here(path: Path) -> Path:
        return places[str(path.parent)] / path.name

    model = config.model
    if model.name_or_path in places:
        model = dataclasses.replace(model, name_or_path=str(places[model.name_or_path]))
    return dataclasses.replace(
        config,
        model=model,
        train_rows={name: here(path) for name, path in config.train_rows.items()},
        validation_rows={name: here(path) for name, path in config.validation_rows.items()},
    )


def batches(base: Path, names: Iterable[str], limit: int = BATCH_BYTES) -> Iterator[Batch]:
    """Yield the files' content in batches of at most `limit` bytes; a large file is spread over several."""
    batch: Batch = []
    size = 0
    for name in names:
        with open(base / name, "rb") as file:
            piece = file.read(limit - size)
            while True:
                batch.append((name, piece))
                size += len(piece)
                if size < limit:
                    break
                yield batch
                batch, size = [], 0
                if not (piece := file.read(limit)):
                    break
    if batch:
        yield batch


def write_batch(batch: Batch, folder: Path) -> None:
    """Append a batch to the files below a folder, which was empty before the first."""
    for name, data in batch:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(data)


def pack(folder: Folder, put: Callable[[Batch], Any], limit: int = BATCH_BYTES) -> Packed:
    """Read a folder and return it as objects.

    Args:
        folder: the folder.
        put: makes an object of a batch.
        limit: most bytes of one object.
    """
    digest, objects = hashlib.sha256(), []
    for batch in batches(Path(folder.base), folder.files, limit):
        for name, data in batch:
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
        objects.append(put(batch))
    return Packed(digest.hexdigest(), objects)


def place(folder: Folder, packed: Packed | None, get: Callable[[Any], Batch], cache: Path) -> Path | None:
    """Return where the folder's files are on this node, fetched into its cache where they have to be.

    Args:
        folder: what is needed.
        packed: its content; None while the driver has not packed it.
        get: returns the batch of an object.
        cache: the node's own folder for inputs.

    Returns:
        None where the node does not see the files and was given no content.
    """
    if folder.is_here():
        return Path(folder.base)
    if packed is None:
        return None
    target = cache / packed.key
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{packed.key}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the runs that begin together on a node, one fetches
        if not target.is_dir():
            temporary = Path(tempfile.mkdtemp(prefix=".new.", dir=cache))
            try:
                for one in packed.batches:
                    write_batch(get(one), temporary)
                os.rename(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return target


def node_cache() -> Path:
    """Return this node's folder for inputs, inside one that is this user's alone."""
    folder = Path(tempfile.gettempdir()) / f"mixlaw-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        folder = Path(tempfile.mkdtemp(prefix="mixlaw-"))
    return folder / "inputs"
