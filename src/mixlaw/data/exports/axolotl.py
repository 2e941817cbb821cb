"""Axolotl: a YAML for `axolotl train`, rows read by its chat_template strategy."""

from __future__ import annotations

from typing import Any

import yaml

from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Recipe, Source, Training, drift, passes, require


def recipe(training: Training) -> Recipe:
    """Return axolotl.yaml."""
    train = training.train
    config: dict[str, Any] = {
        "base_model": training.model,
        **({"revision_of_model": training.revision} if training.revision else {}),
        "chat_template": "tokenizer_default",
        "datasets": _datasets(training),
        "dataset_prepared_path": "{folder}/prepared",
        "val_set_size": 0,
        "dataset_exact_deduplication": False,
        "sequence_len": train["max_length"],
        "excess_length_strategy": "truncate",  # by default it drops conversations that mixlaw has counted, cut
        "sample_packing": train["packing"],
        **_apart(training),
        "train_on_inputs": False,
        "output_dir": "{folder}/output",
        "num_epochs": 1,
        "micro_batch_size": train["per_device_train_batch_size"],
        "gradient_accumulation_steps": train["gradient_accumulation_steps"],
        "optimizer": "adamw_torch",
        "learning_rate": train["learning_rate"],
        "lr_scheduler": train["lr_scheduler_type"],
        "warmup_ratio": train["warmup_ratio"],
        "weight_decay": train["weight_decay"],
        "max_grad_norm": train["max_grad_norm"],
        "bf16": "auto",
        "seed": training.seed,
    }
    notes = [ONE_EPOCH, "Deduplication is off: it would take the repeats away again."]
    if config.get("attn_implementation") == "flash_attention_2":
        notes.append("flash_attention_2 keeps packed conversations apart; where it is not installed, use sdpa.")
    return Recipe(
        {"axolotl.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True)},
        "axolotl train axolotl.yaml",
        "rows (split: train[:n])" if training.by_reference else "files",
        drift(training.sources, replacement=False) if training.by_reference else {},
        tuple([*notes, HELD_OUT] if training.by_reference else notes),
    )


def _apart(training: Training) -> dict[str, Any]:
    """Return the attention; with none named, Axolotl's packed conversations see one another."""
    if training.attention != "auto":
        return {"attn_implementation": training.attention}
    return {"attn_implementation": "flash_attention_2"} if training.train["packing"] else {}


def _datasets(training: Training) -> list[dict[str, Any]]:
    if not training.by_reference:
        return [_file(file) | _reader({}) for file in training.files]
    require(
        "Axolotl", training.sources, formats=("messages",), suffixes=(".jsonl", ".jsonl.gz", ".json.gz", ".parquet")
    )
    return [
        {**where, "split": f"{source.dataset.get('split') or 'train'}[:{rows}]", **_reader(source.columns)}
        for source in training.sources
        for rows in passes(source)
        for where in [_reference(source)]
    ]


def _reference(source: Source) -> dict[str, Any]:
    if len(source.files) == 1:
        return _file(source.files[0])
    if source.files:
        kind = "parquet" if source.files[0].endswith(".parquet") else "json"
        return {"path": kind, "data_files": list(source.files)}
    found = {"path": source.dataset["path"], "name": source.dataset.get("subset")}
    return {key: value for key, value in (found | {"revision": source.dataset.get("revision")}).items() if value}


def _file(file: str) -> dict[str, Any]:
    return {"path": file, "ds_type": "parquet" if file.endswith(".parquet") else "json"}


def _reader(columns: Any) -> dict[str, Any]:
    return {
        "type": "chat_template",
        "field_messages": columns.get("messages", "messages"),
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
