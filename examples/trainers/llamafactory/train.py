"""Train one run with LLaMA-Factory: `python train.py --spec spec.json`, called by mixlaw's trainer `command`.

    spec.json -> output/{sft.yaml,dataset_info.json} -> llamafactory-cli train -> output/model -> mixlaw's evaluation
              -> output/result.json

It runs in mixlaw's environment. LLaMA-Factory needs one of its own, with an older transformers: LLAMAFACTORY_CLI names
its program there (default: `llamafactory-cli` on the PATH).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from mixlaw.core.errors import MixlawError
from mixlaw.data.exports import export_recipe
from mixlaw.data.exports.recipe import Training
from mixlaw.train.own_program import evaluate_model, read_spec, write_result

# Yours: keys of LLaMA-Factory's that mix.yaml does not have. A LoRA must be merged before it is evaluated
# (`llamafactory-cli export`).
MORE: dict[str, Any] = {
    # "disable_gradient_checkpointing": True,
    # "deepspeed": "ds_z2_config.json",
}


def main() -> int:
    """Train, evaluate and report one run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True)
    spec = read_spec(parser.parse_args().spec)
    if not spec["train_model"]:  # plan.base_model: the model as it is
        write_result(spec, evaluate_model(spec))
        return 0
    output = Path(spec["output_dir"])
    for name, text in files(spec).items():
        (output / name).write_text(text, encoding="utf-8")
    program = os.environ.get("LLAMAFACTORY_CLI", "llamafactory-cli")
    subprocess.run([program, "train", "sft.yaml"], check=True, cwd=output)  # its paths are relative
    model = (output / "output").rename(output / "model")  # where mixlaw looks for a model that is to be kept
    write_result(spec, evaluate_model(spec, model), steps(model))
    return 0


def files(spec: dict[str, Any]) -> dict[str, str]:
    """Return name -> text of LLaMA-Factory's files: those of `mixlaw export`, for this run's file, seed and passes."""
    training = Training(
        spec["model"]["name_or_path"],
        spec["model"]["revision"],
        spec["train"],
        spec["seed"],
        spec["model"]["attn_implementation"],
        files=(spec["train_file"],),
    )
    recipe = export_recipe("llamafactory", training).files
    config = yaml.safe_load(recipe["sft.yaml"])
    config |= {
        "num_train_epochs": float(spec["train"]["num_train_epochs"]),
        "bf16": spec["train"]["bf16"] is True,  # it knows no `auto`
        "save_strategy": "no",
    }
    config |= MORE
    return {**recipe, "sft.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True)}


def steps(model: Path) -> int:
    """Return the optimiser steps that the trainer's state says; 0 where there is none."""
    state = model / "trainer_state.json"
    return json.loads(state.read_text(encoding="utf-8"))["global_step"] if state.is_file() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MixlawError, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"train.py: {error}")  # the last words are what `mixlaw status` shows
