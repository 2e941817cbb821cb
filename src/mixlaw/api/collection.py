"""A configuration's collection held against its rows: which domains there are, and what is in none of them."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from mixlaw.config import Config
from mixlaw.config.sources import CollectionNode, suggest
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.domain import Domain
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.collection import Census, take_census
from mixlaw.data.reading import Source

_MOST_DOMAINS = 200
_SHOWN = 20


def census_of(collection: CollectionNode, study: Path) -> Census:
    """Return the values of a collection's column; read once, and again where a file changed.

    Args:
        collection: from mix.yaml.
        study: the study folder, in whose cache it is kept.

    Raises:
        DataError: no such source or column; see `take_census`.
    """
    origin = collection.model_dump(include={"path", "subset", "split", "revision", "columns"})
    domain = Domain("collection", **origin)
    source = Source(domain)
    stats = [(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in source.files or ()]
    key = fingerprint([origin, collection.split_by, stats])[:24]
    path = study / "cache" / "collections" / f"{key}.json"
    with contextlib.suppress(DataError):
        return read_document(path, "census", lambda kept: Census(kept["rows"], kept["without"]))
    census = take_census(domain, collection.split_by, source)
    write_document(path, "census", census.to_json())
    return census


def with_domains(config: Config, census: Census) -> Config:
    """Return a configuration whose collection has one domain for each value, where no mapping says otherwise.

    A domain is named after its value: what follows the last slash, with "-" for what is no letter, digit or one of
    "_.+-"; the whole value where two would be alike.

    Raises:
        ConfigError: too many values, or a name that `domains` has too.
    """
    collection = config.collection
    if collection is None or collection.domains is not None:
        return config
    if len(census.rows) > _MOST_DOMAINS:
        raise ConfigError(
            f"collection.split_by: '{collection.split_by}' has {len(census.rows):,} values. Without "
            f"collection.domains each value becomes a domain, and at most {_MOST_DOMAINS} are possible.",
            "Group the values into domains: collection.domains: {math: [<value>, ...]}.",
        )
    short = {value: _name(value.rpartition("/")[2]) for value in census.rows}
    names = list(short.values())
    named = {(short[v] if names.count(short[v]) == 1 else _name(v)): [v] for v in census.rows}
    if len(named) < len(census.rows):
        named = {value: [value] for value in census.rows}
    return config.with_collection(named, "mix.yaml")


def _name(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", value).strip("-") or value


def check_values(config: Config, census: Census) -> None:
    """Raise ConfigError where a value of the mapping never occurs: with every such value, and those that there are."""
    collection = config.collection
    if collection is None:
        return
    column, there = collection.split_by, list(census.rows)
    shown = ", ".join(map(repr, there[:_SHOWN])) + (f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else "")
    missing = [(d, v) for d, values in (collection.domains or {}).items() for v in values if v not in census.rows]
    if not missing:
        return
    remedy = f"The values of '{column}' are {shown}."
    if len(missing) == sum(map(len, (collection.domains or {}).values())):
        raise ConfigError(
            f"collection.domains: nothing matches: no row of {collection.path} has a '{column}' of "
            f"{', '.join(repr(value) for _, value in missing[:_SHOWN])}.",
            remedy,
        )
    lines = [f"collection.domains.{d}: no row has the {column} '{v}'{_close(v, there)}" for d, v in missing]
    raise ConfigError("; ".join(lines).rstrip("?.") + ("?" if lines[-1].endswith("?") else "."), remedy)


def _close(value: str, there: list[str]) -> str:
    close = suggest(value, there)
    return close if close.startswith(", did") else ""


def left_out(config: Config, census: Census) -> str | None:
    """Return a sentence about the rows of a collection that are in no domain, or None where there are none."""
    collection = config.collection
    if collection is None:
        return None
    mapped = {value for values in (collection.domains or {}).values() for value in values}
    others = {value: rows for value, rows in census.rows.items() if value not in mapped}
    rows = sum(others.values()) + census.without
    if not rows:
        return None
    named = [f"'{value}' ({count:,})" for value, count in list(others.items())[:_SHOWN]]
    named += [f"{len(others) - _SHOWN} other values"] if len(others) > _SHOWN else []
    named += [f"without a value ({census.without:,})"] if census.without else []
    total = sum(census.rows.values()) + census.without
    return (
        f"collection: {rows:,} of {total:,} rows are in no domain and are not used; their '{collection.split_by}': "
        f"{', '.join(named)}."
    )
