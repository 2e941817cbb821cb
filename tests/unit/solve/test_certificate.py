"""The gap of a certificate bounds how far weights are from the optimum, also where they are bad on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mixlaw.fit.curve import Drawn
from mixlaw.laws.pairwise import Pairwise
from mixlaw.solve.allocation import refine
from mixlaw.solve.certificate import prove
from mixlaw.solve.coupled import minimise
from mixlaw.solve.coupled_objective import Ceilings, CoupledObjective, Losses
from mixlaw.solve.polytope import Polytope
from mixlaw.solve.prior import Prior

DOMAINS = ("a", "b", "c")
EVERYWHERE = Polytope(np.zeros(3), np.ones(3))
CORNERS = np.eye(3)
# C, n0, a, beta, E, then t, e and h of the two other domains; no h and a + e < 1: convex
CURVED = [[0.9, 0.05, 0.6, 0.3, 0.8, 0.1, 0.02, 0.1, -0.1, 0.0, 0.0], [0.5, 0.01, 0.7, 0.2, 0.5, 0.02, 0.3] + 4 * [0.0]]


@dataclass(frozen=True)
class Straight:
    """A law that is linear in tokens: the gap is then known exactly."""

    slope_K: np.ndarray

    def predict(self, theta_SP: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return theta_SP[:, :1] + tokens_RK @ self.slope_K

    def gradient(self, theta_SP: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.slope_K, (len(theta_SP), *tokens_RK.shape))


def straight(*slopes: list[float]) -> Losses:
    laws = [Straight(np.array(slope)) for slope in slopes]
    return Losses(tuple(Drawn(((law, np.full((3, 1), 5.0)),)) for law in laws), 1.0)  # type: ignore[arg-type]


def curved() -> Losses:
    laws = [Pairwise(DOMAINS, name) for name in DOMAINS[:2]]
    drawn = [Drawn(((law, np.array([theta])),)) for law, theta in zip(laws, CURVED, strict=True)]
    return Losses(tuple(drawn), 5.0)


@pytest.mark.parametrize("weights", [[1.0, 0.0, 0.0], [0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
def test_the_gap_of_a_linear_loss_is_exact(weights: list[float]) -> None:
    objective = CoupledObjective(straight([1.0, -2.0, 0.5], [0.3, 0.1, 0.4]), np.array([1.0, 2.0]))
    w = np.array(weights)
    true = objective.value(w) - min(objective.value(corner) for corner in CORNERS)
    assert prove(objective, EVERYWHERE, w).gap == pytest.approx(true, abs=1e-12)


@pytest.mark.parametrize("weights", [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.98, 0.01, 0.01]])
def test_the_gap_within_bounds_is_to_the_best_within_them(weights: list[float]) -> None:
    region = Polytope(np.array([0.1, 0.0, 0.0]), np.array([1.0, 0.6, 1.0]))
    objective = CoupledObjective(straight([1.0, -2.0, 0.5]), np.ones(1))
    best = np.array([0.1, 0.6, 0.3])
    true = objective.value(np.array(weights)) - objective.value(best)
    assert prove(objective, region, np.array(weights)).gap == pytest.approx(true, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["mean", "max", "pulled"])
def test_the_gap_is_never_below_the_true_distance(kind: str, seed: int) -> None:
    prior = Prior(np.array([0.2, 0.3, 0.5]), 0.05) if kind == "pulled" else None
    objective = CoupledObjective(curved(), np.ones(2), worst=kind == "max", prior=prior)
    best = minimise(objective, EVERYWHERE)
    assert best.convex
    assert best.proof.gap < 1e-6
    w = np.random.default_rng(seed).dirichlet(np.ones(3))
    true = objective.value(w) - objective.value(best.weights_K)
    gap = prove(objective, EVERYWHERE, w).gap
    assert gap >= true > 1e-4
    # the slope at w, followed all the way: for these gentle curves no more than a few times too far
    assert gap < 30 * true + 1e-3


def test_the_gap_of_the_worst_loss_is_known_where_losses_are_linear() -> None:
    # worst of w_a and 1 - w_a: the optimum is 1/2 at w_a = 1/2, and at w_a = .9 the loss is .4 above it
    objective = CoupledObjective(straight([1.0, 0.0, 0.0], [0.0, 1.0, 1.0]), np.ones(2), worst=True)
    assert prove(objective, EVERYWHERE, np.array([0.5, 0.25, 0.25])).gap == pytest.approx(0, abs=1e-12)
    gap = prove(objective, EVERYWHERE, np.array([0.9, 0.05, 0.05])).gap
    # the only multiplier is that of the worst: its loss could fall by .9
    assert gap == pytest.approx(0.9, abs=1e-9)


def test_room_below_a_ceiling_costs_what_its_price_says() -> None:
    # minimise w_a + 2 w_b under w_a + w_b >= .4 (as a ceiling of 4.6 on 5 - w_a - w_b): .4 at (.4, 0, .6)
    losses = straight([1.0, 2.0, 0.0])
    ceilings = Ceilings(straight([-1.0, -1.0, 0.0]), np.array([4.6]), ("'a' at most 4.6",))
    objective = CoupledObjective(losses, np.ones(1), ceilings=ceilings)
    at_best = prove(objective, EVERYWHERE, np.array([0.4, 0.0, 0.6]))
    assert at_best.gap == pytest.approx(0, abs=1e-9)
    assert at_best.prices == pytest.approx([1.0])
    for w in ([0.0, 0.4, 0.6], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]):
        true = objective.value(np.array(w)) - 5.4
        assert prove(objective, EVERYWHERE, np.array(w)).gap >= true - 1e-9


@dataclass(frozen=True)
class Barrels:
    """f_i = a_i (w_i - b_i)^2, for problems that differ in nothing."""

    a: np.ndarray
    b: np.ndarray

    def value(self, weights_KB: np.ndarray) -> np.ndarray:
        return self.a[:, None] * (weights_KB - self.b[:, None]) ** 2

    def slope(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = 2 * self.a[:, None] * (weights_KB - self.b[:, None])
        return slope, np.broadcast_to(2 * self.a[:, None], slope.shape)


@pytest.mark.parametrize("seed", range(5))
def test_the_gap_of_the_exact_solver_bounds_weights_that_are_not_there_yet(seed: int, monkeypatch) -> None:
    rng = np.random.default_rng(seed)
    objective = Barrels(rng.uniform(0.5, 2, 3), rng.dirichlet(np.ones(3)))  # the optimum is b, of value 0
    start = rng.dirichlet(np.ones(3))[:, None]
    monkeypatch.setattr("mixlaw.solve.allocation._REFINEMENTS", 1)
    # steps of a factor of three at most: from a tiny weight one step does not arrive
    start = np.array([0.01, 0.01, 0.98])[:, None] if seed % 2 else start
    near = refine(objective, start, np.zeros(3), np.ones(3))
    true = float(objective.value(near.weights_KB).sum())
    assert near.gap_B[0] >= true - 1e-12
    # a quadratic lies as far above its tangent as the optimum below it: the gap is at least twice the distance
    assert near.gap_B[0] >= 2 * true - 1e-9
