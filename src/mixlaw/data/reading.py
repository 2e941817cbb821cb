"""Raw rows from JSONL, JSONL.gz, Parquet or a Hugging Face dataset, one at a time, each with its place for messages."""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError, MissingExtra

SUFFIXES = (".jsonl", ".jsonl.gz", ".json.gz", ".ndjson", ".parquet")


@dataclass(frozen=True)
class RawRow:
    """One row as it stands in the source.

    Attributes:
        values: column -> value.
        place: how a message names it: file and line or row.
        number: its index over all of the domain's files, from 0.
    """

    values: dict[str, Any]
    place: str
    number: int


def source_files(domain: Domain) -> list[Path] | None:
    """Return the domain's local files, sorted, or None where its path is a Hugging Face dataset id.

    Raises:
        DataError: the path looks local and there is no such file, or a folder or glob holds no data files.
    """
    path = Path(domain.path).expanduser()
    if path.is_file():
        if not path.name.endswith((*SUFFIXES, ".json")):
            raise DataError(
                f"Domain '{domain.name}': {path} is not one of {', '.join(SUFFIXES)}.",
                "Convert or rename the file.",
            )
        return [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.name.endswith(SUFFIXES) and f.is_file())
        if not files:
            raise DataError(
                f"Domain '{domain.name}': the folder {path} holds no {', '.join(SUFFIXES)} files.",
                "Check the path.",
            )
        return files
    if any(sign in domain.path for sign in "*?["):
        files = sorted(Path(f) for f in glob.glob(str(path)) if f.endswith(SUFFIXES))
        if not files:
            raise DataError(f"Domain '{domain.name}': no file matches {domain.path}.", "Check the pattern.")
        return files
    local = domain.path.startswith(("/", "./", "../", "~")) or domain.path.endswith((*SUFFIXES, ".json"))
    if local or domain.path.count("/") > 1:
        raise DataError(f"Domain '{domain.name}': no such file or folder: {path}.", "Check the path.")
    return None


def read_rows(domain: Domain, files: Sequence[Path] | None) -> Iterator[RawRow]:
    """Yield the domain's rows in order.

    Raises:
        DataError: a malformed line (file and line number), a damaged file, or a data set that cannot be loaded.
        MissingExtra: Parquet or the hub is needed and the package for it is not installed.
    """
    number = 0
    if files is None:
        for i, values in enumerate(_hub_rows(domain)):
            yield RawRow(values, f"{domain.path} ({domain.split}), row {i + 1}", i)
        return
    for file in files:
        reader = _parquet_rows if file.name.endswith(".parquet") else _json_lines
        for place, values in reader(file):
            yield RawRow(values, f"{file}, {place}", number)
            number += 1


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    opener = gzip.open if file.name.endswith(".gz") else open
    line = 0
    try:
        with opener(file, "rb") as stream:
            for line, raw in enumerate(stream, 1):
                text = raw.decode("utf-8-sig" if line == 1 else "utf-8").strip()
                if not text:
                    continue
                values = json.loads(text)
                if not isinstance(values, dict):
                    raise DataError(
                        f"{file}, line {line}: a JSON {type(values).__name__}, a row must be an object.",
                        "Write one object a line.",
                    )
                yield f"line {line}", values
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}, line {line}: not valid JSON ({error.msg}, column {error.colno}).",
            "Mend or drop that line; JSONL has one whole object a line.",
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}, line {line}: not UTF-8 ({error.reason}).", "Write it as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(f"{file}, line {line}: cannot be read as JSON ({error}).", "Mend or drop that line.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file}, after line {line}: damaged gzip file ({error}).", "Fetch the file again.") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.", "Check the file.") from None


def _parquet_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", "Reading Parquet") from None
    row = 0
    try:
        with parquet.ParquetFile(file) as source:
            for batch in source.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    row += 1
                    yield f"row {row}", values
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}, after row {row}: a text is not UTF-8 ({error.reason}).", "Write it as UTF-8."
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file: {error}.", "Fetch the file again.") from None


def _hub_rows(domain: Domain) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "train", "Loading a Hugging Face dataset") from None
    try:
        loaded = datasets.load_dataset(domain.path, domain.subset, split=domain.split, revision=domain.revision)
    except Exception as error:  # the library raises a dozen kinds, from ValueError to network errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"Domain '{domain.name}': '{domain.path}' is no local file, and loading it as a Hugging Face dataset "
            f"failed: {reason}",
            "Check the path, the split and the network; a local file needs its suffix (.jsonl, .parquet).",
        ) from None
    for row in loaded:
        yield dict(row)  # type: ignore[arg-type]
