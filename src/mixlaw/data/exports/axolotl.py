"""Axolotl: a YAML for `axolotl train`, rows read by its chat_template strategy, or as tokens with labels.

It knows rows of tokens by their columns `input_ids`, `attention_mask` and `labels`, whatever their type. Since 0.19 its
`sdpa` keeps packed conversations apart, as `flash_attention_2` does, and is there on every machine.
"""

from __future__ import annotations

from typing import Any

import yaml

from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Keys, Recipe, Rows, Source, Training, drift, passes, require


def recipe(training: Training) -> Recipe:
    """Return axolotl.yaml."""
    train = training.train
    config: dict[str, Any] = {
        "base_model": training.model,
        **({"revision_of_model": training.revision} if training.revision else {}),
        "chat_template": "tokenizer_default",
        **({"eot_tokens": list(training.rows.ends)} if training.rows.ends and not training.rows.tokens else {}),
        "datasets": _datasets(training),
        "dataset_prepared_path": "prepared",
        "val_set_size": 0,
        "dataset_exact_deduplication": False,
        "sequence_len": train["max_length"],
        "excess_length_strategy": "truncate",  # by default it drops conversations that mixlaw has counted, cut
        "sample_packing": train["packing"],
        **_apart(training),
        "train_on_inputs": False,
        "output_dir": "output",
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
    notes = [ONE_EPOCH, "Deduplication is off: it would remove the repeats of the mixture."]
    if train["packing"] and training.attention == "auto":
        notes.append("sdpa keeps packed conversations apart; flash_attention_2 is faster, if you have it.")
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
    return {"attn_implementation": "sdpa"} if training.train["packing"] else {}


def _datasets(training: Training) -> list[dict[str, Any]]:
    if not training.by_reference:
        reader = {"type": None} if training.rows.tokens else _reader(Keys("messages", "role", "content"), training.rows)
        return [_file(file) | reader for file in training.files]
    require(
        "Axolotl",
        training.sources,
        formats=("messages", "sharegpt"),
        suffixes=(".jsonl", ".jsonl.gz", ".json.gz", ".parquet"),
        told=("subset", "split", "revision"),
        sliced=True,
    )
    return [
        {
            **where,
            "split": f"{source.dataset.get('split') or 'train'}[:{rows}]",
            **_reader(source.called, Rows(), source),
        }
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


def _reader(keys: Keys, rows: Rows, source: Source | None = None) -> dict[str, Any]:
    """Return how the turns are read: their keys, their roles, and which of them are learnt."""
    mapped = {"role": keys.role, "content": keys.content}
    mapped |= {"tool_calls": "tool_calls"} if "calls" in rows.holds else {}
    mapped |= {key: key for key in ("tool_call_id", "name") if rows.holds & {"results", "names"}}
    mapped |= dict.fromkeys(rows.thinking, "reasoning_content") if "reasoning" in rows.holds else {}
    roles = {here: here for here in ("system", "user", "assistant", *_more_roles(rows))}
    roles |= source.roles if source is not None else {}
    here_of: dict[str, list[str]] = {}
    for there, here in roles.items():
        here_of.setdefault(here, []).append(there)
    return {
        "type": "chat_template",
        "field_messages": keys.column,
        "message_property_mappings": mapped,
        **({"template_thinking_key": rows.thinking[0]} if "reasoning" in rows.holds and rows.thinking else {}),
        "roles": here_of,
        "roles_to_train": ["assistant"],
        **({"message_field_training": "train"} if "weights" in rows.holds else {}),
        "train_on_eos": "turn",
    }


def _more_roles(rows: Rows) -> list[str]:
    return [role for trait, role in (("results", "tool"), ("developer", "developer")) if trait in rows.holds]
