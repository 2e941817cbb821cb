"""The arms of the sweep's benchmark that are not mixlaw's: runs of a prepared study by other trainers, in turn.

    python bench/sweep/theirs.py STUDY sft|trainer RUN [RUN ...]

Rows, masks, order and settings are those of the study. What is timed begins with the import of the libraries and ends
with the last validation loss, as in mixlaw's own arms. `sft` is TRL's SFTTrainer, which packs the rows itself;
`trainer` is Hugging Face's Trainer, which gets the packed rows of mixlaw with positions that restart. Both evaluate
with their own `evaluate`, conversations padded to the longest of a batch.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.study.store import Study
from mixlaw.train.packing import collate
from mixlaw.train.sample import conversation, draw_sample, pack_epoch, training_order
from mixlaw.train.settings import TrainSettings

UNSUPERVISED = -100


def labels_of(ids: np.ndarray, supervised: np.ndarray) -> list[int]:
    """Return labels as transformers shifts them."""
    labels = np.where(np.asarray(supervised) > 0, np.asarray(ids, np.int64), UNSUPERVISED)
    labels[:1] = UNSUPERVISED
    return labels.tolist()


def conversations(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Return a dataset of conversations."""
    from datasets import Dataset

    ids = [np.asarray(ids, np.int64).tolist() for ids, _ in pairs]
    return Dataset.from_dict({"input_ids": ids, "labels": [labels_of(*pair) for pair in pairs]})


def packed(rows: list[list[tuple[np.ndarray, np.ndarray]]], length: int) -> Any:
    """Return a dataset of rows as mixlaw packs them."""
    from datasets import Dataset

    batch = collate(rows, length)
    labels = np.full(batch.input_ids_BT.size, UNSUPERVISED, np.int64)
    labels[batch.predict_S + 1] = batch.labels_S
    columns = (batch.input_ids_BT, batch.position_ids_BT, labels.reshape(batch.input_ids_BT.shape))
    names = ("input_ids", "position_ids", "labels")
    return Dataset.from_dict({name: column.tolist() for name, column in zip(names, columns, strict=True)})


def arguments(settings: TrainSettings, seed: int, folder: str) -> dict[str, Any]:
    """Return what both trainers are told."""
    return {
        "output_dir": folder,
        "seed": seed,
        "num_train_epochs": settings.num_train_epochs,
        "per_device_train_batch_size": settings.per_device_train_batch_size,
        "per_device_eval_batch_size": settings.per_device_eval_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": True,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def train(study: Study, kind: str, name: str, folder: str) -> dict[str, float]:
    """Train one run and return its validation losses."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mixlaw.data.rows import TokenRows

    config = study.load_trainer()
    (spec,) = [spec for spec in study.load_plan() if spec.name == name]
    train_rows = {domain: TokenRows.open(path) for domain, path in config.train_rows.items()}
    validation = {domain: TokenRows.open(path) for domain, path in config.validation_rows.items()}
    settings, sample = config.train, draw_sample(spec, train_rows, config.train)
    model = AutoModelForCausalLM.from_pretrained(config.model.name_or_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(config.model.name_or_path)
    told = arguments(settings, spec.seed, folder)
    targets = {
        domain: conversations([conversation(rows, row) for row in range(len(rows))])
        for domain, rows in validation.items()
    }
    if kind == "sft":
        from trl import SFTConfig, SFTTrainer

        chosen = [conversation(train_rows[domain], row) for domain, row in training_order(spec, sample, 0)]
        told |= {"max_length": settings.max_length, "packing": True, "eval_packing": False}
        told |= {"gradient_checkpointing": False}
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**told),
            train_dataset=conversations(chosen),
            eval_dataset=targets,
            processing_class=tokenizer,
        )
    else:
        from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

        rows = [
            [conversation(train_rows[domain], row) for domain, row in packed_row]
            for packed_row in pack_epoch(spec, sample, train_rows, settings, 0)
        ]
        trainer = Trainer(
            model=model,
            args=TrainingArguments(**told),
            train_dataset=packed(rows, settings.max_length),
            eval_dataset=targets,
            data_collator=DataCollatorForSeq2Seq(tokenizer),
        )
    trainer.train()
    found = trainer.evaluate()
    return {domain: found[f"eval_{domain}_loss"] for domain in targets}


if __name__ == "__main__":
    place, trainer_kind, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        losses = {name: train(Study(Path(place)), trainer_kind, name, scratch) for name in names}
    sys.stdout.write(json.dumps(losses) + "\n")
