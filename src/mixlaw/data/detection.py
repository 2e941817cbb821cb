"""Which format the rows of a source have, seen in the first of them; and what the nearest is where they have none."""

from __future__ import annotations

import difflib
import itertools
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.formats import detect_format
from mixlaw.data.reading import RawRow, Source, read_rows
from mixlaw.data.tokenise import empty
from mixlaw.data.turns import KEYS

_ROWS = 100
"""How many rows are looked at: the first may have nothing in the columns that tell."""

_SHOWN = 30

_ASKED = ("question", "query", "problem", "user", "human", "input", "instruction", "request", "user_prompt", "task")
_ANSWERED = (
    "response",
    "answer",
    "output",
    "solution",
    "assistant",
    "reply",
    "target",
    "chosen",
    "gpt",
    "generation",
    "final_answer",
)
_MORE = {"input": ("context", "input", "passage"), "system": ("system_prompt", "system_message", "system")}
_CLOSE = 0.8


def source_format(domain: Domain, source: Source) -> str:
    """Return how the rows of a source are written: the domain's format, or that of the first row that has one.

    A column without a value in a row says nothing about its format.

    Raises:
        DataError: no known format, or no rows at all.
    """
    if domain.format != "auto":
        return domain.format
    seen: list[RawRow] = []
    for row in itertools.islice(read_rows(replace(domain, split_by=None), source), _ROWS):
        seen.append(row)
        known = {name: value for name, value in row.values.items() if value is not None}
        for values in ({name: value for name, value in known.items() if value not in ("", [])}, known):
            if (form := detect_format(values, domain.columns)) is not None:
                return form
    if not seen:
        raise empty(domain)
    raise unknown_format(seen, domain.columns)


def column_names(domain: Domain) -> list[str]:
    """Return the names of columns in the first rows of a domain's source.

    Raises:
        DataError: no such source, or a malformed row.
    """
    rows = itertools.islice(read_rows(domain, Source(domain)), _ROWS)
    return list(dict.fromkeys(name for row in rows for name in row.values))


def unknown_format(rows: Iterable[RawRow], columns: Mapping[str, str]) -> DataError:
    """Return the error of rows in no known format: with the columns that there are, and the nearest format."""
    rows = list(rows)
    values = {name: None for row in rows for name in row.values}
    for row in reversed(rows):
        values.update({name: value for name, value in row.values.items() if value is not None})
    there = ", ".join(f"{name!r} ({_kind(value)})" for name, value in list(values.items())[:_SHOWN]) or "none"
    there += f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    # Keys of turns are in no row, and a name with dots means a column inside another.
    absent = [
        f"{standard}: {name}"
        for standard, name in columns.items()
        if standard not in KEYS and name not in values and name.partition(".")[0] not in values
    ]
    said = f" (`columns` names {', '.join(absent)}, which is not there)" if absent else ""
    fact = f"{rows[0].place}: no known format{said}; the columns are {there}."
    if absent and (form := detect_format(values, {})) is not None:
        return DataError(fact, f"Correct the name, or delete `columns`: without it the rows are read as {form}.")
    return DataError(fact, _remedy(values))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "true or false"
    if isinstance(value, (int, float)):
        return "number"
    return "list" if isinstance(value, list) else "object" if isinstance(value, Mapping) else type(value).__name__


def _remedy(values: Mapping[str, Any]) -> str:
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        return "No column has a value: fill them, or delete these rows."
    found = nearest(values)
    if any(standard != name for standard, name in found.items()):
        names = "messages" if "messages" in found else "conversations" if "conversations" in found else ""
        names = names or ("prompt + completion" if "prompt" in found else "instruction + output")
        # Who calls a column by its standard name has nothing to rename.
        renames = {standard: name for standard, name in found.items() if standard != name}
        yaml = ", ".join(f"{standard}: {_yaml(name)}" for standard, name in renames.items())
        options = " ".join(f"--columns {shlex.quote(f'{standard}={name}')}" for standard, name in renames.items())
        return f"It looks like {names}: write columns: {{{yaml}}} in mix.yaml, or give init {options}."
    wrapped = [name for name, value in values.items() if _is_list_of_objects(value)]
    if len(wrapped) > 1 and len(wrapped) == len(values):
        return f"The rows seem to be under {' and '.join(map(repr, wrapped))}: write them to files of their own."
    if list(values) == ["text"]:
        return "Plain text has no answers to learn: split it into messages, or into prompt and completion."
    return (
        "Accepted: messages, conversations, prompt + completion, or instruction + output; rename with columns: "
        "{messages: <name in the file>}."
    )


def nearest(values: Mapping[str, Any]) -> dict[str, str]:
    """Return standard column -> name in the file of the format that a row comes nearest to; empty for none."""
    for name, value in values.items():
        if name != "rejected" and (standard := _turns(value)) is not None:
            return {standard: name}
    left = {re.sub(r"\W+", "_", name).lower(): name for name in values}
    answer = _first(left, ("output", "completion", *_ANSWERED))
    if answer is None:
        return {}
    asked = {standard: name for standard, name in left.items() if name != answer}
    question = _first(asked, ("instruction", "prompt", *_ASKED))
    if question is None:
        return {}
    rest = {standard: name for standard, name in asked.items() if name != question}
    more = {standard: found for standard, near in _MORE.items() if (found := _first(rest, near, close=False))}
    if more or question == "instruction":
        return {"instruction": question, "output": answer, **more}
    return {"prompt": question, "completion": answer}


def _first(there: Mapping[str, str], near: Iterable[str], close: bool = True) -> str | None:
    """Return the name in the file of the first of some words, or of one that is spelt nearly so."""
    near = list(near)
    for word in near:
        if word in there:
            return there[word]
    if close:
        for word in near:
            if found := difflib.get_close_matches(word, there, 1, _CLOSE):
                return there[found[0]]
    return None


def _turns(value: Any) -> str | None:
    """Return what a column of turns is called: messages with a role, conversations with `from`; None of another."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip()[:1] == "[" else None
        except (ValueError, RecursionError):
            return None
    if not _is_list_of_objects(value):
        return None
    return "messages" if "role" in value[0] else "conversations" if "from" in value[0] else None


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _yaml(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else json.dumps(name, ensure_ascii=False)
