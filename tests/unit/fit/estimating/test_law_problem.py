"""Any law as an estimation problem: coordinates, bounds, priors, and the normal approximation at a point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating.law_problem import LawEstimator, LawProblem, _normal
from mixlaw.laws import find, names
from mixlaw.laws.base import Parameter
from mixlaw.laws.chinchilla import Chinchilla

DOMAINS = ("a", "b", "c")
TOKENS = np.exp(np.random.default_rng(0).normal(0, 0.7, (14, 3)))
LAWS = [name for name in names() if find(name).law is not None]


def problem(name: str, seed: int = 1) -> LawProblem:
    losses = 2 + 0.5 * np.random.default_rng(seed).random(14)
    return LawProblem(find(name).law(DOMAINS, "a"), TOKENS, losses, np.ones(len(losses)), None)


@pytest.mark.parametrize("name", LAWS)
def test_derivatives_by_the_coordinates_are_those_of_the_losses(name: str) -> None:
    asked = problem(name)
    z = np.clip(asked.starts(1)[0], asked.lower + 0.01, asked.upper - 0.01)
    losses, jacobian = asked.losses_and_jacobian(z)
    assert losses == pytest.approx(asked.losses(z[None])[0])
    for p, step in enumerate(1e-6 * np.eye(len(z))):
        numeric = (asked.losses((z + step)[None]) - asked.losses((z - step)[None]))[0] / 2e-6
        assert jacobian[:, p] == pytest.approx(numeric, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_a_prior_is_a_residual_of_one_a_standard_deviation_from_its_mean(name: str) -> None:
    asked = problem(name)
    held = [p for p in asked.law.parameters if p.prior is not None]
    z = np.array([0.0 if p.prior is None else p.prior[0] + 1.5 * p.prior[1] for p in asked.law.parameters])
    residuals, jacobian = asked.prior_residuals(z)
    assert residuals == pytest.approx(np.full(len(held), 1.5))
    assert (jacobian != 0).sum() == len(held)
    assert jacobian @ z == pytest.approx(residuals + [p.prior[0] / p.prior[1] for p in held])


@pytest.mark.parametrize("name", LAWS)
def test_starts_lie_within_the_bounds_and_a_logarithm_without_one_has_forty(name: str) -> None:
    asked = problem(name)
    starts = asked.starts(3)
    assert 1 <= len(starts) <= 3
    assert ((starts >= asked.lower) & (starts <= asked.upper)).all()
    for p, parameter in enumerate(asked.law.parameters):
        top, low = asked.upper[p], asked.lower[p]
        if parameter.scale == "log":
            assert top == pytest.approx(40 if np.isinf(parameter.upper) else np.log(parameter.upper))
            assert low == pytest.approx(-40 if parameter.lower == 0 else np.log(parameter.lower))
        else:
            # nats: a hundred times the largest loss
            assert top == pytest.approx(100 * asked.losses_R.max() if np.isinf(parameter.upper) else parameter.upper)
            assert low == pytest.approx(-100 * asked.losses_R.max() if np.isinf(parameter.lower) else parameter.lower)


def test_the_normal_approximation_has_the_curvature_of_the_posterior() -> None:
    asked, noise, weights = problem("chinchilla"), 0.1, np.linspace(0.5, 1, 14)
    z = asked.starts(1)[0]

    def slope(point: np.ndarray) -> np.ndarray:
        """Of minus the log posterior, with the losses taken as linear: half of Gauss and Newton."""
        _, jacobian = asked.losses_and_jacobian(z)
        residuals, rows = asked.prior_residuals(point)
        return jacobian.T @ (weights * (jacobian @ (point - z))) / noise**2 + rows.T @ residuals

    curvature = np.column_stack([(slope(z + d) - slope(z - d)) / 2e-4 for d in 1e-4 * np.eye(3)])
    curvature += 0.01 * np.eye(3)  # a coordinate that nothing holds moves by ten at the most
    covariance, precision, mean = _normal(asked, z, noise, weights, np.array([True, True, True]))
    assert covariance == pytest.approx(np.linalg.inv(curvature), rel=1e-4, abs=1e-9)
    for p, parameter in enumerate(asked.law.parameters):
        if parameter.prior is not None:
            assert mean[p] == pytest.approx(parameter.prior[0])
            assert precision[p, p] == pytest.approx(parameter.prior[1] ** -2)
        else:
            assert precision[p, p] == 0
    held, *_ = _normal(asked, z, noise, weights, np.array([False, True, True]))
    assert not held[0].any() and not held[:, 0].any()
    assert held[1:, 1:] == pytest.approx(np.linalg.inv(curvature[1:, 1:]), rel=1e-4, abs=1e-9)


def runs(law: str, theta: list[float], R: int = 14, noise: float = 1e-4) -> RunTable:
    losses = find(law).law(DOMAINS, "a").predict(np.array(theta), TOKENS[:R])
    losses = losses + noise * np.random.default_rng(2).standard_normal(R)
    return RunTable(tuple(f"r{i}" for i in range(R)), DOMAINS, ("a",), TOKENS[:R] * 1e6, losses[:, None])


def fitted(table: RunTable, law: str, draws: int = 0):
    return LawEstimator(find(law)).fit(table, draws=draws)[0]


def test_parameters_come_back_in_millions_of_tokens_whatever_a_typical_run_has() -> None:
    found = fitted(runs("chinchilla", [1.2, 0.9, 0.4], noise=1e-6), "chinchilla")
    assert found.curve.theta_P == pytest.approx([1.2, 0.9, 0.4], rel=0.01)
    assert found.at_bound == ()
    assert found.curve.draws_SP.shape == (1, 3)
    assert np.array_equal(found.curve.draws_SP[0], found.curve.theta_P)
    assert found.convergence is None


def test_a_floor_of_nothing_is_said_to_be_at_its_bound() -> None:
    table = runs("chinchilla", [0.0, 2.0, 0.3])
    found = fitted(replace(table, losses_RJ=table.losses_RJ - 0.3), "chinchilla")
    assert found.at_bound == ("E",)
    assert found.information.parameters == 0  # the others have priors


def test_draws_surround_the_estimate() -> None:
    found = fitted(runs("chinchilla", [1.2, 0.9, 0.4], noise=0.002), "chinchilla", draws=100)
    predicted = found.curve.law.predict(found.curve.draws_SP, TOKENS)
    point = found.curve.law.predict(found.curve.theta_P, TOKENS)
    off = (predicted.mean(axis=0) - point) / predicted.std(axis=0)
    assert np.abs(off).max() < 1.0
    # three parameters share fourteen runs' noise
    assert 0.0003 < predicted.std(axis=0).mean() < 0.003


class Open(Chinchilla):
    """The same law without priors: three parameters that only runs can tell."""

    name = "open"

    def _parameters(self) -> tuple[Parameter, ...]:
        return tuple(replace(parameter, prior=None) for parameter in super()._parameters())


def test_mixtures_are_counted_against_the_parameters_that_no_prior_holds() -> None:
    table = runs("chinchilla", [1.2, 0.9, 0.4])
    LawEstimator(find(Open)).fit(table.take(np.arange(3)), draws=0)
    two = table.take(np.array([0, 1, 1, 0]))
    with pytest.raises(TooFewRuns, match="measured at 2 different mixtures; law 'open' has 3 parameters") as error:
        LawEstimator(find(Open)).fit(two, draws=0)
    assert "at least 1 more" in error.value.hint
    fitted(two, "chinchilla")  # whose priors hold two of the three
