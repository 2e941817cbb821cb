"""What a domain is and where its rows come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("messages", "conversations", "prompt", "completion", "instruction", "input", "output", "system")
"""Standard names of columns, in all formats: what `Domain.columns` may rename."""

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
    split_by: str | None = None
    values: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**self.__dict__, "columns": dict(self.columns), "values": list(self.values)}
