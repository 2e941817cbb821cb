"""The native trainer at the pace that a test asks for, so that a short run lasts until it has been killed.

Nothing that is computed changes: it waits between steps.
"""

from __future__ import annotations

import os
import time

from mixlaw.train.native import NativeTrainer
from mixlaw.train.trainer_config import TrainerConfig

PACE = "MIXLAW_TEST_PACE"


class Paced(NativeTrainer):
    """Waits after each step from one on, where the environment says so: `PACE` is `step:seconds`."""

    def run(self, spec, *, folder, progress=None):
        """Train as `native` does."""
        begin, _, wait = os.environ.get(PACE, "0:0").partition(":")

        def told(step, steps, loss):
            if progress:
                progress(step, steps, loss)
            if step >= int(begin):
                time.sleep(float(wait))

        return super().run(spec, folder=folder, progress=told)


def paced(config: TrainerConfig) -> TrainerConfig:
    """Return a configuration with its model, settings and rows, and this trainer, which any worker process finds."""
    parts = (config.model, config.train, config.train_rows, config.validation_rows)
    return TrainerConfig.of(*parts, trainer="paced_trainer:Paced")
