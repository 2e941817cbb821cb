"""What a domain is and where its rows come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COLUMNS = (
    *("messages", "conversations", "prompt", "completion", "instruction", "input", "output", "history"),
    *("system", "tools", "functions", "chat_template_kwargs"),
    *("role", "content", "reasoning_content", "tool_calls", "function_call", "tool_call_id", "name", "weight"),
)
"""Standard names of columns, in all formats, and of the keys of a turn: what `Domain.columns` may rename."""

TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
"""What may follow those of text."""
ARROW_SUFFIXES = (".parquet", ".arrow", ".feather")
FILE_SUFFIXES = (
    *TEXT_SUFFIXES,
    *(text + more for text in TEXT_SUFFIXES for more in COMPRESSED_SUFFIXES),
    *ARROW_SUFFIXES,
)
"""Names of data files end with one of them, in capitals or not."""


@dataclass(frozen=True)
class Domain:
    """A training source that the optimiser may weight.

    Attributes:
        name: its name in every table, file and message.
        path: a JSON, JSONL, CSV, Parquet or Arrow file, a folder or glob of such files, or a Hugging Face dataset id.
        subset: the configuration name of a Hugging Face dataset.
        split: the split of a Hugging Face dataset.
        revision: the commit of a Hugging Face dataset.
        format: `auto`, `messages`, `prompt_completion`, `sharegpt` or `alpaca`.
        columns: renames of columns, standard name -> name in the file, such as `{"messages": "conversations"}`.
        roles: roles in the file that mixlaw does not know -> `system`, `developer`, `user`, `assistant` or `tool`.
        ignore: columns, and keys of turns, to leave out although they change what is learnt.
        split_by: a column whose values say which rows are the domain's; None for all rows.
        values: those values, as text.
    """

    name: str
    path: str
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    split_by: str | None = None
    values: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; roles and what is ignored only where there are any."""
        more = {"roles": dict(self.roles), "ignore": list(self.ignore)}
        found = {**self.__dict__, "columns": dict(self.columns), "values": list(self.values)} | more
        return {key: value for key, value in found.items() if value or key not in more}
