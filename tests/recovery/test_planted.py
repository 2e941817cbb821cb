"""Plant a law, run a design, fit, solve: is the recommended mixture nearly as good as the true best one?

`bench/planted` is the long form of this, with 100 laws; here 4, in a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.design import perturbation_design
from mixlaw.fit import fit_law

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "planted"))

import planted_laws as bench

DRAWS = range(4)


@pytest.fixture(scope="module")
def regrets() -> dict[tuple[str, float, int], float]:
    rows = [row for draw in DRAWS for row in bench.one_draw(draw)]
    keys = {(r["method"], r["sd"], r["budget"]) for r in rows}
    return {k: float(np.mean([r["regret"] for r in rows if (r["method"], r["sd"], r["budget"]) == k])) for k in keys}


def test_joint_fit_and_exact_solve_stay_below_the_unregularised_joint_fit(regrets: dict) -> None:
    # Mean regret in % of the published design with an unregularised joint fit, as measured for the method; the equal
    # mixture's is .4 and .2.
    reference = {(0.001, 20): 0.025, (0.001, 200): 0.121, (0.004, 20): 0.164, (0.004, 200): 0.731}
    for (sd, millions), limit in reference.items():
        assert regrets["published design, joint fit", sd, millions * 10**6] <= limit


def test_the_joint_fit_beats_the_published_and_the_own_curve_fit(regrets: dict) -> None:
    # Cell by cell over 100 laws in bench/planted; over the four cells together here.
    def mean(method: str) -> float:
        return float(np.mean([regret for (name, _, _), regret in regrets.items() if name == method]))

    assert mean("published design, joint fit") < mean("published design, published fit")
    assert mean("published design, joint fit") < 0.5 * mean("published design, own-curve fit")


def test_error_falls_as_noise_falls() -> None:
    rng = np.random.default_rng(0)
    theta = bench.planted(rng)
    mixtures = perturbation_design(bench.DOMAINS, 660_000)
    tokens = np.array([[t[d] for d in bench.DOMAINS] for _, t in mixtures], float)
    far = np.array([[10e6, 6e6, 4e6]])
    truth = bench.losses(theta, far)
    errors = []
    for sd in (0.01, 0.001, 0.0001):
        gaps = []
        for seed in range(2):
            noise = sd * np.random.default_rng(seed).standard_normal(tokens.shape)
            runs = RunTable(
                tuple(n for n, _ in mixtures), bench.DOMAINS, bench.DOMAINS, tokens, bench.losses(theta, tokens) + noise
            )
            gaps.append(np.abs(fit_law(runs).predict(far).mean - truth).mean())
        errors.append(np.mean(gaps))
    assert errors[0] > errors[1] > errors[2]


def test_bands_cover_the_planted_losses_about_nine_times_in_ten() -> None:
    inside, count = 0, 0
    for draw in range(6):
        rng = np.random.default_rng([7, draw])
        theta = bench.planted(rng)
        mixtures = perturbation_design(bench.DOMAINS, 660_000)
        tokens = np.array([[t[d] for d in bench.DOMAINS] for _, t in mixtures], float)
        measured = bench.losses(theta, tokens) + 0.002 * rng.standard_normal(tokens.shape)
        fit = fit_law(RunTable(tuple(n for n, _ in mixtures), bench.DOMAINS, bench.DOMAINS, tokens, measured))
        other = np.exp(rng.uniform(np.log(0.3e6), np.log(3e6), (8, 3)))
        band, truth = fit.predict(other), bench.losses(theta, other)
        inside += int(((truth >= band.low) & (truth <= band.high)).sum())
        count += truth.size
    assert 0.8 <= inside / count <= 0.99
