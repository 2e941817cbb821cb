"""Train one run with Axolotl: `python train.py --spec spec.json`, called by mixlaw's trainer `command`.

    spec.json -> output/axolotl.yaml -> axolotl train -> output/model -> mixlaw's evaluation -> output/result.json

It runs in mixlaw's environment. Axolotl may have one of its own, since the two may want other versions of transformers:
AXOLOTL names its program there (default: `axolotl` on the PATH).
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

# Yours: keys of Axolotl's that mix.yaml does not have. A LoRA must be merged before it is evaluated
# (`axolotl merge-lora`).
MORE: dict[str, Any] = {
    # "gradient_checkpointing": True,
    # "deepspeed": "deepspeed_configs/zero2.json",
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
    written = output / "axolotl.yaml"
    written.write_text(yaml.safe_dump(configuration(spec), sort_keys=False, allow_unicode=True), encoding="utf-8")
    program = os.environ.get("AXOLOTL", "axolotl")
    subprocess.run([program, "train", written.name], check=True, cwd=output)  # its paths are relative
    model = (output / "output").rename(output / "model")  # where mixlaw looks for a model that is to be kept
    write_result(spec, evaluate_model(spec, model), steps(model))
    return 0


def configuration(spec: dict[str, Any]) -> dict[str, Any]:
    """Return Axolotl's configuration: the one of `mixlaw export`, for this run's file, seed and passes."""
    training = Training(
        spec["model"]["name_or_path"],
        spec["model"]["revision"],
        spec["train"],
        spec["seed"],
        spec["model"]["attn_implementation"],
        files=(spec["train_file"],),
    )
    text = export_recipe("axolotl", training).files["axolotl.yaml"]
    own = {
        "num_epochs": spec["train"]["num_train_epochs"],
        "bf16": spec["train"]["bf16"],
        "save_strategy": "no",
    }
    return yaml.safe_load(text) | own | MORE


def steps(model: Path) -> int:
    """Return the optimiser steps that the trainer's state says; 0 where there is none."""
    states = sorted(model.rglob("trainer_state.json"))
    return max((json.loads(path.read_text(encoding="utf-8"))["global_step"] for path in states), default=0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MixlawError, subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"train.py: {error}")  # the last words are what `mixlaw status` shows
