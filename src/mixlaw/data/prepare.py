"""A domain's conversations tokenised, counted and split into training and validation rows; cached by content.

The split is by content: the validation rows are those with the smallest hashes of their messages. It does not depend
on the order of the rows, hardly changes when rows are added, and keeps every conversation that is alike to a held-out
one out of training: within a domain here, between the domains of a study in `mixlaw.data.views`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.core.files import naming_full_disk
from mixlaw.core.fingerprints import file_fingerprint, fingerprint
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation
from mixlaw.data.detection import source_format
from mixlaw.data.entries import SUMMARY, is_sound, new_entry, parts_folder
from mixlaw.data.formats import FORMATS, converter
from mixlaw.data.known_tokenizer import KnownTokenizer
from mixlaw.data.pool import run_tasks
from mixlaw.data.reading import RawRow, Source, read_rows, workers_for
from mixlaw.data.rows import TokenRows
from mixlaw.data.splitting import merge
from mixlaw.data.tokenise import Job, Parts, empty, tokenise
from mixlaw.data.views import without_held_out

_VERSION = 3
"""Part of every cache key: raise it when the same rows would give other tokens."""


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
        truncated: rows cut at `max_length`, dropped ones too.
        lost_tokens: tokens that were cut off.
        duplicates: rows that are alike to validation rows (`mixlaw.data.normal_text`), used on neither side.
        copies: further copies of training rows; a copy is a repeat of its row, so they are not used.
        carried: how many rows have tools, calls, reasoning, weights and the like; see `Conversation.carries`.
        unused: how often rows have a key that is not carried; `messages[].key` for one of a turn.
        entry: the domain's folder in the cache.
        held_out_elsewhere: domain -> training rows left out because a validation row of that domain is alike.
    """

    name: str
    format: str
    train: TokenRows
    validation: TokenRows
    sources: list[dict[str, Any]]
    dropped: int
    truncated: int
    lost_tokens: int
    duplicates: int
    copies: int
    carried: Mapping[str, int]
    unused: Mapping[str, int]
    entry: Path
    held_out_elsewhere: Mapping[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Rows that were read."""
        return sum(source["rows"] for source in self.sources)

    def to_json(self) -> dict[str, Any]:
        """Return the counts and hashes, for `domains.json`."""

        def counts(rows: TokenRows) -> dict[str, Any]:
            found = {key: getattr(rows, key) for key in ("tokens", "supervised_tokens", "fingerprint")}
            return {"rows": len(rows), **found}

        return {
            "format": self.format,
            "sources": self.sources,
            "train": counts(self.train),
            "validation": counts(self.validation),
            "tokens_per_row": self.train.tokens / len(self.train),
            "read": self.read,
            **{key: getattr(self, key) for key in ("dropped", "truncated", "lost_tokens", "duplicates", "copies")},
            "carried": dict(self.carried),
            "unused": dict(self.unused),
            "held_out_elsewhere": dict(self.held_out_elsewhere),
        }


def prepare_domain(
    domain: Domain,
    tokenizer: ChatTokenizer,
    *,
    validation_rows: int,
    max_length: int,
    cache_dir: str | Path,
    workers: int | None = None,
) -> DomainTokens:
    """Return the token rows of a domain that is alone in its study; see `prepare_domains`."""
    return prepare_domains(
        [domain],
        tokenizer,
        validation_rows=validation_rows,
        max_length=max_length,
        cache_dir=cache_dir,
        workers=workers,
    )[domain.name]


def prepare_domains(
    domains: Iterable[Domain],
    tokenizer: ChatTokenizer | KnownTokenizer,
    *,
    validation_rows: int,
    max_length: int,
    cache_dir: str | Path,
    workers: int | None = None,
) -> dict[str, DomainTokens]:
    """Return name -> token rows, from the cache where a domain's content was prepared before.

    What is held out in one of the domains trains in none of them.

    Args:
        domains: where the rows are; the domains of one collection are read together.
        tokenizer: of the model; one that is not loaded yet is loaded where rows are to be tokenised.
        validation_rows: rows to hold out of each; at most a fifth of the distinct ones.
        max_length: longest row, tokens.
        cache_dir: folder of the cache; safe to share between processes.
        workers: processes; None for one a usable core, or this one alone where there is little to do. The result does
            not depend on it.

    Raises:
        DataError: no such source, a malformed row, an empty domain, or no rows left to train on.
    """
    wanted, opened, hashes = [], {}, {}
    for domain in domains:
        if domain.format not in ("auto", *FORMATS):
            raise DataError(
                f"Domain '{domain.name}': the format is '{domain.format}'.", f"Known: auto, {', '.join(FORMATS)}."
            )
        place = source_key(domain)
        if place not in opened:
            opened[place] = Source(domain)
        sources = hashed_sources(domain, opened[place].files, hashes)
        key = _key(domain, sources, tokenizer.fingerprint, max_length, validation_rows)
        wanted.append(_Wanted(domain, opened[place], sources, Path(cache_dir) / key))
    if missing := [w for w in wanted if not is_sound(w.folder, len(w.sources))]:
        with naming_full_disk(cache_dir):
            chat = tokenizer if isinstance(tokenizer, ChatTokenizer) else tokenizer.loaded
            _tokenise(missing, chat, validation_rows, max_length, workers)
    return without_held_out({w.domain.name: w.open() for w in wanted})


def source_key(domain: Domain) -> str:
    """Return what the domains of one collection have in common, and no others."""
    return fingerprint(replace(domain, name="" if domain.split_by else domain.name, values=()).to_json())


def read_together(domains: Iterable[Domain]) -> list[list[Domain]]:
    """Return domains in groups, each of which is read once: those of one source of which no two want the same rows."""
    groups: dict[tuple[str, int], list[Domain]] = {}
    for domain in domains:
        place, turn = source_key(domain), 0
        while any(set(domain.values) & set(other.values) for other in groups.get((place, turn), ())):
            turn += 1
        groups.setdefault((place, turn), []).append(domain)
    return list(groups.values())


@dataclass(frozen=True)
class _Wanted:
    """A domain to prepare: its source, its hashes, and its place in the cache."""

    domain: Domain
    source: Source
    sources: list[dict[str, Any]]
    folder: Path

    def open(self) -> DomainTokens:
        summary = read_document(self.folder / SUMMARY, "prepared")
        for source, rows in zip(self.sources, summary["rows_per_source"], strict=True):
            source["rows"] = rows
            if self.domain.split_by is not None:
                source["split_by"], source["values"] = self.domain.split_by, list(self.domain.values)
        return DomainTokens(
            self.domain.name,
            summary["row_format"],
            TokenRows.open(self.folder / "train"),
            TokenRows.open(self.folder / "validation"),
            self.sources,
            entry=self.folder,
            **{
                key: summary[key]
                for key in ("dropped", "truncated", "lost_tokens", "duplicates", "copies", "carried", "unused")
            },
        )


def _key(domain: Domain, sources: list[dict[str, Any]], tokenizer: str, max_length: int, validation_rows: int) -> str:
    """Return the name of a domain's entry in the cache: the hash of all that its tokens and their split depend on."""
    part = {"split_by": domain.split_by, "values": sorted(domain.values)} if domain.split_by is not None else {}
    return fingerprint(
        {
            "version": _VERSION,
            "sources": [source["sha256"] for source in sources],
            "format": domain.format,
            "columns": dict(domain.columns),
            "roles": dict(domain.roles),
            "ignore": sorted(domain.ignore),
            "tokenizer": tokenizer,
            "max_length": max_length,
            "validation_rows": validation_rows,
            **part,
        }
    )[:24]


def _tokenise(
    missing: list[_Wanted], tokenizer: ChatTokenizer, validation_rows: int, max_length: int, workers: int | None
) -> None:
    """Make the entries that the cache lacks."""
    by_name = {w.domain.name: w for w in {w.folder: w for w in missing}.values()}
    groups = [[by_name[d.name] for d in some] for some in read_together(w.domain for w in by_name.values())]
    jobs = [
        Job([w.domain for w in group], group[0].source, source_format(group[0].domain, group[0].source))
        for group in groups
    ]
    if workers is None:
        workers = workers_for(sum(job.source.bytes for job in jobs))
    cache = missing[0].folder.parent
    cache.mkdir(parents=True, exist_ok=True)
    with parts_folder(cache) as folder:
        found = tokenise(jobs, tokenizer, max_length, folder, workers)
        tasks = [
            (_merge, (w.domain, job.form, len(w.sources), parts, validation_rows, max_length, w.folder))
            for group, job, all_parts in zip(groups, jobs, found, strict=True)
            for w, parts in zip(group, all_parts, strict=True)
        ]
        run_tasks(tasks, workers)


def _merge(
    domain: Domain, form: str, files: int, parts: Parts, validation_rows: int, max_length: int, folder: Path
) -> None:
    with new_entry(folder) as temporary:
        summary = merge(domain, form, files, parts, validation_rows, max_length, temporary)
        write_document(temporary / SUMMARY, "prepared", summary)
    parts.remove()


def conversations(domain: Domain, files: list[Path] | None = None) -> Iterator[tuple[RawRow, Conversation, str]]:
    """Yield (row, conversation, format) for every row of a domain, in order.

    Raises:
        DataError: see `mixlaw.data.reading` and `mixlaw.data.conversations`.
    """
    source = Source(domain, files)
    form = source_format(domain, source)
    convert = converter(form, domain)
    for row in read_rows(domain, source):
        yield row, convert(row.values, row.place), form


def example(domain: Domain, tokenizer: ChatTokenizer) -> list[tuple[str, bool]]:
    """Return the first conversation as rendered, in runs of tokens: (text, whether it is supervised).

    Raises:
        DataError: the domain is empty, or its first row malformed.
    """
    for row, conversation, _ in conversations(domain):
        return tokenizer.parts(tokenizer.render(conversation, row.place))
    raise empty(domain)


def require_unchanged(
    domain: Domain, files: list[Path] | None, prepared: DomainTokens, hashes: dict[str, str] | None = None
) -> None:
    """Raise DataError where a domain's sources are not those whose tokens were counted; see `hashed_sources`."""
    now = [source["sha256"] for source in hashed_sources(domain, files, hashes)]
    if now != [source["sha256"] for source in prepared.sources]:
        raise DataError(
            f"Domain '{domain.name}': its {'dataset' if files is None else 'files'} changed since the tokens were "
            "counted.",
            "Run the command again.",
        )


def hashed_sources(
    domain: Domain, files: list[Path] | None, hashes: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return the path and content hash of each source file, or the name and content hash of a hub dataset.

    Args:
        domain: whose source it is.
        files: its files, or None for a hub dataset.
        hashes: path or name -> hash of what was hashed already; filled. A collection is hashed once, not by domain.
    """
    hashes = {} if hashes is None else hashes
    if files is not None:
        for path in map(str, files):
            hashes[path] = hashes.get(path) or file_fingerprint(path)
        return [{"path": str(file), "sha256": hashes[str(file)]} for file in files]
    # A hub dataset has no file of ours to hash: with a commit its name is its content. Branches and tags move, so with
    # those, or without a revision, its rows are hashed.
    name = f"{domain.path}/{domain.subset or ''}:{domain.split}@{domain.revision or 'latest'}"
    if re.fullmatch(r"[0-9a-f]{40}", domain.revision or ""):
        return [{"path": name, "sha256": fingerprint(name)}]
    if name not in hashes:
        digest = hashlib.sha256()
        for row in read_rows(replace(domain, split_by=None), None):
            digest.update(json.dumps(row.values, sort_keys=True, default=str).encode())
        hashes[name] = digest.hexdigest()
    return [{"path": name, "sha256": hashes[name]}]
