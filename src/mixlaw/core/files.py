"""Files that are either complete or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mixlaw.core.errors import DISK_FULL, ConfigError, DataError

_LONGEST_SHOWN = 40
_MOST_WHOLE = 2**64
"""Seeds of other programs go so far; counts end long before."""


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in the place of `~`; raise ConfigError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise ConfigError(
            f"{path} begins with {user}, but the home folder of such a user is not known.",
            f"Write the whole path; a file of that name is ./{path}.",
        ) from None


def require_other_file(out: str | Path, *read: Any) -> None:
    """Raise ConfigError where a file to be written is one of those that are read; what is no path is passed over."""
    for given in read:
        there = isinstance(given, (str, Path)) and os.path.isfile(given) and os.path.exists(out)
        if there and os.path.samefile(given, out):
            raise ConfigError(f"{out} is read here, so it cannot be written.", "Give another name with --out.")


def require_place(out: str | Path) -> None:
    """Raise the error of a file that cannot be written where it is to be: said before what it shall hold is computed.

    Only what paths say is looked at; nothing is made.
    """
    path = Path(out)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next((parent for parent in path.parents if parent.exists()), None)
    if folder is not None and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


@contextlib.contextmanager
def atomic_open(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of `path` and move it into place when the block ends without an error.

    A reader sees the old file or the whole new one, never a part, even after a kill.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # said of the path itself, not of the temporary file that could not take its place
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    encoding = None if "b" in mode else "utf-8"
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with naming_full_disk(path):
            os.fchmod(descriptor, 0o644)
            with os.fdopen(descriptor, mode, encoding=encoding) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def naming_full_disk(path: str | Path) -> Iterator[None]:
    """Put the path into the error of a full disk that a write raises without one: a disk is full at a place."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_open(path) as file:
        file.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically, with sorted keys never forced: the order given is kept."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def json_ready(value: Any) -> Any:
    """Return the value in plain JSON types: arrays as lists, NaN and infinities as None, anything unknown as text."""
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int)) or value is None else str(value)


def read_json(path: str | Path, *, finite: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        finite: whether NaN, infinities and numbers beyond what 64 bits hold are errors. Files of other programs may
            have them: the configurations of some models do.

    Raises:
        DataError: the file is missing or not JSON; the message names the file and the place.
    """
    path = Path(path)
    checks = {"parse_constant": _no_number, "parse_float": _finite, "parse_int": _whole} if finite else {}
    try:
        return json.loads(path.read_text(encoding="utf-8"), **checks)
    except FileNotFoundError:
        raise DataError(f"No such file: {path}.", "Check the path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; a JSON file is needed.", "Give the path of the file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}).",
            "Correct that place, or delete the file and run the step that writes it.",
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(f"{path} cannot be read as JSON: {error}.", "Write it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:_LONGEST_SHOWN]} is beyond what a file can hold")
    return value


def _whole(text: str) -> int:
    if len(text) > _LONGEST_SHOWN or abs(value := int(text)) >= _MOST_WHOLE:
        raise ValueError(f"the number {text[:_LONGEST_SHOWN]} is beyond what a file can hold")
    return value
