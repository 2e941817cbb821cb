"""A trainer that waits instead of training: its workers start in a fraction of the time that torch takes to load.

It tells its steps as every trainer does, so that a test can stop its worker, or end it, in the middle of a run.
"""

from __future__ import annotations

import time
from pathlib import Path

from mixlaw.core.errors import ConfigError, RunFailed
from mixlaw.core.run import RunRecord, TargetLoss
from mixlaw.train.trainer import Trainer
from mixlaw.train.trainer_config import TrainerConfig

STEP_TOKENS = 100
STEP_S = 0.01


class Waiting(Trainer):
    """Takes a hundredth of a second for every hundred tokens of a domain; diverges where the learning rate is 1000."""

    base_model = "measured"

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        if not any(Path(self.model.name_or_path).iterdir()):
            raise ConfigError(f"The model {self.model.name_or_path} cannot be loaded.", "Give a folder with a model.")

    def run(self, spec, *, folder, progress=None):
        """Wait, and return losses that fall with the tokens."""
        self.timing = {}
        steps = max(spec.tokens.values(), default=0) // STEP_TOKENS
        for step in range(steps):
            time.sleep(STEP_S)
            if self.settings.learning_rate >= 1000:
                raise RunFailed("The loss was nan.", "Lower train.learning_rate.")
            if progress:
                progress(step + 1, steps, 3.0)
        counts = {name: spec.tokens.get(name, 0) for name in self.train_rows}
        losses = {name: TargetLoss(1000.0 / (1 + counts.get(name, 0)), 100) for name in self.validation_rows}
        return RunRecord(spec, counts, counts, counts, losses, steps, 9)

    def can_join(self, spec):
        """Return whether it is a run with tokens."""
        return not spec.untrained

    def run_together(self, jobs):
        """Wait for one after another, and say of each how many they were."""
        for job, found in super().run_together(jobs):
            self.timing = {"together": len(jobs)}
            yield job, found

    def together(self, specs, most):
        """Return what a measurement might say."""
        return {1: 100.0, 2: 150.0}


def waiting(config: TrainerConfig) -> TrainerConfig:
    """Return a configuration with its model, settings and rows, and this trainer, which any worker process finds."""
    parts = (config.model, config.train, config.train_rows, config.validation_rows)
    return TrainerConfig.of(*parts, trainer="waiting_trainer:Waiting", folder=Path(__file__).parent)
