"""The scatter of runs may grow as mixtures lean on few domains, and fits find out whether it does."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.lean import lean
from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Scatter
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.fit.estimating.pairwise_point import _growth

NAMES = ("a", "b", "c")


def swarm(tilt: float, runs: int = 60, repeats: int = 1, seed: int = 0) -> RunTable:
    """Runs of three domains, equal in total, whose noise is exp(tilt) times as large at a vertex as in the middle."""
    rng = np.random.default_rng(seed)
    shares = np.repeat(rng.dirichlet([0.5, 0.5, 0.5], runs // repeats), repeats, axis=0)
    noise = 0.002 * np.exp(tilt * lean(shares))[:, None] * rng.standard_normal((len(shares), 2))
    losses = 1.5 + 0.4 * (0.05 + shares[:, :2]) ** -0.2 + noise
    return RunTable(tuple(f"r{i}" for i in range(len(shares))), NAMES, NAMES[:2], 3e6 * shares, losses)


def scatters(runs: RunTable) -> list[Scatter]:
    return [one.curve.scatter for one in PairwiseEstimator(False).fit(runs, 0, 0)]


def test_a_noise_that_grows_towards_the_vertices_is_found_and_an_even_one_is_left_even() -> None:
    even, steep = scatters(swarm(0.0)), scatters(swarm(3.2))
    assert np.mean([s.tilt for s in even]) == pytest.approx(0, abs=0.6)
    assert min(s.tilt for s in steep) > 1.2
    loss, ends = np.full(2, 2.0), np.array([0.0, 1.0])
    ratio = [s.at(loss, ends)[1] / s.at(loss, ends)[0] for s in steep]
    assert min(ratio) > 3


def test_repeats_tell_of_the_noise_as_other_runs_do() -> None:
    assert min(s.tilt for s in scatters(swarm(3.2, repeats=3))) > 1.2


def test_a_dozen_runs_are_shrunk_towards_an_even_noise() -> None:
    few, many = scatters(swarm(3.2, runs=12)), scatters(swarm(3.2))
    assert np.mean([s.tilt for s in few]) < 0.7 * np.mean([s.tilt for s in many])


def test_scatter_is_tilted_around_the_mean_lean_of_the_runs() -> None:
    scatter = Scatter(0.01, tilt=2.0, middle=0.3)
    assert scatter.at(np.ones(3), np.array([0.3, 0.8, 0.0])) == pytest.approx(0.01 * np.exp([0, 1.0, -0.6]))
    assert scatter.at(np.ones(2)) == pytest.approx([0.01, 0.01])
    assert scatter.at(np.ones((4, 2)), np.array([0.3, 0.8])).shape == (4, 2)


def test_growth_is_that_of_the_sizes_shrunk_by_its_prior() -> None:
    rng = np.random.default_rng(0)
    causes = rng.uniform(-1, 1, (4000, 2))
    sizes = np.exp(causes @ [0.8, -0.5]) * np.abs(rng.standard_normal(4000))
    assert _growth(sizes, causes) == pytest.approx((0.8, -0.5), abs=0.12)
    few = _growth(sizes[:6], causes[:6])
    assert np.hypot(*few) < 1.5
    assert _growth(np.ones(5), np.zeros((5, 2))) == (0.0, 0.0)
