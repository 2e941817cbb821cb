"""The gap of a certificate bounds how far weights are from the optimum, also where they are bad on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mixlaw.fit.curve import Drawn
from mixlaw.laws.pairwise import Pairwise
from mixlaw.solve.allocation import _certify, refine
from mixlaw.solve.certificate import polish, prove
from mixlaw.solve.coupled import minimise
from mixlaw.solve.coupled_objective import Ceiling, Ceilings, CoupledObjective, Losses
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
    ceilings = Ceilings(straight([-1.0, -1.0, 0.0]), (Ceiling("a", 4.6),))
    objective = CoupledObjective(losses, np.ones(1), ceilings=ceilings)
    at_best = prove(objective, EVERYWHERE, np.array([0.4, 0.0, 0.6]))
    assert at_best.gap == pytest.approx(0, abs=1e-9)
    assert at_best.prices == pytest.approx([1.0])
    for w in ([0.0, 0.4, 0.6], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]):
        true = objective.value(np.array(w)) - 5.4
        assert prove(objective, EVERYWHERE, np.array(w)).gap >= true - 1e-9


def test_the_multiplier_is_the_gain_that_free_domains_share_also_with_an_equality_on_another() -> None:
    objective = CoupledObjective(curved(), np.ones(2))
    region = Polytope(np.zeros(3), np.ones(3), equal_EK=np.array([[0.0, 0.0, 1.0]]), values_E=np.array([0.2]))
    best = minimise(objective, region)
    slope = objective.slope(best.weights_K)
    assert slope[0] == pytest.approx(slope[1], rel=1e-5)
    assert best.proof.multiplier == pytest.approx(-slope[0], rel=1e-5)
    assert slope[2] != pytest.approx(slope[0], rel=1e-2)
    assert best.proof.kkt_residual < 1e-6


def test_the_multiplier_is_below_nothing_where_all_losses_rise() -> None:
    region = Polytope(np.zeros(3), np.ones(3), equal_EK=np.array([[0.0, 0.0, 1.0]]), values_E=np.array([0.2]))
    proof = prove(CoupledObjective(straight([1.0, 1.0, 3.0]), np.ones(1)), region, np.array([0.4, 0.4, 0.2]))
    assert proof.multiplier == pytest.approx(-1.0)
    assert proof.kkt_residual == pytest.approx(0, abs=1e-12)


def test_the_residual_is_what_no_multiplier_cancels() -> None:
    objective = CoupledObjective(straight([1.0, -2.0, 0.5]), np.ones(1))
    # at the corner of the cheapest domain the bounds cancel all; in the middle only what all slopes have in common
    assert prove(objective, EVERYWHERE, np.array([0.0, 1.0, 0.0])).kkt_residual == pytest.approx(0, abs=1e-12)
    middle = prove(objective, EVERYWHERE, np.full(3, 1 / 3))
    mean = (1 - 2 + 0.5) / 3
    assert middle.kkt_residual == pytest.approx(abs(-2 - mean) / 2)
    assert middle.multiplier == pytest.approx(-mean)


def test_where_two_losses_are_worst_their_shares_balance_their_slopes() -> None:
    # 2 w_a against 1 - w_a: level at a third, where shares of 1/3 and 2/3 cancel
    objective = CoupledObjective(straight([2.0, 0.0, 0.0], [0.0, 1.0, 1.0]), np.ones(2), worst=True)
    proof = prove(objective, EVERYWHERE, np.array([1 / 3, 1 / 3, 1 / 3]))
    assert proof.shares_J == pytest.approx([1 / 3, 2 / 3], abs=1e-5)
    assert proof.gap == pytest.approx(0, abs=1e-9)
    alone = prove(objective, EVERYWHERE, np.array([0.5, 0.3, 0.2]))
    assert alone.shares_J == pytest.approx([1.0, 0.0])


def test_a_ceiling_with_room_has_no_price() -> None:
    ceilings = Ceilings(straight([-1.0, -1.0, 0.0], [0.0, 0.0, 1.0]), (Ceiling("a", 4.6), Ceiling("b", 5.9)))
    objective = CoupledObjective(straight([1.0, 2.0, 0.0]), np.ones(1), ceilings=ceilings)
    assert prove(objective, EVERYWHERE, np.array([0.4, 0.0, 0.6])).prices == pytest.approx([1.0, 0.0])
    assert prove(objective, EVERYWHERE, np.array([0.5, 0.0, 0.5])).prices.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["mean", "pulled", "capped"])
def test_polishing_a_point_near_the_optimum_comes_much_nearer(kind: str) -> None:
    prior = Prior(np.array([0.2, 0.3, 0.5]), 0.05) if kind == "pulled" else None
    ceilings = None
    if kind == "capped":
        ceilings = Ceilings(curved().only(0), (Ceiling("a", float(curved().counted(np.array([0.6, 0.3, 0.1]))[0])),))
    objective = CoupledObjective(curved(), np.array([1.0, 3.0]), prior=prior, ceilings=ceilings)
    best = minimise(objective, EVERYWHERE).weights_K
    # a direction that no active constraint forbids
    _, sizes, directions = np.linalg.svd(prove(objective, EVERYWHERE, best).normals)
    near = best + 1e-3 * directions[int((sizes > 1e-9 * sizes[0]).sum())]
    moved = polish(objective, prove(objective, EVERYWHERE, near), near)
    assert np.abs(moved - best).max() < 0.1 * np.abs(near - best).max()
    assert moved.sum() == pytest.approx(1, abs=1e-9)


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


def test_the_residual_of_the_exact_solver_is_relative_to_the_price_or_to_the_change_of_gain() -> None:
    objective = Barrels(np.array([1.0, 1.0, 2.0]), np.array([0.5, 0.3, 0.2]))
    weights = np.array([[0.4], [0.3], [0.3]])  # gains of .2, 0 and -.4; a gain changes by .8, .6 and 1.2 over a weight
    for price, residual in ((0.0, 0.4 / 1.2), (0.1, 0.5 / 1.2), (3.0, 3.4 / 3.0)):
        proof = _certify(objective, weights, np.array([price]), np.zeros((3, 1)), np.ones((3, 1)))
        assert proof.kkt_residual_B == pytest.approx([residual])
        # to the bound that each gain pulls to: up by what is missing of 1, down by all there is
        steps = [
            ((g - price) * (1 - w) if g > price else (price - g) * w) for g, w in ((0.2, 0.4), (0, 0.3), (-0.4, 0.3))
        ]
        assert proof.gap_B == pytest.approx([sum(steps)])
    held = _certify(objective, weights, np.zeros(1), np.array([[0.0], [0.0], [0.3]]), np.array([[0.4], [1.0], [1.0]]))
    assert held.kkt_residual_B == pytest.approx([0.0])  # what pulls is at its bound already
