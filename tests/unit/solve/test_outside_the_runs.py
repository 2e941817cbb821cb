"""Where the recommended mixture lies outside what runs can be mixed to, gains are less certain: in regrets alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.fit.posterior import extrapolation
from mixlaw.fit.posterior.extrapolation import Beyond, distance_apart, part_outside
from mixlaw.fit.reach import unlike
from mixlaw.solve import Solution, solve_mixture
from mixlaw.solve.engines import Coupled, Exact, engine_for
from mixlaw.solve.polytope import Polytope
from mixlaw.solve.wishes import Criterion
from planted_fits import planted_fit

DOMAINS = ("a", "b", "c")
BUDGET = 3e6
LOSSES = np.array([[1.6, 1.2, 0.9], [1.5, 1.3, 0.8], [1.4, 1.1, 1.0], [1.7, 1.0, 0.7]])


def fit(law: str, shares: list[list[float]], spread: float = 0.05) -> Fit:
    """Return a fit with four runs of some shares; target a is steep, so that its domain gets most."""
    rng, runs = np.random.default_rng(0), RunTable(tuple("wxyz"), DOMAINS, DOMAINS, BUDGET * np.array(shares), LOSSES)
    more = [] if law == "transfer" else [0.05, 0.05, 0.0, 0.0, 0.0, 0.0]
    curves = [(2.0, 0.5, 0.3), (0.3, 0.2, 0.8), (0.1, 0.3, 0.5)]
    points = {d: np.array([C, 0.1, 0.7, beta, E, *more]) for d, (C, beta, E) in zip(DOMAINS, curves, strict=True)}
    draws = {d: np.exp(spread * rng.standard_normal((200, len(p)))) * p for d, p in points.items()}
    return planted_fit(law, runs, points, draws)


NARROW = [[1 / 3, 1 / 3, 1 / 3], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]]
WIDE = [[1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("mixture", "part"),
    [
        ([1 / 3, 1 / 3, 1 / 3], 0.0),
        ([0.34, 0.33, 0.33], 0.0),
        ([0.4, 0.3, 0.3], 0.0),
        ([1.0, 0.0, 0.0], 0.6),
        ([0.6, 0.2, 0.2], 0.2),
        ([0.35, 0.35, 0.3], 0.0),
        ([0.5, 0.5, 0.0], 0.3),
    ],
)
def test_the_part_outside_is_what_must_be_moved_to_reach_a_mixture_of_the_runs(
    mixture: list[float], part: float
) -> None:
    assert part_outside(7e6 * np.array(mixture), 3e6 * np.array(NARROW)) == pytest.approx(part, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_it_lies_between_the_most_that_one_domain_lacks_and_the_nearest_run(K: int, R: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs, mixture = rng.dirichlet(np.ones(K), R) * rng.uniform(1, 9, (R, 1)), rng.dirichlet(np.full(K, 0.5))
    shares = runs / runs.sum(axis=1, keepdims=True)
    part, nearest = part_outside(mixture, runs), distance_apart(mixture[None], runs)[0]
    assert (mixture - shares.max(axis=0)).max() - 1e-6 <= part <= nearest + 1e-6
    order = rng.permutation(K)
    assert part_outside(mixture[order], runs[::-1][:, order]) == pytest.approx(part, abs=1e-7)
    assert part_outside(rng.dirichlet(np.ones(R)) @ shares, runs) == 0
    # The base model, a run without tokens, is no mixture; and without any run there is none to be far from.
    assert part_outside(mixture, np.vstack([runs, np.zeros(K)])) == pytest.approx(part, abs=1e-7)
    assert part_outside(mixture, np.zeros((2, K))) == 0


def test_of_very_many_runs_the_nearest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, mixture = np.array(WIDE[1:]), np.array([0.6, 0.3, 0.1])
    assert part_outside(mixture, runs) == 0
    monkeypatch.setattr(extrapolation, "_MOST", runs.size)
    assert part_outside(mixture, runs) == 0
    monkeypatch.setattr(extrapolation, "_MOST", runs.size - 1)
    assert part_outside(mixture, runs) == pytest.approx(0.4)
    assert part_outside(runs[0], runs) == 0


def test_gains_are_open_by_a_factor_that_grows_with_the_root_of_the_part() -> None:
    beyond, distance = Beyond(), np.array([0.0, 1.0])
    assert beyond.bend(distance, 0.25)[0] == pytest.approx(0.35)
    assert beyond.bend(distance, 1.0)[0] == pytest.approx(0.7)
    assert beyond.bend(distance, 0.25)[1] == pytest.approx(np.hypot(0.05, 0.35))
    assert beyond.bend(distance).tolist() == beyond.bend(distance, 0.0).tolist() == [0.0, 0.05]
    belief = fit("transfer", NARROW).belief("a")
    moved, still = (belief.drawn(part=part).parts[0][1] for part in (0.25, 0.0))
    factor = moved[:, 0] / still[:, 0]
    assert np.std(np.log(factor)) == pytest.approx(0.35, rel=0.02) and factor.mean() == pytest.approx(1)
    np.testing.assert_array_equal(moved[:, 1:], still[:, 1:])


def others(solution: Solution) -> dict:
    """Return all that a solution says but its regrets and warnings."""
    said = solution.to_json()
    said["baselines"] = {name: {**b, "regret": None} for name, b in said["baselines"].items()}
    return {**said, "expected_regret": None, "warnings": None}


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
@pytest.mark.parametrize("wishes", [{}, {"objective": "max"}, {"maximum": {"a": 0.6}}, {"groups": ["a + b <= 0.8"]}])
def test_only_the_regret_grows_and_only_outside(law: str, wishes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    outside, inside = (solve_mixture(fit(law, shares), BUDGET, **wishes) for shares in (NARROW, WIDE))
    assert any("outside what the runs' mixtures span" in text for text in outside.warnings)
    assert not any("outside what" in text for text in inside.warnings)
    assert outside.weights == inside.weights
    assert outside.expected_regret["p95"] > 1.3 * inside.expected_regret["p95"]
    monkeypatch.setattr(extrapolation, "GAINS", 0.0)
    certain = [solve_mixture(fit(law, shares), BUDGET, **wishes) for shares in (NARROW, WIDE)]
    assert inside.to_json() == certain[1].to_json()
    assert others(outside) == others(certain[0])
    assert certain[0].expected_regret == inside.expected_regret


def test_a_run_near_the_recommended_mixture_takes_the_doubt_away() -> None:
    first = solve_mixture(fit("pairwise", NARROW), BUDGET)
    near = solve_mixture(fit("pairwise", [*NARROW[:3], list(first.weights.values())]), BUDGET)
    inside = solve_mixture(fit("pairwise", WIDE), BUDGET)
    assert near.weights == first.weights and near.expected_regret == inside.expected_regret
    assert first.expected_regret["p95"] > near.expected_regret["p95"]


def test_both_engines_doubt_alike_and_search_as_well() -> None:
    given, criterion = fit("transfer", NARROW), Criterion("weighted", dict.fromkeys(DOMAINS, 1.0))
    box = Polytope(np.zeros(3), np.ones(3))
    exact, coupled = engine_for(given, criterion, BUDGET, box, 0.3), Coupled(given, criterion, BUDGET, box, 0.3)
    assert isinstance(exact, Exact)
    weights = engine_for(given, criterion, BUDGET, box).best()[0]
    assert coupled.by_draw(weights) == pytest.approx(exact.by_draw(weights), rel=1e-6)
    assert not np.allclose(exact.by_draw(weights), engine_for(given, criterion, BUDGET, box).by_draw(weights))
    some, lowest = coupled.best_by_draw(weights)
    assert lowest == pytest.approx(exact.best_by_draw(weights)[1][some], abs=1e-6)


@pytest.mark.parametrize(("part", "said"), [(0.0, ""), (0.099, ""), (0.1, "10 % of the"), (0.314, "31 % of the")])
def test_a_part_of_a_tenth_is_said(part: float, said: str) -> None:
    assert [text.startswith(said) for text in unlike(part)] == [True] * bool(said)


@pytest.mark.parametrize(("helps", "said"), [(-0.5, True), (0.0, False), (0.3, False)])
def test_weights_at_which_a_domain_s_own_tokens_would_raise_its_loss_are_doubted(helps: float, said: bool) -> None:
    """With interference below 0 in sum beyond the own exponent, a loss falls as its own data are left out."""
    runs = RunTable(tuple("wxyz"), DOMAINS, DOMAINS, BUDGET * np.array(NARROW), LOSSES)
    points = {d: np.array([1.0, 0.1, 0.7, 0.3, 0.5, 0.02, 0.02, 0.0, 0.0, 0.0, 0.0]) for d in DOMAINS}
    points["b"][-2:] = helps
    planted = planted_fit("pairwise", runs, points, {d: p[None] for d, p in points.items()})
    solution = solve_mixture(planted, BUDGET)
    found = [text.partition(":")[0] for text in solution.warnings if "more of its own tokens" in text]
    assert found == ["b"] * said and (solution.weights["b"] < 0.02) is said
    without = solve_mixture(planted, BUDGET, target_weight={"a": 1.0, "c": 1.0})
    assert not any("own tokens" in text for text in without.warnings)
