"""LLaMA-Factory: dataset_info.json and a YAML for `llamafactory-cli train`.

It knows a file's type by its suffix, so compressed files cannot be meant by reference. `num_samples` takes so many
rows at random, and beyond the rows that there are draws the others with replacement.

`neat_packing` keeps packed conversations apart with every attention; with `fa2` it wants one row per batch. Rows that
are tokens already (`tokenized_path`) it does not pack.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from mixlaw.core.errors import ConfigError
from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Recipe, Source, Training, drift, require
from mixlaw.data.exports.sharegpt import TAGS

_OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_OPENAI |= {"system_tag": "system"}
_SHAREGPT = {"user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}
_TAGS = (_SHAREGPT, {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"})
_TEMPLATE = (
    "No template is named: LLaMA-Factory makes one of the tokenizer's, and writes calls, tools and the ends of turns "
    "in its own way. With --rows tokens it trains on the tokens that mixlaw counted."
)
_TOKENS = "LLaMA-Factory does not pack rows of tokens, so a batch holds whole conversations."
_ATTENTION = {"eager": "disabled", "sdpa": "sdpa", "flash_attention_2": "fa2"}
_COMMAND = "llamafactory-cli train sft.yaml"


def recipe(training: Training) -> Recipe:
    """Return dataset_info.json and sft.yaml."""
    info = _by_reference(training) if training.by_reference else _files(training)
    train = training.train
    rows, accumulated = _batch(training)
    tokens = training.rows.tokens
    packing = train["packing"] and not tokens
    config: dict[str, Any] = {
        "model_name_or_path": training.model,
        "model_revision": training.revision or "main",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": ".",
        "dataset": ",".join(info),
        # A template is looked up in any case; `empty` writes nothing into rows that are tokens.
        **({"tokenized_path": training.files[0], "template": "empty"} if tokens else {}),
        "mix_strategy": "concat",
        "cutoff_len": train["max_length"] + packing,  # its loader takes one off where it packs
        "packing": packing,
        "neat_packing": packing,
        **({"flash_attn": _ATTENTION[training.attention]} if training.attention != "auto" else {}),
        "output_dir": "output",
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
    notes = [ONE_EPOCH, _TOKENS if tokens else _TEMPLATE, "With a GPU that has bfloat16, add bf16=true to the command."]
    files = {
        "dataset_info.json": json.dumps(info, indent=2, ensure_ascii=False) + "\n",
        "sft.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    }
    return Recipe(
        files,
        _COMMAND,
        "rows (num_samples)" if training.by_reference else "files",
        drift(training.sources, replacement=True) if training.by_reference else {},
        tuple([*notes, *_skipped(training), HELD_OUT] if training.by_reference else notes),
        gpu_command=f"{_COMMAND} bf16=true",
    )


def _skipped(training: Training) -> list[str]:
    skipped = [f"{s.skipped:,} of {s.rows:,} rows of '{s.name}'" for s in training.sources if s.skipped]
    said = "Roles do not alternate, so LLaMA-Factory skips: "
    return [f"{said}{', '.join(skipped)}. The shares of tokens are off by these rows, too."] if skipped else []


def _batch(training: Training) -> tuple[int, int]:
    """Return rows a device and steps to accumulate, of the same product."""
    train = training.train
    rows, accumulated = train["per_device_train_batch_size"], train["gradient_accumulation_steps"]
    if train["packing"] and training.attention == "flash_attention_2" and not training.rows.tokens:
        return 1, rows * accumulated
    return rows, accumulated


def _files(training: Training) -> dict[str, dict[str, Any]]:
    """Return the entries of dataset_info.json; rows of tokens are found by their path, but an entry must be there."""
    form = {"columns": {"messages": "messages"}, "tags": _OPENAI}
    if training.rows.own:
        columns = {"messages": "conversations"} | ({"tools": "tools"} if "tools" in training.rows.holds else {})
        form = {"columns": columns, "tags": TAGS}
    names = ["mixture"] if len(training.files) == 1 else [f"mixture_{i:05d}" for i in range(len(training.files))]
    return {
        name: {"file_name": file, "formatting": "sharegpt", **form}
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
    named = ("subset", "split")
    where: dict[str, Any] = {"file_name": source.files[0]} if source.files else {"hf_hub_url": source.dataset["path"]}
    where |= {} if source.files else {key: source.dataset[key] for key in named if source.dataset.get(key)}
    keys = source.called
    tags = {"role_tag": keys.role, "content_tag": keys.content} | dict(_TAGS[keys.role != "from"])
    for role, here in source.roles.items():
        tag = f"{here}_tag"
        if role != tags.get(tag) and any(other != role for other, also in source.roles.items() if also == here):
            raise ConfigError(
                f"'{source.name}' has several roles for {here}; LLaMA-Factory knows one.",
                "Export the materialised files: leave out --by-reference.",
            )
        tags[tag] = role
    return {**where, "formatting": "sharegpt", "columns": {"messages": keys.column}, "tags": tags}
