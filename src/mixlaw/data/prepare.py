"""A domain's conversations tokenised, counted and split into training and validation rows; cached by content.

The split is by content: the validation rows are those with the smallest hashes of their messages. It does not depend
on the order of the rows, hardly changes when rows are added, and puts every copy of a held-out conversation on the
validation side, so none leaks into training.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.core.files import read_json, write_json
from mixlaw.core.fingerprints import file_fingerprint, fingerprint
from mixlaw.data.chat import ChatTokenizer, Tokenised
from mixlaw.data.conversations import FORMATS, Messages, converter, detect_format
from mixlaw.data.reading import RawRow, read_rows, source_files
from mixlaw.data.rows import TokenRows, replace_folder

_VERSION = 1
"""Part of every cache key: raise it when the same rows would give other tokens."""

_CHUNK = 512
_LARGEST_SHARE = 0.2


@dataclass(frozen=True)
class DomainTokens:
    """A prepared domain.

    Attributes:
        name: the domain's name.
        format: how its rows are written.
        train: rows to train on.
        validation: held-out rows.
        sources: path, content hash and rows of each file (a dataset id instead of a path for the hub).
        dropped: rows whose supervised tokens all lay beyond `max_length`.
        truncated: rows cut at `max_length`.
        duplicates: further copies of validation rows, used on neither side.
    """

    name: str
    format: str
    train: TokenRows
    validation: TokenRows
    sources: list[dict[str, Any]]
    dropped: int
    truncated: int
    duplicates: int

    def to_json(self) -> dict[str, Any]:
        """Return the counts and hashes, for `domains.json`."""

        def counts(rows: TokenRows) -> dict[str, Any]:
            return {
                "rows": len(rows),
                "tokens": rows.tokens,
                "supervised_tokens": rows.supervised_tokens,
                "fingerprint": rows.fingerprint,
            }

        return {
            "format": self.format,
            "sources": self.sources,
            "train": counts(self.train),
            "validation": counts(self.validation),
            "tokens_per_row": self.train.tokens / len(self.train),
            "dropped": self.dropped,
            "truncated": self.truncated,
            "duplicates": self.duplicates,
        }


def prepare_domain(
    domain: Domain, tokenizer: ChatTokenizer, *, validation_rows: int, max_length: int, cache_dir: str | Path
) -> DomainTokens:
    """Return the domain's token rows, from the cache where its content was prepared before.

    Args:
        domain: where the rows are.
        tokenizer: of the model.
        validation_rows: rows to hold out; at most a fifth of the distinct ones.
        max_length: longest row, tokens.
        cache_dir: folder of the cache; safe to share between processes.

    Raises:
        DataError: no such source, a malformed row, an empty domain, or no rows left to train on.
    """
    if domain.format not in ("auto", *FORMATS):
        raise DataError(
            f"Domain '{domain.name}': the format is '{domain.format}'.", f"Known: auto, {', '.join(FORMATS)}."
        )
    files = source_files(domain)
    sources = hashed_sources(domain, files)
    key = fingerprint(
        {
            "version": _VERSION,
            "sources": [source["sha256"] for source in sources],
            "format": domain.format,
            "columns": dict(domain.columns),
            "tokenizer": tokenizer.fingerprint,
            "max_length": max_length,
            "validation_rows": validation_rows,
        }
    )[:24]
    folder = Path(cache_dir) / key
    if not (folder / "summary.json").exists():
        with _new_entry(folder) as temporary:
            summary = _tokenise(domain, files, tokenizer, validation_rows, max_length, temporary)
            write_json(temporary / "summary.json", summary)
    summary = read_json(folder / "summary.json")
    for source, rows in zip(sources, summary["rows_per_source"], strict=True):
        source["rows"] = rows
    return DomainTokens(
        domain.name,
        summary["format"],
        TokenRows.open(folder / "train"),
        TokenRows.open(folder / "validation"),
        sources,
        summary["dropped"],
        summary["truncated"],
        summary["duplicates"],
    )


def conversations(domain: Domain, files: list[Path] | None = None) -> Iterator[tuple[RawRow, Messages, str]]:
    """Yield (row, messages, format) for every row of a domain, in order.

    Raises:
        DataError: see `mixlaw.data.reading` and `mixlaw.data.conversations`.
    """
    files = files or source_files(domain)
    form, convert = domain.format, None
    for row in read_rows(domain, files):
        if convert is None:
            form = detect_format(row.values, domain.columns, row.place) if form == "auto" else form
            convert = converter(form, domain.columns)
        yield row, convert(row.values, row.place), form


def example(domain: Domain, tokenizer: ChatTokenizer) -> list[tuple[str, bool]]:
    """Return the first conversation as rendered, in parts of (text, whether it is supervised).

    Raises:
        DataError: the domain is empty, or its first row malformed.
    """
    for row, messages, _ in conversations(domain):
        text, spans = tokenizer.render(messages, row.place)
        parts, at = [], 0
        for first, last in spans:
            parts += [(text[at:first], False), (text[first:last], True)]
            at = last
        return [part for part in [*parts, (text[at:], False)] if part[0]]
    raise _empty(domain)


@contextlib.contextmanager
def _new_entry(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the cache entry `folder` when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            os.rename(temporary, folder)
        except OSError:
            # A complete entry is another process's: it stays, since others may be opening it just now.
            if not (folder / "summary.json").exists():
                replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _empty(domain: Domain) -> DataError:
    return DataError(f"Domain '{domain.name}' is empty: {domain.path} has no rows.", "Add rows, or drop the domain.")


def hashed_sources(domain: Domain, files: list[Path] | None) -> list[dict[str, Any]]:
    """Return the path and content hash of each source file, or the name and content hash of a hub dataset."""
    if files is not None:
        return [{"path": str(file), "sha256": file_fingerprint(file)} for file in files]
    # A hub dataset has no file of ours to hash: with a commit its name is its content. Branches and tags move, so with
    # those, or without a revision, its rows are hashed.
    name = f"{domain.path}/{domain.subset or ''}:{domain.split}@{domain.revision or 'latest'}"
    if re.fullmatch(r"[0-9a-f]{40}", domain.revision or ""):
        return [{"path": name, "sha256": fingerprint(name)}]
    digest = hashlib.sha256()
    for row in read_rows(domain, None):
        digest.update(json.dumps(row.values, sort_keys=True, default=str).encode())
    return [{"path": name, "sha256": digest.hexdigest()}]


def _tokenise(
    domain: Domain,
    files: list[Path] | None,
    tokenizer: ChatTokenizer,
    validation_rows: int,
    max_length: int,
    folder: Path,
) -> dict[str, Any]:
    rows: list[tuple[int, bytes, Tokenised]] = []
    seen, truncated, dropped, form = 0, 0, 0, domain.format
    per_source: Counter[str] = Counter()
    stream = conversations(domain, files)
    while chunk := list(islice(stream, _CHUNK)):
        rendered = [tokenizer.render(messages, row.place) for row, messages, _ in chunk]
        form = chunk[0][2]
        for (row, messages, _), tokens in zip(chunk, tokenizer.encode(rendered, max_length), strict=True):
            seen += 1
            per_source[row.place.rsplit(", ", 1)[0]] += 1
            truncated += tokens.truncated
            # The first token of a row is predicted from nothing, so a mask on it alone is no supervision either.
            if not tokens.supervised[1:].any():
                dropped += 1
                continue
            digest = hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode()).digest()
            rows.append((row.number, digest, tokens))
    if seen == 0:
        raise _empty(domain)
    if not rows:
        raise DataError(
            f"Domain '{domain.name}': in all {seen} rows the answer begins beyond max_length={max_length} tokens.",
            "Raise train.max_length.",
        )
    held = _held_out({digest for _, digest, _ in rows}, validation_rows)
    train = [row for row in rows if row[1] not in held]
    if not train:
        raise DataError(
            f"Domain '{domain.name}' has {len(rows)} usable rows, all alike or held out for validation: none is left "
            "to train on.",
            "Add rows to it.",
        )
    validation = list({digest: (n, digest, tokens) for n, digest, tokens in rows if digest in held}.values())
    for name, part in (("train", train), ("validation", validation)):
        TokenRows.write(
            folder / name,
            [(tokens.ids, tokens.supervised) for _, _, tokens in part],
            [number for number, _, _ in part],
            [tokens.supervised_bytes for _, _, tokens in part],
        )
    return {
        "format": form,
        "rows_per_source": [per_source[str(file)] for file in files] if files is not None else [seen],
        "dropped": dropped,
        "truncated": truncated,
        "duplicates": len(rows) - len(train) - len(validation),
    }


def _held_out(digests: set[bytes], validation_rows: int) -> set[bytes]:
    """Return the smallest hashes: as many as wanted, at most a fifth of them, at least one."""
    count = max(1, min(validation_rows, int(_LARGEST_SHARE * len(digests))))
    return set(heapq.nsmallest(count, digests))
