"""For programs of the trainer `command`: read the run's spec, evaluate the model that it saved, write the result.

    spec = read_spec(sys.argv[1])
    ...                                         # train on spec["train_file"], save the model as transformers does
    write_result(spec, evaluate_model(spec, folder), steps=steps)

A program can do without this: the files are plain JSON (docs/trainers.md has their schemas). But it saves writing an
evaluation, and losses are then the same as those of the trainer `native`, token for token.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.run import TargetLoss
from mixlaw.data.texts import token_rows_of
from mixlaw.train.settings import ModelSettings, TrainSettings


def read_spec(path: str | Path) -> dict[str, Any]:
    """Return a run's spec.json.

    Raises:
        DataError: it cannot be read.
        NewerFormat: a newer version of mixlaw has written it.
    """
    return read_document(path, "command_spec")


def evaluate_model(spec: Mapping[str, Any], folder: str | Path | None = None) -> dict[str, TargetLoss]:
    """Return the validation loss of every target, nats summed over the supervised tokens, of a saved model.

    Args:
        spec: of the run.
        folder: the model, as `save_pretrained` leaves one; its tokens are those of the spec's model. None: the base
            model as it is, for the run whose spec says `"train_model": false`.

    Raises:
        ConfigError: the model cannot be loaded.
        DataError: a validation file is not where mixlaw wrote it.
        MissingExtra: torch or transformers is not installed.
    """
    from mixlaw.train.causal_lm import CausalLM
    from mixlaw.train.evaluation import ValidationSet

    settings = TrainSettings.from_json(spec["train"])
    saved = {} if folder is None else {"name_or_path": str(folder), "revision": None}
    model = ModelSettings.from_json({**spec["model"], **saved})
    lm = CausalLM(model, settings)
    lm.network.eval()
    files = spec["validation_files"].items()
    return {name: ValidationSet.of(name, token_rows_of(path), settings).evaluate(lm) for name, path in files}


def write_result(spec: Mapping[str, Any], losses: Mapping[str, TargetLoss], steps: int = 0) -> None:
    """Write result.json where the spec says.

    Args:
        spec: of the run.
        losses: target -> validation loss.
        steps: optimiser steps taken; 0 where unknown.
    """
    told = {name: dict(loss.__dict__) for name, loss in losses.items()}
    write_document(spec["result"], "result", {"losses": told, "steps": steps})
