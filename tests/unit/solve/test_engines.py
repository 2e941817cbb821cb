"""The exact engine and the searching one say the same of the same problem, and each is taken where it can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.fit import Fit
from mixlaw.fit.curve import Belief, Curve, Scatter
from mixlaw.laws.chinchilla import Chinchilla
from mixlaw.solve.coupled_objective import Ceiling, Ceilings, Losses
from mixlaw.solve.engines import Coupled, Exact, engine_for
from mixlaw.solve.polytope import Polytope
from mixlaw.solve.prior import Prior
from mixlaw.solve.wishes import Criterion
from planted_fits import planted_fit, two_runs

DOMAINS = ("a", "b", "c")
BUDGET = 5e6
BOX = Polytope(np.zeros(3), np.array([1.0, 0.6, 1.0]))
IMPORTANCE = {"a": 1.0, "b": 2.0, "c": 0.5}
PRIOR = Prior(np.array([0.2, 0.3, 0.5]), 0.05)
W = np.array([0.3, 0.45, 0.25])


def fit(targets: tuple[str, ...] = DOMAINS, draws: int = 60) -> Fit:
    rng, points = np.random.default_rng(0), {}
    for i, target in enumerate(targets):
        points[target] = np.array([0.5 + 0.1 * i, 0.2, 0.6, 0.2, 0.8])
    spread = {name: point * np.exp(0.1 * rng.standard_normal((draws, 5))) for name, point in points.items()}
    return planted_fit("transfer", two_runs(DOMAINS, targets), points, spread)


def engines(prior: Prior | None = None) -> tuple[Exact, Coupled]:
    criterion = Criterion("weighted", IMPORTANCE, prior=prior)
    exact = engine_for(fit(), criterion, BUDGET, BOX)
    assert isinstance(exact, Exact)
    return exact, Coupled(fit(), criterion, BUDGET, BOX)


@pytest.mark.parametrize("prior", [None, PRIOR], ids=["free", "pulled"])
def test_both_engines_value_mixtures_alike(prior: Prior | None) -> None:
    exact, coupled = engines(prior)
    assert coupled.expected(W) == pytest.approx(exact.expected(W), rel=1e-6)
    assert coupled.by_draw(W) == pytest.approx(exact.by_draw(W), rel=1e-6)
    assert exact.by_draw(W).mean() == pytest.approx(exact.expected(W))
    assert coupled.marginal(W) == pytest.approx(exact.marginal(W), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("prior", [None, PRIOR], ids=["free", "pulled"])
def test_both_engines_find_the_same_optimum_and_prove_it(prior: Prior | None) -> None:
    exact, coupled = engines(prior)
    (first, proof), (second, other) = exact.best(), coupled.best()
    assert second == pytest.approx(first, abs=1e-4)
    assert proof.gap < 1e-9 and other.gap < 1e-7
    assert proof.kind == other.kind == "global"
    drawn, lowest = exact.best_by_draw(first)
    some, also = coupled.best_by_draw(first)
    assert drawn.tolist() == list(range(60))
    assert len(some) == 50
    assert also == pytest.approx(lowest[some], abs=1e-6)
    assert (lowest <= exact.by_draw(first) + 1e-12).all()
    # from far off the quick steps do not arrive, and the exact search is asked
    assert exact.best_by_draw(np.array([0.001, 0.001, 0.998]))[1] == pytest.approx(lowest, abs=1e-9)


def test_marginal_values_are_falls_per_million_tokens() -> None:
    exact, _ = engines()
    drawn = Losses.of(fit(), list(DOMAINS), BUDGET).drawn
    tokens = 5 * W
    for i in range(3):
        more, less = (tokens + sign * 1e-4 * np.eye(3)[i] for sign in (1, -1))
        falls = [
            IMPORTANCE[d] * (each.predict(np.stack([less, more])) @ [1, -1]) / 2e-4
            for d, each in zip(DOMAINS, drawn, strict=True)
        ]
        assert exact.marginal(W)[:, i] == pytest.approx(np.sum(falls, axis=0), rel=1e-3)


def test_a_domain_without_a_target_counts_nothing() -> None:
    criterion = Criterion("weighted", {"a": 1.0, "b": 2.0})
    exact, coupled = (make(fit(("a", "b"))) for make in (
        lambda f: engine_for(f, criterion, BUDGET, BOX), lambda f: Coupled(f, criterion, BUDGET, BOX)
    ))  # fmt: skip
    assert isinstance(exact, Exact)
    assert exact.expected(W) == pytest.approx(coupled.expected(W), rel=1e-6)


def test_the_exact_engine_is_taken_where_losses_are_separable_and_nothing_couples_them() -> None:
    plain = Criterion("weighted", IMPORTANCE)
    grouped = Polytope(np.zeros(3), np.ones(3), np.array([[1.0, 1.0, 0.0]]), np.array([0.9]))
    ceilings = Ceilings(Losses.of(fit(), ["a"], BUDGET), (Ceiling("a", 9.0),))
    assert isinstance(engine_for(fit(), plain, BUDGET, BOX), Exact)
    for criterion, region in (
        (plain, grouped),
        (replace(plain, objective="max"), BOX),
        (replace(plain, ceilings=ceilings), BOX),
    ):
        assert isinstance(engine_for(fit(), criterion, BUDGET, region), Coupled)
    assert isinstance(engine_for(hedged(), plain, BUDGET, BOX), Coupled)


def hedged() -> Fit:
    """One target believed by two laws."""
    whole = fit()
    curve = Curve(Chinchilla(DOMAINS, "b"), np.ones(3), np.full((60, 3), 0.5), Scatter(0.01))
    believed = whole.targets["b"]
    both = replace(believed, belief=Belief((believed.curve, curve), believed.belief.normals_S))
    return replace(whole, targets={**whole.targets, "b": both})


def test_with_many_domains_fewer_draws_are_searched() -> None:
    names = tuple(f"d{i}" for i in range(41))
    point = np.array([0.5, 0.2, 0.6, 0.2, 0.8])
    drawn = {"d0": np.repeat(point[None], 60, axis=0)}
    many = planted_fit("transfer", two_runs(names, ("d0",)), {"d0": point}, drawn)
    coupled = Coupled(many, Criterion("weighted", {"d0": 1.0}), BUDGET, Polytope(np.zeros(41), np.ones(41)))
    assert len(coupled.best_by_draw(np.full(41, 1 / 41))[0]) == 20
