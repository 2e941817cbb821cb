"""`auto`: the law that held-out mixtures choose, and decisions that rest on two laws where they do not choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from law_runs import TRANSFER, UNEVEN, run_table
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.choice import simplest_good
from mixlaw.fit.choosing.held_out import held_out
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import Transfer
from mixlaw.solve import solve_mixture


def test_auto_keeps_the_simple_law_where_it_is_true() -> None:
    fit = fit_law(run_table(Transfer, TRANSFER, 16, 0.002))
    assert fit.law == "transfer"
    assert "transfer" in fit.choice


def test_auto_takes_the_richer_law_where_sources_differ() -> None:
    fit = fit_law(run_table(Pairwise, UNEVEN, 24, 0.002))
    assert fit.law == "pairwise"
    assert "smallest error" in fit.choice


def test_the_choice_is_the_simplest_within_one_standard_error() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    rows = [held_out(runs, name) for name in ("mean", "transfer", "pairwise")]
    name, reason = simplest_good(rows, runs)
    assert name == "transfer"
    assert "%" in reason


def test_decisions_hedge_where_held_out_mixtures_do_not_tell_the_laws_apart() -> None:
    runs = run_table(Transfer, TRANSFER, 14, 0.02)
    fit = fit_law(runs)
    assert {fit.law, fit.alternative} == {"transfer", "pairwise"}
    assert "hedge between both" in fit.choice
    assert fit.summary()["alternative"] == fit.alternative
    asked, belief, distance = np.array([[20.0, 10.0, 20.0]]), fit.belief("a"), float(fit.distance(50e6))
    assert [curve.law.name for curve in belief.curves] == [fit.law, fit.alternative]
    both = belief.drawn(distance)
    assert len(both) == 200
    for i, curve in enumerate(belief.curves):
        alone = replace(belief, curves=(curve,)).drawn(distance).predict(asked)[i::2]
        np.testing.assert_allclose(both.predict(asked)[100 * i : 100 * (i + 1)], alone, rtol=1e-12)
    weights = [solve_mixture(fit_law(runs, law=law), 50e6).weights["a"] for law in (fit.law, fit.alternative)]
    solution = solve_mixture(fit, 50e6)
    assert min(weights) - 1e-3 <= solution.weights["a"] <= max(weights) + 1e-3
    assert solve_mixture(Fit.from_json(fit.to_json()), 50e6).weights == solution.weights
    # What is promised is what was minimised: the mean over the draws of both.
    assert solution.total_loss == pytest.approx(solution.objective_value, rel=1e-6)
    for j, target in enumerate(fit.targets):
        mean = fit.belief(target).drawn(distance).predict(asked).mean()
        assert fit.predict(1e6 * asked).mean[0, j] == pytest.approx(mean, rel=1e-12)


def test_a_law_that_is_asked_for_or_clearly_better_decides_alone() -> None:
    assert fit_law(run_table(Transfer, TRANSFER, 16, 0.002), law="transfer").alternative == ""
    assert fit_law(run_table(Pairwise, UNEVEN, 40, 0.001)).alternative == ""
