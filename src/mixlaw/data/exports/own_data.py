"""The data of an export, in its own folder: files of a mixture linked, written anew in a tool's form, or as tokens.

Everything is written into a new folder first, which takes the place of the old one where that holds the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import MissingExtra, StudyError
from mixlaw.core.fingerprints import file_fingerprint
from mixlaw.data.conversations import Conversation, with_text_arguments
from mixlaw.data.formats import converter
from mixlaw.data.mixture_plan import MixturePlan, shard_names
from mixlaw.data.readers import arrow
from mixlaw.data.reading import read_rows
from mixlaw.data.rows import TokenRows

_AT_ONCE = 1024
Row = tuple[Conversation, str, str]
"""A conversation, its domain, and its place for messages."""
Convert = Callable[[Conversation], Mapping[str, Any]]


def mixture_rows(mixture: Path, names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a mixture's files, in order."""
    domain = Domain("mixture", str(mixture), format="messages")
    convert = converter("messages", domain)
    for row in read_rows(domain, [mixture / name for name in names]):
        yield convert(row.values, row.place), row.values["domain"], row.place


def message_row(conversation: Conversation, text_arguments: bool) -> dict[str, Any]:
    """Return a row for TRL or Axolotl: tools as JSON text, `train: false` on answers without loss.

    Args:
        conversation: the row.
        text_arguments: whether arguments of calls are JSON text, of which Arrow makes one type for all rows.
    """
    messages = []
    for message in conversation.messages:
        turn = {key: value for key, value in message.items() if key != "weight"}
        turn["content"] = message["content"] or ""
        if "tool_calls" in turn and text_arguments:
            turn["tool_calls"] = list(map(with_text_arguments, turn["tool_calls"]))
        if message.get("weight") == 0:
            turn["train"] = False
        messages.append(turn)
    return {"messages": messages, "tools": json.dumps(conversation.tools or [], ensure_ascii=False)}


def link(sources: Iterable[Path], folder: Path) -> list[str]:
    """Put files into a folder, as hard links where that is possible; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for source in sources:
        target = folder / source.name
        try:
            os.link(source.resolve(), target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)
        names.append(source.name)
    return names


def write_rows(rows: Iterable[Row], convert: Convert, file: Path) -> Counter[tuple[str, str]]:
    """Write converted rows as JSONL; return (domain, reason) -> rows for which there is no conversion (ValueError)."""
    dropped: Counter[tuple[str, str]] = Counter()
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as stream:
        for conversation, domain, _ in rows:
            try:
                row = convert(conversation)
            except ValueError as error:
                dropped[domain, str(error)] += 1
                continue
            stream.write(json.dumps({**row, "domain": domain}, ensure_ascii=False).encode() + b"\n")
    return dropped


def write_tokens(plan: MixturePlan, rows: Mapping[str, TokenRows], folder: Path) -> list[str]:
    """Write the rows of a plan as Parquet of input_ids, attention_mask and labels; return the files' names.

    Args:
        plan: which rows, in which order and files.
        rows: domain -> its training rows, as tokens.
        folder: where to.
    """
    pa, parquet = arrow("Exporting tokens")
    folder.mkdir(parents=True, exist_ok=True)
    domains = list(plan.samples)
    places = np.concatenate([plan.places[name] for name in domains])
    order = np.argsort(places, kind="stable")
    owners = np.repeat(np.arange(len(domains)), [len(plan.samples[name]) for name in domains])[order]
    numbers = np.concatenate([plan.samples[name] for name in domains])[order]
    names = shard_names(plan.shards, "parquet")
    ids, bits = pa.list_(pa.int32()), pa.list_(pa.int8())
    schema = pa.schema([("input_ids", ids), ("attention_mask", bits), ("labels", ids)])
    for s, name in enumerate(names):
        first, last = int(plan.shard_starts[s]), int(plan.shard_starts[s + 1])
        with parquet.ParquetWriter(folder / name, schema, compression="zstd") as writer:
            for a in range(first, last, _AT_ONCE):
                chosen = slice(a, min(a + _AT_ONCE, last))
                columns = _columns([rows[domains[o]] for o in owners[chosen]], numbers[chosen].tolist())
                writer.write_table(pa.table(columns, schema))
    return names


def _columns(rows: Sequence[TokenRows], numbers: Sequence[int]) -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for row, number in zip(rows, numbers, strict=True):
        part = slice(int(row.offsets[number]), int(row.offsets[number + 1]))
        ids = np.asarray(row.ids[part]).astype(np.int32)
        found["input_ids"].append(ids)
        found["attention_mask"].append(np.ones(len(ids), np.int8))
        found["labels"].append(np.where(np.asarray(row.supervised[part]) == 1, ids, -100).astype(np.int32))
    return found


def as_saved_dataset(files: Sequence[Path], folder: Path) -> None:
    """Write Parquet files as a folder for `datasets.load_from_disk`.

    Raises:
        MissingExtra: datasets is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError:
        raise MissingExtra("datasets", "train", "Exporting tokens for LLaMA-Factory") from None
    cache = folder.parent / ".cache"
    try:
        data = Dataset.from_parquet([str(file) for file in files], cache_dir=str(cache))
        data.save_to_disk(str(folder))  # type: ignore[union-attr]
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def settle(new: Path, old: Path) -> None:
    """Let a new folder become the old one, unless that is there already and holds the same.

    Raises:
        StudyError: it holds something else.
    """
    if not old.exists():
        os.replace(new, old)
        return
    files = _files(new)
    same = files.keys() == _files(old).keys() and all(_same(file, old / name) for name, file in files.items())
    shutil.rmtree(new)
    if not same:
        raise StudyError(
            f"{old} exists and differs; an export never replaces a file.",
            "Choose another folder with --out, or delete the file.",
        )


def _files(folder: Path) -> dict[str, Path]:
    # What `datasets` writes beside the rows has a name that it draws.
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in ("state.json", "dataset_info.json")]
    return {str(p.relative_to(folder)): p for p in files}


def _same(file: Path, other: Path) -> bool:
    return file.samefile(other) or file_fingerprint(file) == file_fingerprint(other)
