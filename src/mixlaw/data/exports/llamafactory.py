"""LLaMA-Factory: dataset_info.json and a YAML for `llamafactory-cli train`.

It knows a file's type by its suffix, so compressed files cannot be meant by reference. `num_samples` takes so many
rows at random, and beyond the rows that there are draws the others with replacement.

`neat_packing` keeps packed conversations apart with every attention; with `fa2` it wants one row a batch.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from mixlaw.core.errors import ConfigError
from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Recipe, Source, Training, drift, require

_OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_OPENAI |= {"system_tag": "system"}
_ATTENTION = {"eager": "disabled", "sdpa": "sdpa", "flash_attention_2": "fa2"}


def recipe(training: Training) -> Recipe:
    """Return dataset_info.json and sft.yaml."""
    info = _by_reference(training) if training.by_reference else _files(training)
    train = training.train
    rows, accumulated = _batch(training)
    config: dict[str, Any] = {
        "model_name_or_path": training.model,
        "model_revision": training.revision or "main",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": "{folder}",
        "dataset": ",".join(info),
        "mix_strategy": "concat",
        "cutoff_len": train["max_length"],
        "packing": train["packing"],
        "neat_packing": train["packing"],
        **({"flash_attn": _ATTENTION[training.attention]} if training.attention != "auto" else {}),
        "output_dir": "{folder}/output",
        "num_train_epochs": 1.0,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": accumulated,
        "learning_rate": train["learning_rate"],
        "lr_scheduler_type": train["lr_scheduler_type"],
        "warmup_ratio": train["warmup_ratio"],
        "weight_decay": train["weight_decay"],
        "max_grad_norm": train["max_grad_norm"],
        "seed": training.seed,
        "report_to": "none",
    }
    notes = [ONE_EPOCH, "No template is named: the tokenizer's own is taken, as mixlaw did."]
    files = {
        "dataset_info.json": json.dumps(info, indent=2, ensure_ascii=False) + "\n",
        "sft.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    }
    return Recipe(
        files,
        "llamafactory-cli train sft.yaml",
        "rows (num_samples)" if training.by_reference else "files",
        drift(training.sources, replacement=True) if training.by_reference else {},
        tuple([*notes, HELD_OUT] if training.by_reference else notes),
    )


def _batch(training: Training) -> tuple[int, int]:
    """Return rows a device and steps to accumulate, of the same product."""
    train = training.train
    rows, accumulated = train["per_device_train_batch_size"], train["gradient_accumulation_steps"]
    if train["packing"] and training.attention == "flash_attention_2":
        return 1, rows * accumulated
    return rows, accumulated


def _files(training: Training) -> dict[str, dict[str, Any]]:
    names = ["mixture"] if len(training.files) == 1 else [f"mixture_{i:05d}" for i in range(len(training.files))]
    return {
        name: {"file_name": file, "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": _OPENAI}
        for name, file in zip(names, training.files, strict=True)
    }


def _by_reference(training: Training) -> dict[str, dict[str, Any]]:
    require(
        "LLaMA-Factory",
        training.sources,
        formats=("messages", "sharegpt"),
        suffixes=(".jsonl", ".json", ".parquet"),
    )
    info: dict[str, dict[str, Any]] = {}
    for source in training.sources:
        info[source.name] = {**_reference(source), "num_samples": source.wanted_rows}
    return info


def _reference(source: Source) -> dict[str, Any]:
    if len(source.files) > 1:
        raise ConfigError(
            f"'{source.name}' is {len(source.files)} files; LLaMA-Factory takes one, or a folder of nothing else.",
            "Export the materialised files: leave out --by-reference.",
        )
    keys = ("subset", "split")
    where: dict[str, Any] = {"file_name": source.files[0]} if source.files else {"hf_hub_url": source.dataset["path"]}
    where |= {} if source.files else {key: source.dataset[key] for key in keys if source.dataset.get(key)}
    if source.format == "messages":
        columns = {"messages": source.columns.get("messages", "messages")}
        return {**where, "formatting": "sharegpt", "columns": columns, "tags": _OPENAI}
    columns = {"messages": source.columns.get("conversations", source.columns.get("messages", "conversations"))}
    return {**where, "formatting": "sharegpt", "columns": columns}
