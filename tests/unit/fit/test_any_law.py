"""Any law or regressor by name: other targets than domains, missing losses, errors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from law_runs import DOMAINS, TRANSFER, UNEVEN, run_table
from mixlaw.core.errors import ConfigError, FitError, TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.held_out import of_targets
from mixlaw.laws import find, names
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import Transfer
from mixlaw.solve import solve_mixture
from quick_fits import few_folds, none_held_out, short_draws


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with few_folds(2), short_draws():
        yield


def test_targets_that_are_no_domains_are_fitted() -> None:
    runs = run_table(Pairwise, UNEVEN, 20, 0.002)
    renamed = RunTable(runs.runs, DOMAINS, ("mmlu", "humaneval", "b"), runs.tokens_RK, runs.losses_RJ)
    fit = fit_law(renamed)
    assert fit.law == "pairwise"
    error = np.abs(fit.predict(renamed).mean - runs.losses_RJ).mean()
    # The mean of each column would be off by .06 and more.
    assert error < 0.01
    with pytest.raises(FitError):
        fit_law(renamed, law="bivariate")


def test_a_missing_loss_is_no_obstacle() -> None:
    runs = run_table(Pairwise, UNEVEN, 20, 0.002)
    losses = runs.losses_RJ.copy()
    losses[::4, 1] = np.nan
    for law in ("pairwise", "additive", "ridge"):
        with none_held_out():
            fit = fit_law(RunTable(runs.runs, DOMAINS, DOMAINS, runs.tokens_RK, losses), law=law)
        assert np.isfinite(fit.predict(runs).mean).all()


@pytest.mark.parametrize("name", [name for name in names() if find(name).law is None])
def test_regressors_fit_predict_and_have_no_equation(name: str) -> None:
    runs = of_targets(run_table(Transfer, TRANSFER, 40, 0.002), [0, 1])
    fit = fit_law(runs, law=name)
    again = Fit.from_json(fit.to_json())
    assert np.array_equal(again.predict(runs).mean, fit.predict(runs).mean)
    assert np.abs(fit.predict(runs).mean - runs.losses_RJ).mean() < 0.05
    with pytest.raises(FitError, match="has no equation"):
        solve_mixture(fit, 3e6)


def test_errors() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    with pytest.raises(ConfigError, match="no law 'tranfser'"):
        fit_law(runs, law="tranfser")
    with pytest.raises(ConfigError, match="belongs to law 'transfer'"):
        fit_law(runs, law="pairwise", procedure="published")
    with pytest.raises(TooFewRuns):
        fit_law(runs.take(np.arange(3)), law="pairwise")
    with pytest.raises(TooFewRuns):
        fit_law(runs.take(np.arange(1)), law="pairwise")
