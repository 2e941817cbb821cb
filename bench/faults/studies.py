"""The small study that the benchmarks of faults work on: every step of `mixlaw run`, without torch."""

from __future__ import annotations

import sys
from pathlib import Path

import mixlaw

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from page_trainer import write_own_trainer  # noqa: E402
from unit.cli.test_study_files import write_inputs  # noqa: E402


def write_config(folder: Path) -> Path:
    """Write two domains, the trainer that counts and a mix.yaml into a folder; return the mix.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    write_own_trainer(folder)
    config = write_inputs(folder)
    text = config.read_text(encoding="utf-8").replace("train: {", "train: {trainer: 'own_trainer:Bigram', ")
    config.write_text(text + "fit: {law: transfer, repetition: 'off'}\n", encoding="utf-8")
    return config


def finished(folder: Path) -> Path:
    """Make such a study, planned, trained, fitted, solved, mixed and reported; return its mix.yaml."""
    config = write_config(folder)
    mixlaw.run(config, workers=1)
    return config
