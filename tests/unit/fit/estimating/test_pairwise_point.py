"""The point of `pairwise`: its prior, its scatter that grows with the loss, and the best of its starts."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating import pairwise_point
from mixlaw.fit.estimating.pairwise_point import Target, fit_points
from mixlaw.fit.size import SIZE
from mixlaw.laws.pairwise import Pairwise

DOMAINS = ("a", "b", "c")
THETA = np.array([0.9, 0.05, 0.6, 0.3, 0.8, 0.3, 0.1, 0.0, 0.0, 0.0, 0.0])


def table(R: int, noise: float, seed: int = 0, grows: float = 0.0, sizes: bool = False) -> RunTable:
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.normal(0, 1, (R, 3)))
    losses = np.column_stack([Pairwise(DOMAINS, d).predict(THETA, tokens) for d in DOMAINS])
    height = (losses - losses.min(axis=0)) / np.ptp(losses, axis=0)
    sd = noise * ((height + 0.1) / 0.6) ** grows
    params = np.where(np.arange(R) % 2, 1e9, 1e8) if sizes else None
    losses = losses + sd * rng.standard_normal(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(R)), DOMAINS, DOMAINS, tokens * 1e6, losses, params_R=params)


def fitted(runs: RunTable, interference: bool = False) -> list[Target]:
    return fit_points(runs, 1e6, interference)


@pytest.mark.parametrize("grows", [0.0, 1.0])
def test_the_scatter_grows_with_the_loss_where_that_of_the_runs_does(grows: float) -> None:
    targets = [target for seed in range(4) for target in fitted(table(60, 0.01, seed, grows))]
    # the prior of the power, .5 wide, still pulls by a half at sixty runs
    assert np.mean([target.scatter.power for target in targets]) == pytest.approx(0.5 * grows, abs=0.15)
    assert np.mean([target.scatter.sd_nats for target in targets]) == pytest.approx(0.01, rel=0.12)
    for target in targets[:3]:
        assert target.scatter.base == target.problem.losses_R.min()
        assert target.scatter.span == pytest.approx(np.ptp(target.problem.losses_R))


def test_what_other_domains_are_worth_goes_together() -> None:
    (target, *_) = fitted(table(12, 0.01, sizes=True))
    held = np.diag(target.precision_PP) > 0
    prior = np.linalg.inv(target.precision_PP[np.ix_(held, held)])
    names = [p.name for p in target.law.parameters[: target.problem.of_law]] + list(SIZE)
    names = [name for name, here in zip(names, held, strict=True) if here]
    b, c = names.index("t[b]"), names.index("t[c]")
    # variances of what all sources share, and of each alone
    assert prior[b, b] == pytest.approx(1.64 + 1.49)
    assert prior[b, c] == pytest.approx(1.64)
    assert np.sqrt(prior[names.index("gamma"), names.index("gamma")]) == pytest.approx(0.2)
    assert target.mean_P[target.problem.exponents.start] == pytest.approx(0.1)
    assert prior[names.index("n0"), names.index("n0")] == pytest.approx(2.5**2)
    assert "C" not in names and "E" not in names


def test_degrees_of_freedom_are_those_that_the_parameters_leave() -> None:
    few, many = fitted(table(6, 0.01))[0], fitted(table(80, 0.01))[0]
    assert few.degrees >= 0.2 * 6
    assert few.degrees < 4
    # nine parameters, most of which eighty runs determine
    assert 80 - many.degrees == pytest.approx(7, abs=2)


def test_the_covariance_is_that_of_the_runs_and_the_prior() -> None:
    target = fitted(table(40, 0.01))[0]
    free = np.diag(target.covariance_PP) > 0
    weights = target.weights_R / target.scatter.at(target.problem.losses(target.z_P[None])[0]) ** 2
    jacobian = target.problem.losses_and_jacobian(target.z_P)[1]
    information = jacobian.T @ (weights[:, None] * jacobian) + target.precision_PP
    expected = np.linalg.inv(information[np.ix_(free, free)])
    assert np.sqrt(np.diag(target.covariance_PP)[free]) == pytest.approx(np.sqrt(np.diag(expected)), rel=0.05)


def test_a_run_gone_wrong_counts_for_little() -> None:
    runs = table(30, 0.005)
    runs.losses_RJ[7] += 2.0
    for target in fitted(runs):
        wrong = int(np.argmax(np.abs(target.problem.losses(target.z_P[None])[0] - target.problem.losses_R)))
        assert target.weights_R[wrong] < 0.1
        assert np.delete(target.weights_R, wrong).mean() > 0.8
        assert target.scatter.sd_nats < 0.02


def test_the_cheapest_of_the_starts_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = table(20, 0.005)
    usual = pairwise_point._starts

    def with_a_bad_one(fit: Target) -> list[np.ndarray]:
        # the prior's middle with a floor at the lowest loss and hardly any curve: a search from here goes nowhere
        bad = fit.mean_P.copy()
        bad[0], bad[4] = -25.0, fit.problem.losses_R.min()
        return [bad, *usual(fit), bad]

    good = fitted(runs)
    monkeypatch.setattr(pairwise_point, "_starts", with_a_bad_one)
    for mine, theirs in zip(fitted(runs), good, strict=True):
        gap = mine.problem.losses(mine.z_P[None]) - theirs.problem.losses(theirs.z_P[None])
        assert np.abs(gap).max() < 1e-3


def test_starts_have_the_height_of_the_losses() -> None:
    target = fitted(table(20, 0.005))[0]
    for start in pairwise_point._starts(target):
        predicted = np.median(target.problem.losses(start[None])[0])
        assert predicted == pytest.approx(np.median(target.problem.losses_R), rel=0.02)


def test_losses_that_are_all_alike_have_a_fit() -> None:
    runs = table(10, 0.0)
    runs.losses_RJ[:] = 2.0
    for target in fitted(runs):
        assert target.problem.losses(target.z_P[None])[0] == pytest.approx(np.full(10, 2.0), abs=0.01)
