"""Plant a law, run a design, fit, solve: is the recommended mixture nearly as good as the true best one?

`bench/planted` is the long form of this, with many worlds; here four, in a quarter of a minute.
"""

from __future__ import annotations

import numpy as np
import pytest
from bench.planted.run import one_world, planned
from bench.planted.worlds import Setting, World

import mixlaw
from quick_fits import draws_kept, few_folds, none_held_out, short_draws

SEEDS = {0: ("joint", "own-curve", "published"), 3: ("joint", "own-curve")}
SEEDS |= {1: ("joint", "own-curve", "published"), 4: ("joint", "own-curve")}
"""World -> what is fitted there; the published fit is slow. The noise is .001 nats in the first two, else .004."""


def published_runs(seed: int, sd: float) -> tuple[World, mixlaw.RunTable]:
    world = World(Setting("same", "transfer", 3, seed), sd)
    return world, world.measure(planned(world, "published"))


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    with none_held_out(), short_draws(), draws_kept(60):
        return [row for seed, methods in SEEDS.items() for row in one_world(("same", "transfer", 3, seed, methods))]


def regret(rows: list[dict], method: str, **of: float) -> float:
    """Return the mean regret of a method in %, in the cells of these values."""
    cells = [row for row in rows if row["method"] == method and all(row[key] == value for key, value in of.items())]
    return float(np.mean([row["regret_percent"] for row in cells]))


def test_joint_fit_and_exact_solve_stay_below_the_unregularised_joint_fit(rows: list[dict]) -> None:
    # Mean regret in % of the published design with an unregularised joint fit, as measured for the method; the equal
    # mixture's is .4 and .2.
    reference = {(0.001, 10): 0.025, (0.001, 100): 0.121, (0.004, 10): 0.164, (0.004, 100): 0.731}
    for (sd, times), limit in reference.items():
        assert regret(rows, "joint", sd=sd, times=times) <= limit


def test_the_joint_fit_beats_the_published_and_the_own_curve_fit(rows: list[dict]) -> None:
    # Cell by cell in bench/planted; over the four cells together here, each method beside the joint fit of its worlds.
    assert regret(rows, "joint") < 0.5 * regret(rows, "own-curve")
    both = [row for row in rows if "published" in SEEDS[row["seed"]]]
    assert regret(both, "joint") < regret(both, "published")


def test_error_falls_as_noise_falls() -> None:
    far = np.array([[10e6, 6e6, 4e6]])
    errors = []
    for sd in (0.01, 0.001, 0.0001):
        gaps = []
        for seed in range(2):
            world, runs = published_runs(seed, sd)
            with none_held_out(), short_draws():
                fit = mixlaw.fit(runs, law="transfer")
            gaps.append(np.abs(fit.predict(far).mean - world.truth(far)).mean())
        errors.append(np.mean(gaps))
    assert errors[0] > errors[1] > errors[2]


def test_bands_cover_the_planted_losses_and_intervals_new_runs_about_nine_times_in_ten() -> None:
    truths, runs_inside = [], []
    for seed in range(4):
        world, runs = published_runs(seed, 0.002)
        rng = np.random.default_rng([7, seed])
        other = np.exp(rng.uniform(np.log(0.3e6), np.log(3e6), (12, 3)))
        with few_folds(2):
            fit = mixlaw.fit(runs, law="transfer")
        band, truth = fit.predict(other), world.truth(other)
        measured = truth + 0.002 * rng.standard_normal(truth.shape)
        truths.append((truth >= band.mean_low) & (truth <= band.mean_high))
        runs_inside.append((measured >= band.low) & (measured <= band.high))
    assert 0.82 <= np.mean(truths) <= 0.98
    assert 0.82 <= np.mean(runs_inside) <= 0.98
