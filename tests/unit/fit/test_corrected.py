"""A Gaussian process on the residuals: better near the runs, nothing far from them, and solvable."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.solve import solve_mixture

DOMAINS = ("a", "b")


def bumpy_runs(count: int, seed: int) -> RunTable:
    """Losses that no law of the table can follow: a bump where the domains are balanced."""
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(0.2e6), np.log(2e6), (count, 2)))
    own = tokens / 1e6
    bump = 0.1 * np.exp(-2 * np.log(own[:, :1] / own[:, 1:]) ** 2)
    losses = 1.0 + 0.5 * own**-0.2 + bump + 0.001 * rng.standard_normal(own.shape)
    return RunTable(tuple(f"r{i}" for i in range(count)), DOMAINS, DOMAINS, tokens, losses)


def test_near_the_runs_it_helps_and_far_away_it_fades() -> None:
    runs, fresh = bumpy_runs(40, 0), bumpy_runs(40, 1)
    plain, corrected = (fit_law(runs, law="pairwise", corrected=switch) for switch in (False, True))
    errors = [np.abs(fit.predict(fresh).mean - fresh.losses_RJ).mean() for fit in (plain, corrected)]
    assert errors[1] < 0.6 * errors[0]
    far = np.array([[1e15, 1e15]])
    assert corrected.predict(far).mean == pytest.approx(plain.predict(far).mean, abs=2e-3)


def test_it_is_solved_and_stored(tmp_path) -> None:
    runs = bumpy_runs(40, 0)
    fit = fit_law(runs, law="transfer", corrected=True)
    solution = solve_mixture(fit, 2e6)
    assert sum(solution.weights.values()) == pytest.approx(1)
    grid = np.linspace(0.02, 0.98, 97)
    totals = fit.predict(2e6 * np.column_stack([grid, 1 - grid])).mean.sum(axis=1)
    assert solution.total_loss <= totals.min() + 5e-3
    fit.save(tmp_path / "fit.json")
    assert np.array_equal(Fit.load(tmp_path / "fit.json").predict(runs).mean, fit.predict(runs).mean)


def test_a_regressor_has_nothing_to_correct() -> None:
    with pytest.raises(ConfigError, match="no equation"):
        fit_law(bumpy_runs(12, 0), law="ridge", corrected=True)
