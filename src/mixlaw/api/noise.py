"""How much the losses of runs of one mixture scatter, as a study's finished runs tell it.

Never less than `LEAST_NOISE_NATS`: runs without any scatter would tell everything.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixlaw.core.errors import MixlawError
from mixlaw.core.run import RunRecord
from mixlaw.design.information import LEAST_NOISE_NATS
from mixlaw.fit import Fit
from mixlaw.study.store import Study


def measured_noise(study: Study) -> float | None:
    """Return the standard deviation of a loss in a study, nats, mean over targets; None where no run tells it.

    It is that of its fit; before there is one, that of runs of the same mixture.
    """
    path = study.folder / "fit.json"
    if path.is_file():
        # A fit that cannot be read is written anew by the next one.
        with contextlib.suppress(MixlawError):
            return noise_of_fit(Fit.load(path))
    return noise_of_repeats(study.all_records())


def noise_of_fit(fit: Fit) -> float:
    """Return the standard deviation of a loss around the law, nats, mean over targets."""
    return max(float(np.mean([fitted.noise_nats for fitted in fit.targets.values()])), LEAST_NOISE_NATS)


def noise_of_repeats(records: Sequence[RunRecord]) -> float | None:
    """Return the standard deviation of a loss between runs that differ in their seed only; None without such.

    The root of the mean variance over targets and mixtures, each with one degree of freedom less than it has runs.
    """
    alike: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        spec = record.spec
        if spec.role == "proxy":
            alike[replace(spec, seed=0).id].append(record)
    squares = freedom = 0.0
    for runs in alike.values():
        for target in set.intersection(*(set(run.losses) for run in runs)):
            losses = np.array([run.losses[target].loss_nats for run in runs])
            squares += float(((losses - losses.mean()) ** 2).sum())
            freedom += len(losses) - 1
    return max(float(np.sqrt(squares / freedom)), LEAST_NOISE_NATS) if freedom else None
