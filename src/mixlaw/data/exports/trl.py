"""TRL: a YAML for `trl sft --config`, with the data under `datasets:` (its DatasetMixtureConfig).

TRL's `fraction` is a share of rows of a mixture as large as no repeats allow, so it can say neither a budget nor a
repeat; slices of a split can.

Its strategy `bfd` packs without padding and gives every conversation positions of its own, from which transformers
makes the mask that keeps them apart; `wrapped` would not.

Rows of `input_ids` and `labels` are taken as they are. TRL's own default is bf16, with which it does not start
without a GPU that has it, so the file says no.
"""

from __future__ import annotations

from typing import Any

import yaml

from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Recipe, Source, Training, drift, passes, require

_COMMAND = "trl sft --config sft.yaml"


def recipe(training: Training) -> Recipe:
    """Return sft.yaml."""
    train = training.train
    config: dict[str, Any] = {"model_name_or_path": training.model, "model_revision": training.revision or "main"}
    config["datasets"] = _datasets(training)
    config |= {
        "output_dir": "output",
        "max_length": train["max_length"],
        "packing": train["packing"],
        **_apart(training),
        "learning_rate": train["learning_rate"],
        "num_train_epochs": 1,
        "per_device_train_batch_size": train["per_device_train_batch_size"],
        "gradient_accumulation_steps": train["gradient_accumulation_steps"],
        "lr_scheduler_type": train["lr_scheduler_type"],
        "warmup_steps": train["warmup_ratio"],
        "weight_decay": train["weight_decay"],
        "max_grad_norm": train["max_grad_norm"],
        "assistant_only_loss": not training.rows.tokens,
        "bf16": False,
        "seed": training.seed,
        "report_to": "none",
    }
    notes = [ONE_EPOCH, "The file starts on any machine; with a GPU that has bfloat16, add --bf16 true."]
    if not training.rows.tokens:
        notes.append("assistant_only_loss needs a chat template with {% generation %} markers.")
    return Recipe(
        {"sft.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True)},
        _COMMAND,
        "rows (split: train[:n])" if training.by_reference else "files",
        drift(training.sources, replacement=False) if training.by_reference else {},
        tuple([*notes, HELD_OUT] if training.by_reference else notes),
        gpu_command=f"{_COMMAND} --bf16 true",
    )


def _apart(training: Training) -> dict[str, Any]:
    """Return the keys that keep packed conversations apart, with the attention of the trainer `trl` for `auto`."""
    if not training.train["packing"]:
        return {} if training.attention == "auto" else {"attn_implementation": training.attention}
    attention = "sdpa" if training.attention == "auto" else training.attention
    return {"packing_strategy": "bfd", "attn_implementation": attention}


def _datasets(training: Training) -> list[dict[str, Any]]:
    if not training.by_reference:
        columns = ["input_ids", "labels"] if training.rows.tokens else ["messages"]
        columns += ["tools"] if "tools" in training.rows.holds and not training.rows.tokens else []
        return [{**loader(training.files), "split": "train", "columns": columns}]
    require(
        "TRL",
        training.sources,
        formats=("messages",),
        suffixes=(".jsonl", ".jsonl.gz", ".json.gz", ".parquet"),
        renames=False,
        sliced=True,
    )
    return [
        {**_reference(source), "split": f"{source.dataset.get('split') or 'train'}[:{rows}]", "columns": ["messages"]}
        for source in training.sources
        for rows in passes(source)
    ]


def loader(files: tuple[str, ...]) -> dict[str, Any]:
    """Return what `datasets.load_dataset` takes for local files."""
    return {"path": "parquet" if files[0].endswith(".parquet") else "json", "data_files": list(files)}


def _reference(source: Source) -> dict[str, Any]:
    if source.files:
        return loader(source.files)
    name = source.dataset.get("subset")
    return {"path": source.dataset["path"], **({"name": name} if name else {})}
