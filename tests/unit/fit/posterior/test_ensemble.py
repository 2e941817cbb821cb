"""Each kind of move alone finds densities that are known; sampling ends when the draws suffice, or at the limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mixlaw.fit.posterior import convergence, ensemble
from mixlaw.fit.posterior.ensemble import sample


def gammas(x_SP: np.ndarray) -> np.ndarray:
    """Three independent gamma variables of shape 3: means 3, variances 3, skewed."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((x_SP > 0).all(axis=1), (2 * np.log(np.maximum(x_SP, 1e-300)) - x_SP).sum(axis=1), -np.inf)


class Counted:
    """A density that counts how often it is asked."""

    def __init__(self, density: Callable[[np.ndarray], np.ndarray]) -> None:
        self.density, self.calls = density, 0

    def __call__(self, x_SP: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.density(x_SP)

    @property
    def sweeps(self) -> int:
        """Two halves a sweep, after the start."""
        return (self.calls - 1) // 2


def assert_gammas(drawn: np.ndarray) -> None:
    assert drawn.mean(axis=0) == pytest.approx(np.full(3, 3.0), abs=0.15)
    assert drawn.var(axis=0) == pytest.approx(np.full(3, 3.0), rel=0.15)
    assert np.quantile(drawn, 0.05, axis=0) == pytest.approx(np.full(3, 0.8177), abs=0.1)
    assert np.corrcoef(drawn.T)[np.triu_indices(3, 1)] == pytest.approx(np.zeros(3), abs=0.08)


@pytest.mark.parametrize("kind", ["stretch", "difference", "anew", "mixed"])
def test_every_move_alone_leaves_the_density_as_it_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind != "mixed":
        monkeypatch.setattr(ensemble, "_ANEW", 0.0 if kind == "difference" else 1.0)
    if kind == "stretch":
        monkeypatch.setattr(ensemble._Ensemble, "learn", lambda self, states_SP: None)
    monkeypatch.setattr(convergence, "EFFECTIVE", np.inf)  # sweep to the end
    rng = np.random.default_rng(1)
    drawn, _ = sample(gammas, 1 + rng.random((60, 3)), rng, 30_000, burn_in=200, most_sweeps=2000)
    assert_gammas(drawn)


def test_the_long_jumps_cross_between_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "EFFECTIVE", np.inf)
    monkeypatch.setattr(ensemble, "_ANEW", 0.0)
    rng = np.random.default_rng(2)

    def two_hills(x_SP: np.ndarray) -> np.ndarray:
        return np.logaddexp(np.log(0.3) - 0.5 * x_SP[:, 0] ** 2, np.log(0.7) - 0.5 * (x_SP[:, 0] - 12) ** 2)

    start = rng.standard_normal((60, 1)) + 12 * (np.arange(60) % 2)[:, None]
    drawn, _ = sample(two_hills, start, rng, 6000, burn_in=100, most_sweeps=600)
    # half of the walkers start at either hill: only jumps can make it three to seven
    assert np.mean(drawn > 6) == pytest.approx(0.7, abs=0.06)


def test_an_easy_density_takes_as_many_sweeps_as_are_burnt_in_and_a_hard_one_all() -> None:
    easy = Counted(lambda x_SP: -0.5 * (x_SP**2).sum(axis=1))
    rng = np.random.default_rng(0)
    drawn, found = sample(easy, rng.standard_normal((60, 2)), rng, 100, burn_in=50, most_sweeps=1000)
    assert found.enough
    assert easy.sweeps == 100
    assert drawn.shape == (100, 2)

    def stuck(x_SP: np.ndarray) -> np.ndarray:
        return -0.5 * np.minimum((x_SP[:, 0] + 1e6) ** 2, (x_SP[:, 0] - 1e6) ** 2) - 0.5 * (x_SP[:, 1:] ** 2).sum(
            axis=1
        )

    hard = Counted(stuck)
    start = np.where(np.arange(60)[:, None] < 30, 1e6, -1e6) * [1, 0] + rng.standard_normal((60, 2))
    _, found = sample(hard, start, rng, 100, burn_in=50, most_sweeps=170)
    assert not found.enough
    assert hard.sweeps == 170


def test_no_sweep_of_the_burn_in_is_returned_and_states_are_taken_evenly() -> None:
    rng = np.random.default_rng(3)
    far = 50 + rng.standard_normal((60, 2))
    drawn, _ = sample(lambda x_SP: -0.5 * (x_SP**2).sum(axis=1), far, rng, 3000, burn_in=150, most_sweeps=400)
    assert np.abs(drawn).max() < 8
    first, last = np.array_split(drawn, 2)
    assert first.std() == pytest.approx(last.std(), rel=0.1)
    assert len(np.unique(drawn[:, 0])) > 1000


def test_walls_are_never_crossed_and_the_start_is_left_as_it_was() -> None:
    rng = np.random.default_rng(4)
    start = 1 + rng.random((60, 3))
    kept = start.copy()
    drawn, _ = sample(gammas, start, rng, 500, burn_in=20, most_sweeps=60)
    assert drawn.min() > 0
    assert np.array_equal(start, kept)
