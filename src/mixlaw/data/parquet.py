"""Conversations in Parquet: one schema for all files of a mixture, with the columns that any of its rows needs.

Objects whose keys differ from row to row (`tools`, a call's `arguments`, `chat_template_kwargs`) are JSON text: Arrow
would give every row the keys of all others, with nulls. The reader takes them back (`mixlaw.data.turns`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixlaw.data.conversations import with_text_arguments
from mixlaw.data.readers import arrow

_ROWS = 2048
_TEXTS = ("tools", "chat_template_kwargs")


def schema(carried: frozenset[str]) -> Any:
    """Return the Arrow schema of rows that carry some keys; see `Conversation.carries`."""
    pa, _ = arrow("Writing Parquet")
    function = pa.struct([("name", pa.string()), ("arguments", pa.string())])
    call = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", function)])
    kinds = {"tool_calls": pa.list_(call), "weight": pa.int8()}
    keys = ("reasoning_content", "tool_calls", "tool_call_id", "name", "weight")
    message = [("role", pa.string()), ("content", pa.string())]
    message += [(key, kinds.get(key, pa.string())) for key in keys if key in carried]
    columns = [("messages", pa.list_(pa.struct(message)))]
    columns += [(key, pa.string()) for key in _TEXTS if key in carried]
    return pa.schema([*columns, ("domain", pa.string())])


def write_parquet(file: Path, lines: Iterable[bytes], carried: frozenset[str]) -> None:
    """Write lines, as `Conversation.line` has them, as a Parquet file.

    Args:
        file: to write.
        lines: JSON objects in bytes.
        carried: what any of the mixture's rows carries.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pa, parquet = arrow("Writing Parquet")
    from pyarrow.json import ParseOptions, ReadOptions, read_json

    columns = schema(carried)
    with parquet.ParquetWriter(file, columns, compression="zstd") as writer:
        lines = iter(lines)
        while some := list(itertools.islice(lines, _ROWS)):
            if carried:
                writer.write_table(pa.Table.from_pylist([flat(json.loads(line)) for line in some], columns))
                continue
            whole = b"".join(some)
            writer.write_table(
                read_json(
                    pa.BufferReader(whole),
                    ReadOptions(use_threads=False, block_size=len(whole) + 1),
                    ParseOptions(explicit_schema=columns, unexpected_field_behavior="error"),
                )
            )


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose objects of changing keys are JSON text."""
    found = dict(row)
    for key in _TEXTS:
        if key in found:
            found[key] = json.dumps(found[key], ensure_ascii=False)
    found["messages"] = [
        {**message, "tool_calls": list(map(with_text_arguments, message["tool_calls"]))}
        if "tool_calls" in message
        else message
        for message in row["messages"]
    ]
    return found
