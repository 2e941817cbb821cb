"""Plant a law, run a design, fit, solve: is the recommended mixture nearly as good as the true best one?

`bench/planted` is the long form of this, with many worlds; here eight, in a minute.
"""

from __future__ import annotations

import numpy as np
import pytest
from bench.planted.run import one_world, planned
from bench.planted.worlds import Setting, World

import mixlaw

SEEDS = (0, 3, 6, 9, 1, 4, 7, 10)
"""The first four have noise of .001 nats, the others of .004."""


def published_runs(seed: int, sd: float) -> tuple[World, mixlaw.RunTable]:
    world = World(Setting("same", "transfer", 3, seed), sd)
    return world, world.measure(planned(world, "published"))


@pytest.fixture(scope="module")
def regrets() -> dict[tuple[str, float, int], float]:
    methods = ("joint", "own-curve", "published")
    rows = [row for seed in SEEDS for row in one_world(("same", "transfer", 3, seed, methods))]
    keys = {(row["method"], row["sd"], row["times"]) for row in rows}
    return {
        key: float(np.mean([row["regret_percent"] for row in rows if (row["method"], row["sd"], row["times"]) == key]))
        for key in keys
    }


def test_joint_fit_and_exact_solve_stay_below_the_unregularised_joint_fit(regrets: dict) -> None:
    # Mean regret in % of the published design with an unregularised joint fit, as measured for the method; the equal
    # mixture's is .4 and .2.
    reference = {(0.001, 10): 0.025, (0.001, 100): 0.121, (0.004, 10): 0.164, (0.004, 100): 0.731}
    for (sd, times), limit in reference.items():
        assert regrets["joint", sd, times] <= limit


def test_the_joint_fit_beats_the_published_and_the_own_curve_fit(regrets: dict) -> None:
    # Cell by cell in bench/planted; over the four cells together here.
    def mean(method: str) -> float:
        return float(np.mean([regret for (name, _, _), regret in regrets.items() if name == method]))

    assert mean("joint") < mean("published")
    assert mean("joint") < 0.5 * mean("own-curve")


def test_error_falls_as_noise_falls() -> None:
    far = np.array([[10e6, 6e6, 4e6]])
    errors = []
    for sd in (0.01, 0.001, 0.0001):
        gaps = []
        for seed in range(2):
            world, runs = published_runs(seed, sd)
            gaps.append(np.abs(mixlaw.fit(runs, law="transfer").predict(far).mean - world.truth(far)).mean())
        errors.append(np.mean(gaps))
    assert errors[0] > errors[1] > errors[2]


def test_bands_cover_the_planted_losses_and_intervals_new_runs_about_nine_times_in_ten() -> None:
    truths, runs_inside = [], []
    for seed in range(6):
        world, runs = published_runs(seed, 0.002)
        rng = np.random.default_rng([7, seed])
        other = np.exp(rng.uniform(np.log(0.3e6), np.log(3e6), (8, 3)))
        band, truth = mixlaw.fit(runs, law="transfer").predict(other), world.truth(other)
        measured = truth + 0.002 * rng.standard_normal(truth.shape)
        truths.append((truth >= band.mean_low) & (truth <= band.mean_high))
        runs_inside.append((measured >= band.low) & (measured <= band.high))
    assert 0.82 <= np.mean(truths) <= 0.98
    assert 0.82 <= np.mean(runs_inside) <= 0.98
