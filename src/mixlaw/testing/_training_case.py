"""The rows, runs and settings that a trainer is checked on: two small domains of random conversations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.files import read_json, write_json
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.data.rows import TokenRows
from mixlaw.data.texts import seal_texts
from mixlaw.train.settings import ModelSettings, TrainSettings
from mixlaw.train.trainer import Progress, Trainer
from mixlaw.train.trainer_config import TrainerConfig

VOCABULARY = 97
DOMAINS = ("chat", "math")

_SETTINGS = TrainSettings(
    learning_rate=3e-3, max_length=48, per_device_train_batch_size=4, per_device_eval_batch_size=8, bf16=False
)
_WAIT_S = 300
_CHILD = "import sys; from mixlaw.testing._training_case import train_stored; train_stored(sys.argv[1])"


def write_rows(folder: Path, count: int, seed: int, *, shortest: int = 6, longest: int = 40) -> Path:
    """Write `count` random conversations in which token n + 1 depends on token n, the second half supervised."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest + 1, count)
    rows = []
    for length in lengths:
        start, stride = rng.integers(3, VOCABULARY), rng.integers(1, 4)
        ids = 3 + (start + stride * np.arange(length)) % (VOCABULARY - 3)
        supervised = (np.arange(length) >= length // 2).astype(np.uint8)
        rows.append((ids.astype(np.uint32), supervised))
    TokenRows.write(folder, rows, list(range(count)), [3 * int(s.sum()) for _, s in rows])
    return folder


def _write_text(folder: Path, domain: str) -> None:
    """Write rows as text beside them, a word a token, for trainers that read text."""
    rows = TokenRows.open(folder)
    lines = []
    for first, last in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        words, middle = [f"w{n}" for n in rows.ids[first:last]], (last - first) // 2
        parts = {"user": " ".join(words[:middle]), "assistant": " ".join(words[middle:])}
        messages = [{"role": role, "content": text} for role, text in parts.items()]
        lines.append(json.dumps({"messages": messages, "domain": domain}).encode() + b"\n")
    text = folder.parent / "text"
    text.mkdir(exist_ok=True)
    (text / f"{folder.name}.jsonl").write_bytes(b"".join(lines))
    np.save(text / f"{folder.name}.npy", np.cumsum([0, *map(len, lines)]).astype(np.int64))
    seal_texts(text)


@dataclass(frozen=True)
class TrainingCase:
    """A trainer's configuration in a folder of its own.

    Attributes:
        who: what messages call the trainer.
        config: the trainer with its rows.
        folder: everything lies below it.
    """

    who: str
    config: TrainerConfig
    folder: Path

    def spec(self, name: str = "run", chat: int = 500, math: int = 300, **more: Any) -> RunSpec:
        """Return a run of so many tokens of each domain."""
        return RunSpec(name, {"chat": chat, "math": math}, 0, self.config.inputs, **more)

    def with_settings(self, **changes: Any) -> TrainingCase:
        """Return the case with other training settings."""
        return replace(self, config=replace(self.config, train=replace(self.config.train, **changes)))

    def run_folder(self) -> Path:
        """Return a new run's folder."""
        return Path(tempfile.mkdtemp(prefix="run-", dir=self.folder))

    def run(self, trainer: Trainer, spec: RunSpec, progress: Progress | None = None) -> RunRecord:
        """Return the record of a run, trained in a folder of its own."""
        return trainer.run(spec, folder=self.run_folder(), progress=progress)

    def run_elsewhere(self, spec: RunSpec) -> dict[str, Any]:
        """Return the JSON form of the record of a run that another process trains; raise AssertionError on failure."""
        folder = self.run_folder()
        write_json(folder / "given.json", {"trainer": self.config.to_json(folder), "spec": spec.to_json()})
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(folder)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=_WAIT_S,
        )
        if done.returncode != 0:
            raise AssertionError(f"The {self.who} does not train in another process: {done.stderr.strip()[-600:]}")
        return read_json(folder / "stored.json")


def train_stored(folder: str) -> None:
    """Train the run that a folder's given.json describes, and write its record to stored.json."""
    given = read_json(Path(folder) / "given.json")
    trainer = TrainerConfig.from_json(given["trainer"], Path(folder)).build()
    record = trainer.run(RunSpec.from_json(given["spec"]), folder=Path(folder))
    write_json(Path(folder) / "stored.json", record.to_json())


@contextmanager
def training_case(
    trainer: str | type[Trainer], options: Mapping[str, Any] | None, model: str | Path
) -> Iterator[TrainingCase]:
    """Make a folder with rows for a trainer, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="mixlaw-trainer-") as place:
        folder, rows = Path(place), {}
        for part, count, first in (("train", 120, 0), ("validation", 12, 50)):
            for i, domain in enumerate(DOMAINS):
                rows[part, domain] = write_rows(folder / domain / part, count, first + i)
                _write_text(rows[part, domain], domain)
        config = TrainerConfig.of(
            ModelSettings(str(model)),
            _SETTINGS,
            {domain: rows["train", domain] for domain in DOMAINS},
            {domain: rows["validation", domain] for domain in DOMAINS},
            trainer=trainer,
            options=options,
            folder=Path.cwd(),
        )
        yield TrainingCase(f"trainer '{config.trainer_class.name}'", config, folder)
