"""`global` is said of a certificate only where the losses are convex; a hair beyond, it is not."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.fit import Fit
from mixlaw.laws.pairwise import Pairwise
from mixlaw.solve import solve_mixture
from mixlaw.solve.coupled_objective import Ceiling, Ceilings, CoupledObjective, Losses
from planted_fits import planted_fit, two_runs

DOMAINS = ("a", "b", "c")
BUDGET = 3e6


def values(a: float, e: float, h: float = 0.0) -> dict[str, float]:
    law = Pairwise(DOMAINS, "a")
    given = {"C": 0.9, "n0": 0.05, "a": a, "beta": 0.2, "E": 0.8, "t[b]": 0.3, "t[c]": 0.1, "e[b]": e, "h[b]": h}
    return {parameter.name: given.get(parameter.name, 0.0) for parameter in law.parameters}


def planted(a: float, e: float, h: float = 0.0) -> Fit:
    """One target; its law is the same in both draws but for C."""
    point = values(a, e, h)
    draws = [list((point | {"C": C}).values()) for C in (0.85, 0.95)]
    return planted_fit("pairwise", two_runs(DOMAINS, ("a",)), {"a": point}, {"a": np.array(draws)})


def bends_up(fit: Fit) -> bool:
    """Whether no chord of the loss between random mixtures lies below it."""
    rng = np.random.default_rng(0)
    # near the sides too, where a source has little: there its curve bends the most
    first, second = (rng.dirichlet(np.full(3, 0.15), 4000) for _ in range(2))
    at_first, at_second, between = (
        fit.belief("a").drawn().predict(BUDGET / 1e6 * w).mean(axis=0) for w in (first, second, (first + second) / 2)
    )
    return bool(((at_first + at_second) / 2 - between).min() > -1e-12)


@pytest.mark.parametrize(
    ("a", "e", "h", "kind"),
    [
        (0.6, 0.399, 0.0, "global"),
        (0.6, 0.401, 0.0, "stationary"),
        (0.6, 0.8, 0.0, "stationary"),
        (0.3, -0.299, 0.0, "global"),
        (0.3, -0.301, 0.0, "stationary"),
        (0.3, -0.6, 0.0, "stationary"),
        (0.6, 0.1, 0.05, "stationary"),
        (0.6, 0.1, 0.0, "global"),
    ],
)
def test_exponents_of_a_source_between_0_and_1_make_the_proof_global(a: float, e: float, h: float, kind: str) -> None:
    fit = planted(a, e, h)
    assert solve_mixture(fit, BUDGET).certificate.kind == kind
    if kind == "global":
        assert bends_up(fit)


@pytest.mark.parametrize(("a", "e"), [(0.6, 0.8), (0.3, -0.6)])
def test_beyond_these_exponents_a_loss_need_not_be_convex(a: float, e: float) -> None:
    assert not bends_up(planted(a, e))


@pytest.mark.parametrize(
    ("first", "second", "kind"), [(0.0, 0.0, "global"), (0.05, 0.0, "stationary"), (0.0, 0.05, "stationary")]
)
def test_one_target_that_is_not_convex_is_enough_to_say_so(first: float, second: float, kind: str) -> None:
    fits = planted(0.6, 0.1, first), planted(0.6, 0.1, second)
    points = {name: fit.targets["a"].curve.theta_P for name, fit in zip("ax", fits, strict=True)}
    draws = {name: fit.targets["a"].curve.draws_SP for name, fit in zip("ax", fits, strict=True)}
    points["x"], draws["x"] = (
        np.insert(values, [5, 7, 9], [0.2, 0.1, second], axis=-1) for values in (points["x"], draws["x"])
    )
    fit = planted_fit("pairwise", two_runs(DOMAINS, ("a", "x")), points, draws)
    assert solve_mixture(fit, BUDGET).certificate.kind == kind


def test_a_ceiling_that_is_not_convex_is_enough_to_say_so() -> None:
    bent, straight = planted(0.6, 0.1, 0.05), planted(0.6, 0.1)
    losses = [Losses.of(fit, ["a"], BUDGET) for fit in (bent, straight)]
    for ceiling, convex in zip(losses, (False, True), strict=True):
        objective = CoupledObjective(losses[1], np.ones(1), ceilings=Ceilings(ceiling, (Ceiling("a", 9.0),)))
        assert objective.convex is convex
        assert CoupledObjective(losses[1], np.ones(1)).convex
