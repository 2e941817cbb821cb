"""NeMo: materialised files for NeMo AutoModel's ChatDataset; by reference a blend for NeMo's Megatron fine-tuning.

AutoModel reads OpenAI messages as they are and has no weights. The Megatron recipes blend files by
`concat_sampling_probabilities`, the probability that a row comes from a file: p_i in proportion to w_i / m_i, m_i
tokens per row. Rows are drawn until the run ends, so small domains repeat by themselves; the budget is said in steps.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from mixlaw.core.errors import ConfigError
from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Recipe, Training, drift, require


def recipe(training: Training) -> Recipe:
    """Return nemo.yaml."""
    return _blend(training) if training.by_reference else _automodel(training)


def _automodel(training: Training) -> Recipe:
    if wrong := [file for file in training.files if not file.endswith(".jsonl")]:
        raise ConfigError(f"NeMo reads JSONL, not {wrong[0]}.", "Write the mixture with --format jsonl.")
    train = training.train
    size = train["per_device_train_batch_size"]
    config: dict[str, Any] = {
        "recipe": "TrainFinetuneRecipeForNextTokenPrediction",
        "step_scheduler": {
            "global_batch_size": size * train["gradient_accumulation_steps"],
            "local_batch_size": size,
            "num_epochs": 1,
        },
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": training.model,
            **({"revision": training.revision} if training.revision else {}),
        },
        "dataset": {
            "_target_": "nemo_automodel.components.datasets.llm.chat_dataset.ChatDataset",
            "path_or_dataset_id": list(training.files),
            "split": "train",
            "seq_length": train["max_length"],
            "truncation": True,
        },
        "packed_sequence": {"packed_sequence_size": train["max_length"] if train["packing"] else 0},
        "optimizer": {
            "_target_": "torch.optim.AdamW",
            "lr": train["learning_rate"],
            "betas": [train["adam_beta1"], train["adam_beta2"]],
            "eps": train["adam_epsilon"],
            "weight_decay": train["weight_decay"],
        },
        "lr_scheduler": {"lr_decay_style": train["lr_scheduler_type"]},
        "rng": {"_target_": "nemo_automodel.components.training.rng.StatefulRNG", "seed": training.seed},
    }
    return Recipe(
        {"nemo.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True)},
        "automodel nemo.yaml",
        "files",
        {},
        (ONE_EPOCH,),
    )


def _blend(training: Training) -> Recipe:
    require("NeMo", training.sources, formats=("messages",), suffixes=(".jsonl",), renames=False)
    for source in training.sources:
        if not source.files:
            raise ConfigError(
                f"'{source.name}' is a dataset of the Hugging Face hub; NeMo blends local files only.", "Download it."
            )
    files: list[str] = []
    rows: list[float] = []
    for source in training.sources:
        files += source.files
        rows += [source.wanted_rows / len(source.files)] * len(source.files)
    train, total = training.train, sum(source.wanted_rows for source in training.sources)
    batch = train["per_device_train_batch_size"] * train["gradient_accumulation_steps"]
    config: dict[str, Any] = {
        "trainer": {"max_steps": math.ceil(total / batch)},
        "model": {
            "restore_from_path": training.model,
            "seed": training.seed,
            "global_batch_size": batch,
            "micro_batch_size": train["per_device_train_batch_size"],
            "data": {
                "chat": True,
                "train_ds": {
                    "file_names": files,
                    "concat_sampling_probabilities": [n / sum(rows) for n in rows],
                    "max_seq_length": train["max_length"],
                    "shuffle": True,
                },
            },
            "optim": {"lr": train["learning_rate"], "weight_decay": train["weight_decay"]},
        },
    }
    return Recipe(
        {"nemo.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True)},
        "python megatron_gpt_finetuning.py --config-path . --config-name nemo",
        "probability of a row (concat_sampling_probabilities)",
        drift(training.sources, replacement=True),
        (f"The budget is {total:,} rows; max_steps counts batches of {batch} rows, without packing.", HELD_OUT),
    )
