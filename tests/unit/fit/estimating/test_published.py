"""The paper's two-step fit where its answer is known, and where it has none."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.errors import FitError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.estimating.published import fit_published
from mixlaw.laws.transfer import transfer_losses

OWN = np.array([0.1, 0.2, 0.4, 0.8, 1.6])


def test_a_planted_curve_is_followed_within_its_range() -> None:
    losses = transfer_losses(np.array([0.6, 0.3, 0.6, 0.5, 1.0]), OWN, np.full(5, 0.8))
    C, k, alpha, beta, E = fit_published(OWN, 0.8, losses)
    predicted = C * (OWN + k * 0.8**alpha) ** -beta + E
    # the mean would miss by .15
    assert np.abs(predicted - losses).max() < 0.01
    assert k * 0.8**alpha <= 0.8 + 1e-6
    assert 0 <= alpha <= 1


def test_losses_that_rise_leave_no_ratios_to_fit() -> None:
    with pytest.raises(FitError, match="do not fall"):
        fit_published(OWN, 0.8, np.array([1.0, 1.1, 1.2, 1.3, 1.4]))
    # one usable pair of sizes, two steps apart
    with pytest.raises(FitError, match="do not fall"):
        fit_published(OWN, 0.8, np.array([1.2, 1.3, 1.1, 1.4, 1.5]))


def perturbation() -> RunTable:
    base = np.full(3, 0.4)
    rows = [base] + [base * np.where(np.arange(3) == i, f, 1) for i in range(3) for f in (0.25, 0.5, 2.0, 4.0)]
    tokens = np.array(rows)
    others = tokens.sum(axis=1, keepdims=True) - tokens
    theta = np.array([0.6, 0.3, 0.6, 0.5, 1.0])
    losses = np.column_stack([transfer_losses(theta, tokens[:, j], others[:, j]) for j in range(3)])
    names = tuple(f"r{i}" for i in range(len(tokens)))
    return RunTable(names, ("a", "b", "c"), ("a", "b", "c"), tokens * 1e6, losses)


@pytest.mark.parametrize("procedure", ["own_curve", "published"])
def test_fits_of_single_curves_have_no_draws_and_say_what_they_leave_open(procedure: str) -> None:
    runs = perturbation()
    fit = fit_law(runs, "transfer", procedure)
    assert fit.procedure == procedure
    for j, target in enumerate(fit.targets):
        found = fit.targets[target]
        assert found.status == "not_identifiable"
        assert "only k R^alpha is determined" in found.message
        assert np.array_equal(found.curve.draws_SP, np.repeat(found.curve.theta_P[None], 2, axis=0))
        own = np.flatnonzero((np.delete(runs.tokens_RK, j, axis=1) == 0.4e6).all(axis=1))
        predicted = fit.predict(runs.tokens_RK[own], at="point").mean[:, j]
        assert np.abs(predicted - runs.losses_RJ[own, j]).max() < 0.01
        assert found.curve.scatter.sd_nats < 0.01


def test_the_two_steps_do_the_same_for_runs_of_any_size() -> None:
    # The fixed starts suit the published sizes; runs of a twentieth had a law by which all mixtures are alike.
    runs = perturbation()
    small = RunTable(runs.runs, runs.domains, runs.targets, runs.tokens_RK / 20, runs.losses_RJ)
    asked = np.array([[3e6, 1e6, 0.5e6]])
    there, here = (fit_law(one, "transfer", "published") for one in (runs, small))
    expected = there.predict(asked, at="point").mean
    assert here.predict(asked / 20, at="point").mean == pytest.approx(expected, rel=1e-6)
    assert expected.std() > 0.01


def test_the_published_scatter_is_over_the_runs_less_four_parameters() -> None:
    runs = perturbation()
    runs.losses_RJ[:, 0] += 0.02 * np.where(np.arange(13) % 2, 1, -1)
    found = fit_law(runs, "transfer", "published")
    own = np.flatnonzero((runs.tokens_RK[:, 1:] == 0.4e6).all(axis=1))
    residuals = found.predict(runs.tokens_RK[own], at="point").mean[:, 0] - runs.losses_RJ[own, 0]
    assert found.targets["a"].noise_nats == pytest.approx(np.sqrt((residuals**2).sum()), rel=1e-4)


def test_a_target_without_a_domain_has_no_curve_of_its_own() -> None:
    runs = perturbation()
    other = RunTable(runs.runs, runs.domains, ("a", "x", "c"), runs.tokens_RK, runs.losses_RJ)
    with pytest.raises(FitError, match="'x' has none"):
        fit_law(other, "transfer", "own_curve")
