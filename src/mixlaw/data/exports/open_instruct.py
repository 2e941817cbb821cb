"""open-instruct: a script with `--dataset_mixer_list path rows path rows ...`; a number without a point is rows.

The script lies beside the data, and starts the trainer in a checkout of open-instruct.
"""

from __future__ import annotations

import shlex

from mixlaw.data.exports.recipe import HELD_OUT, ONE_EPOCH, Recipe, Training, drift, require


def recipe(training: Training) -> Recipe:
    """Return finetune.sh."""
    mixer, splits = _data(training)
    train = training.train
    words = {
        "model_name_or_path": _place(training.model),
        "tokenizer_name_or_path": _place(training.model),
        **({"model_revision": training.revision} if training.revision else {}),
        "dataset_mixer_list": " ".join(map(_place, mixer)),
        "dataset_mixer_list_splits": " ".join(splits),
        "max_seq_length": train["max_length"],
        "per_device_train_batch_size": train["per_device_train_batch_size"],
        "gradient_accumulation_steps": train["gradient_accumulation_steps"],
        "learning_rate": train["learning_rate"],
        "lr_scheduler_type": train["lr_scheduler_type"],
        "warmup_ratio": train["warmup_ratio"],
        "weight_decay": train["weight_decay"],
        "num_train_epochs": 1,
        "seed": training.seed,
        "output_dir": '"$here"/output',
    }
    plain = {
        "model_name_or_path",
        "tokenizer_name_or_path",
        "dataset_mixer_list",
        "dataset_mixer_list_splits",
        "output_dir",
    }
    lines = [f"    --{k} {v if k in plain else shlex.quote(str(v))}" for k, v in words.items()]
    if train["packing"]:
        lines.append("    --packing")
    text = '#!/usr/bin/env bash\nset -euo pipefail\n\nhere="$(cd "$(dirname "$0")" && pwd)"\n'
    text += 'cd "${OPEN_INSTRUCT:?the folder of your checkout of open-instruct}"\n'
    text += "accelerate launch open_instruct/finetune.py \\\n"
    text += " \\\n".join(lines) + "\n"
    notes = (
        ONE_EPOCH,
        "OPEN_INSTRUCT names your checkout of open-instruct.",
        *([HELD_OUT] if training.by_reference else []),
    )
    return Recipe(
        {"finetune.sh": text},
        "OPEN_INSTRUCT=~/open-instruct bash finetune.sh",
        "rows (dataset_mixer_list)" if training.by_reference else "files",
        drift(training.sources, replacement=False) if training.by_reference else {},
        notes,
    )


def _data(training: Training) -> tuple[list[str], list[str]]:
    """Return the words of `dataset_mixer_list`, and the split of each dataset or file."""
    mixer: list[str] = []
    splits: list[str] = []
    if training.by_reference:
        require(
            "open-instruct",
            training.sources,
            formats=("messages",),
            suffixes=(".jsonl", ".parquet"),
            renames=False,
            told=("split",),
        )
        for source in training.sources:
            places = source.files or (str(source.dataset["path"]),)
            for place in places:
                mixer += [place, str(max(1, round(source.wanted_rows / len(places))))]
                splits.append(source.dataset.get("split") or "train")
    else:
        mixer = [word for file in training.files for word in (file, "1.0")]
        splits = ["train"] * len(training.files)
    return mixer, splits


def _place(word: str) -> str:
    """Return a word for the script; a path inside the export's folder begins there."""
    inside = word.startswith(("data/", "./"))
    return f'"$here"/{shlex.quote(word.removeprefix("./"))}' if inside else shlex.quote(word)
