"""Every objective and constraint against CVXPY on the law `transfer`, whose losses are power cones along the simplex.

L = C D^-beta + E with D = w N + k ((1 - w) N)^alpha is a convex decreasing power of a concave function. The tolerance
is a millionth of the objective; the equal mixture is some hundredths off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mixlaw.core.errors import Infeasible
from mixlaw.fit import Fit
from mixlaw.fit.alike import beliefs_at
from mixlaw.laws._shares import FLOOR
from mixlaw.solve import solve_mixture
from planted_fits import planted_fit, two_runs

cvxpy = pytest.importorskip("cvxpy")

DOMAINS = ("a", "b", "c", "d")
DRAWS = 3
BUDGET = 6.0


def planted(seed: int) -> Fit:
    rng = np.random.default_rng(seed)
    points, draws = {}, {}
    for domain in DOMAINS:
        points[domain] = np.array(
            [rng.uniform(*r) for r in ((0.3, 1), (0.05, 0.4), (0.4, 0.9), (0.1, 0.4), (0.4, 1.2))]
        )
        draws[domain] = points[domain] * np.exp(0.05 * rng.standard_normal((DRAWS, 5)))
    return planted_fit("transfer", two_runs(DOMAINS, DOMAINS), points, draws)


def drawn(fit: Fit, target: str) -> Any:
    """Return a target's draws at the budget."""
    distance = float(fit.distance(1e6 * BUDGET))
    return beliefs_at(fit, distance)[target].drawn(distance)


@dataclass
class Oracle:
    """CVXPY's losses of a fit; every law raises all tokens by FLOOR, a millionth of the mixture."""

    fit: Fit

    def __post_init__(self) -> None:
        self.w = cvxpy.Variable(4)

    def loss(self, i: int) -> Any:
        terms = []
        for C, k, alpha, beta, E in drawn(self.fit, DOMAINS[i]).parts[0][1]:
            own = self.w[i] + FLOOR
            others = 1 - self.w[i] + FLOOR
            worth = k * BUDGET ** (alpha - 1) * cvxpy.power(others, alpha, approx=False)
            terms.append(C * BUDGET**-beta * cvxpy.power(own + worth, -beta, approx=False) + E)
        return sum(terms) / DRAWS

    @property
    def losses(self) -> list[Any]:
        return [self.loss(i) for i in range(4)]

    def solve(self, objective: Any, *constraints: Any) -> tuple[float, np.ndarray]:
        problem = cvxpy.Problem(cvxpy.Minimize(objective), [cvxpy.sum(self.w) == 1, self.w >= 0, *constraints])
        exact = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
        problem.solve(solver=cvxpy.CLARABEL, **exact)
        assert problem.status == "optimal"
        return float(problem.value), np.array(self.w.value)


def expected(fit: Fit, weights: np.ndarray) -> np.ndarray:
    """Return (J,) expected losses by the law's own code."""
    return np.array([drawn(fit, t).predict(weights[None] * BUDGET)[:, 0].mean() for t in fit.targets])


def solved(fit: Fit, **wishes: Any) -> tuple[Any, np.ndarray]:
    solution = solve_mixture(fit, BUDGET * 1e6, **wishes)
    assert solution.certificate.kind == "global"
    assert solution.certificate.gap < 1e-8
    return solution, np.array([solution.weights[d] for d in DOMAINS])


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_within_bounds(seed: int) -> None:
    fit = planted(seed)
    oracle = Oracle(fit)
    value, _ = oracle.solve(sum(oracle.losses), oracle.w <= 0.35, oracle.w[1] >= 0.3)
    solution, weights = solved(fit, max=dict.fromkeys(DOMAINS, 0.35), min={"b": 0.3})
    assert solution.objective_value == pytest.approx(value, rel=1e-6)
    assert weights[1] >= 0.3


@pytest.mark.parametrize("seed", range(3))
def test_linear_groups(seed: int) -> None:
    fit = planted(seed)
    oracle = Oracle(fit)
    w = oracle.w
    value, _ = oracle.solve(
        sum(oracle.losses), w[0] + w[1] <= 0.4, 0.5 * w[2] + w[3] >= 0.45, w[0] - w[1] <= -0.05, w[2] == 0.3
    )
    groups = ["a + b <= 0.4", "0.5 c + d >= 0.45", "a - b <= -0.05", "c == 0.3"]
    solution, _ = solved(fit, groups=groups)
    assert solution.objective_value == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("groups", [(), ("a + b <= 0.4",)])
@pytest.mark.parametrize("strength", [0.02, 0.5])
def test_a_pull_towards_a_prior(strength: float, groups: tuple[str, ...]) -> None:
    fit, share = planted(1), np.array([0.1, 0.2, 0.3, 0.4])
    oracle = Oracle(fit)
    held = [oracle.w[0] + oracle.w[1] <= 0.4] if groups else []
    pull = strength * cvxpy.sum(cvxpy.rel_entr(oracle.w, share))
    value, _ = oracle.solve(sum(oracle.losses) + pull, *held)
    solution, weights = solved(
        fit, prior=dict(zip(DOMAINS, share, strict=True)), prior_strength=strength, groups=list(groups)
    )
    found = solution.objective_value + strength * float((weights * np.log(weights / share)).sum())
    assert found == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_target(seed: int) -> None:
    fit = planted(seed)
    oracle = Oracle(fit)
    value, _ = oracle.solve(cvxpy.maximum(*oracle.losses), oracle.w >= 0.05)
    solution, weights = solved(fit, objective="max", min=dict.fromkeys(DOMAINS, 0.05))
    assert solution.objective_value == pytest.approx(value, rel=1e-6)
    assert expected(fit, weights).max() == pytest.approx(value, rel=1e-6)


def test_the_worst_of_some_targets() -> None:
    fit = planted(0)
    oracle = Oracle(fit)
    value, _ = oracle.solve(cvxpy.maximum(oracle.loss(1), oracle.loss(3)))
    solution, _ = solved(fit, objective="max", target_weight={"b": 1, "d": 5})
    assert solution.objective_value == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_one_target_under_ceilings_on_the_others(seed: int) -> None:
    fit = planted(seed)
    equal = expected(fit, np.full(4, 0.25))
    oracle = Oracle(fit)
    caps = 1.01 * equal
    held = [oracle.loss(i) <= caps[i] for i in (1, 2, 3)]
    value, _ = oracle.solve(oracle.loss(0), *held)
    wishes = {"target_weight": {"a": 1.0}, "no_worse": {"b": 1, "c": 1}, "reference": "equal"}
    solution, weights = solved(fit, floor={"d": float(caps[3])}, **wishes)
    assert solution.objective_value == pytest.approx(value, rel=1e-6)
    assert np.all(expected(fit, weights)[1:] <= caps[1:] + 1e-9)


def test_the_smallest_attainable_loss_is_the_one_that_is_said() -> None:
    fit = planted(2)
    oracle = Oracle(fit)
    lowest, _ = oracle.solve(oracle.loss(2), oracle.w[2] <= 0.5)
    wishes: dict[str, Any] = {"max": {"c": 0.5}}
    with pytest.raises(Infeasible, match=f"{lowest:.4f}") as error:
        solve_mixture(fit, BUDGET * 1e6, floor={"c": lowest - 1e-3}, **wishes)
    assert error.value.binding == ("c",)
    solve_mixture(fit, BUDGET * 1e6, floor={"c": lowest + 1e-5}, **wishes)


def test_ceilings_that_cannot_be_met_together_are_named() -> None:
    fit = planted(0)
    worst = cvxpy.maximum
    oracle = Oracle(fit)
    caps = expected(fit, np.full(4, 0.25)) * np.array([1, 0.97, 0.96, 1.3])
    value, _ = oracle.solve(worst(*[oracle.loss(i) - caps[i] for i in range(4)]))
    assert value > 0
    with pytest.raises(Infeasible, match="together") as error:
        solve_mixture(fit, BUDGET * 1e6, floor=dict(zip(DOMAINS, map(float, caps), strict=True)))
    assert f"{value:.4f} nats" in error.value.message
    assert "d" not in error.value.binding


def test_a_weak_pull_in_many_domains_leaves_tiny_weights_where_they_belong() -> None:
    # At the optimum log(w / share) + 1 is an affine function of the slope: also for weights of a millionth.
    fit = planted(3)
    solution, weights = solved(
        fit, objective="max", target_weight={"a": 1}, prior=dict.fromkeys(DOMAINS, 0.25), prior_strength=0.03
    )
    oracle = Oracle(fit)
    pull = 0.03 * cvxpy.sum(cvxpy.rel_entr(oracle.w, np.full(4, 0.25)))
    value, found = oracle.solve(oracle.loss(0) + pull)
    assert solution.objective_value + 0.03 * float((weights * np.log(4 * weights)).sum()) == pytest.approx(
        value, rel=1e-7
    )
    assert weights == pytest.approx(found, abs=1e-5)
