"""Limits that hold with a certainty: the quantile and its slopes, the best weights under it, and what is said of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats.mstats import hdquantiles

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.fit import Fit
from mixlaw.solve import Solution, solve_mixture
from mixlaw.solve.ceilings import ceilings_of
from mixlaw.solve.coupled_objective import CoupledObjective, Losses
from mixlaw.solve.sure import SureLosses, probability_below
from mixlaw.solve.wishes import SolveWishes, wishes_of
from planted_fits import planted_fit, two_runs

DOMAINS = ("a", "b", "c")
BUDGET = 6e6
THETA = ([0.6, 0.1, 0.7, 0.2, 1.0], [0.4, 0.3, 0.6, 0.15, 0.8], [0.9, 0.2, 0.8, 0.1, 0.5])


def planted(spread: float = 0.2, draws: int = 60, columns: slice = slice(None), law: str = "transfer") -> Fit:
    """Return a fit whose draws scatter in some columns of the parameters: C, k, alpha, beta, E."""
    rng, drawn = np.random.default_rng(3), {}
    for domain, theta in zip(DOMAINS, THETA, strict=True):
        factor = np.ones((draws, 5))
        factor[:, columns] += spread * rng.standard_normal((draws, 5))[:, columns]
        drawn[domain] = np.abs(np.array(theta) * factor)
    return planted_fit(law, two_runs(DOMAINS, DOMAINS), dict(zip(DOMAINS, THETA, strict=True)), drawn)


def asked(certainty: float | None, **wishes: Any) -> SolveWishes:
    wishes = wishes or {"no_worse": {"b": "2 %", "c": 3}}
    return SolveWishes(target_weight={"a": 1.0}, certainty=certainty, **wishes)


def shares(solution: Solution) -> np.ndarray:
    return np.array([solution.weights[domain] for domain in DOMAINS])


def kept_by(solution: Solution) -> list[float]:
    return [limit["probability_kept"] for limit in solution.limits]


@pytest.mark.parametrize("certainty", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("draws", [7, 200])
def test_the_quantile_is_the_one_of_harrell_and_davis(certainty: float, draws: int) -> None:
    losses = Losses.of(planted(draws=draws), list(DOMAINS), BUDGET)
    limits_JS = np.random.default_rng(1).normal(2, 0.1, (3, draws))
    sure = SureLosses.under(losses, certainty, limits_JS)
    weights = np.array([0.5, 0.2, 0.3])
    beyond_JS = losses.by_draw(weights[None])[..., 0] - limits_JS
    expected = [float(hdquantiles(row, [certainty])[0]) for row in beyond_JS] + limits_JS.mean(axis=1)
    assert sure.counted(weights) == pytest.approx(expected, abs=1e-12)
    assert sure.only(1).counted(weights) == pytest.approx(expected[1:2], abs=1e-12)
    few = sure.take([0, 3, 4])
    few_JS = beyond_JS[:, [0, 3, 4]] + limits_JS.mean(axis=1, keepdims=True)
    assert few.counted(weights) == pytest.approx([float(hdquantiles(row, [certainty])[0]) for row in few_JS], abs=1e-12)


def test_its_slopes_are_those_of_its_values() -> None:
    sure = SureLosses.under(Losses.of(planted(), ["a", "b"], BUDGET), 0.9, np.full((2, 60), 2.0))
    weights, step = np.array([0.5, 0.2, 0.3]), 1e-7
    change = [(sure.counted(weights + step * e) - sure.counted(weights - step * e)) / (2 * step) for e in np.eye(3)]
    assert sure.slopes(weights) == pytest.approx(np.array(change).T, rel=1e-4, abs=1e-6)


def test_how_surely_a_quantity_is_below_zero() -> None:
    draws = np.random.default_rng(2).normal(0, 1, 400)
    for certainty in (0.1, 0.5, 0.9):
        assert probability_below(draws - float(hdquantiles(draws, [certainty])[0])) == pytest.approx(
            certainty, abs=1e-5
        )
    assert probability_below(np.full(50, -1.0)) == probability_below(np.zeros(50)) == 0.99
    assert probability_below(np.full(50, 1.0)) == 0.01


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
def test_no_mixture_of_a_grid_that_keeps_the_limits_as_surely_is_better(law: str) -> None:
    fit = planted() if law == "transfer" else _pairwise()
    wishes = wishes_of(asked(90), {})
    found = solve_mixture(fit, BUDGET, wishes)
    ceilings = ceilings_of(fit, BUDGET, {}, wishes)
    assert ceilings is not None
    assert min(kept_by(found)) == pytest.approx(0.9, abs=1e-3)
    assert found.certificate.kind == "stationary" and found.certificate.gap < 1e-6
    objective = CoupledObjective.of(fit, {"a": 1.0}, BUDGET)
    steps = [np.array([i, j, 80 - i - j]) / 80 for i, j in itertools.product(range(81), repeat=2) if i + j <= 80]
    allowed = [weights for weights in steps if ceilings.excess(weights).max() <= 0]
    assert len(allowed) > 20
    assert found.objective_value <= min(map(objective.value, allowed)) + 1e-9
    assert found.objective_value >= min(map(objective.value, allowed)) - 0.01  # it is no further than the grid's step


def _pairwise() -> Fit:
    """Return a fit in which each domain has a strength of its own in each loss."""
    from planted_fits import names_of

    rng, points, drawn = np.random.default_rng(5), {}, {}
    ranges = {
        "C": (0.4, 0.9),
        "n0": (0.1, 0.4),
        "k": (0.1, 0.4),
        "t": (0.05, 0.3),
        "a": (0.5, 0.9),
        "alpha": (0.5, 0.9),
    }
    ranges |= {"beta": (0.15, 0.3), "E": (0.5, 1.1), "e": (0, 0), "h": (0, 0)}
    for domain in DOMAINS:
        names = names_of("pairwise", DOMAINS, domain)
        points[domain] = np.array([rng.uniform(*ranges[name.partition("[")[0]]) for name in names])
        drawn[domain] = points[domain] * np.exp(0.1 * rng.standard_normal((60, len(names))))
    return planted_fit("pairwise", two_runs(DOMAINS, DOMAINS), points, drawn)


def test_the_surer_the_limits_the_less_is_gained() -> None:
    fit = planted()
    free, *held = (solve_mixture(fit, BUDGET, asked(certainty)) for certainty in (None, 60, 80, 95))
    assert [found.objective_value for found in held] == sorted(found.objective_value for found in held)
    assert [min(kept_by(found)) for found in held] == pytest.approx([0.6, 0.8, 0.95], abs=2e-3)
    for limit, percent in zip(free.limits, (2.0, 3.0), strict=True):
        assert limit["predicted_percent"] == pytest.approx(percent, abs=1e-4)  # the expected losses are at the limits
        assert 0.3 < limit["probability_kept"] < 0.7


def test_a_loss_and_the_one_it_is_compared_with_are_of_one_draw() -> None:
    """Where only what no training removes is uncertain, both rise and fall together, and the limit is sure."""
    fit = planted(0.05, columns=slice(4, 5))
    found = solve_mixture(fit, BUDGET, asked(90))
    (b, c) = found.limits
    assert b["predicted_percent"] > 1.8 and c["predicted_percent"] > 2.7
    beside_nats = solve_mixture(
        fit, BUDGET, asked(90, floor={"b": 1.02 * found.baselines["equal"]["predicted"]["b"]["mean"]})
    )
    assert beside_nats.limits[0]["predicted_percent"] < -3  # a limit in nats does not move along


def test_where_nothing_keeps_a_limit_so_surely_the_error_says_so() -> None:
    fit = planted()
    lowest = solve_mixture(fit, BUDGET, target_weight={"b": 1.0}).predicted["b"]["mean"]
    solve_mixture(fit, BUDGET, floor={"b": lowest + 0.01})
    with pytest.raises(Infeasible, match=r"with a certainty of 95 %: 'b' at most .*reaches so surely is") as error:
        solve_mixture(fit, BUDGET, floor={"b": lowest + 0.01}, certainty="95 %")
    assert error.value.hint == "Raise these ceilings or the budget, or lower the certainty."
    assert error.value.binding == ("b",)
    with pytest.raises(Infeasible, match="together with a certainty of 95 %") as error:
        solve_mixture(fit, BUDGET, no_worse=dict.fromkeys(DOMAINS, -1), certainty=95)
    assert "lower the certainty" in error.value.hint


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"certainty": 90}, "no limit that is to hold with it"),
        ({"certainty": 49.9, "no_worse": {"a": 1}}, "from 50 to 99 %"),
        ({"certainty": "100 %", "no_worse": {"a": 1}}, "from 50 to 99 %"),
        ({"certainty": 0.9, "floor": {"a": 1}}, "0.9 %; it must be from 50 to 99 %"),
        ({"certainty": float("nan"), "floor": {"a": 1}}, "from 50 to 99 %"),
        ({"certainty": "very", "floor": {"a": 1}}, "certainty is 'very'"),
    ],
)
def test_a_certainty_that_makes_no_sense_is_refused(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        solve_mixture(planted(), BUDGET, **wishes)


def test_a_fit_without_intervals_knows_no_certainty() -> None:
    fit = planted(draws=1)
    with pytest.raises(ConfigError, match="has no intervals"):
        solve_mixture(fit, BUDGET, asked(90))
    found = solve_mixture(fit, BUDGET, asked(None))
    assert kept_by(found) == [None, None] and not any("limits hold" in text for text in found.warnings)


def test_the_solution_says_how_surely_its_limits_hold() -> None:
    found = solve_mixture(planted(), BUDGET, asked(None))
    (said,) = [text for text in found.warnings if "limits hold" in text]
    assert "b 5" in said and "c 5" in said and "certainty: 90 %" in said
    assert [(limit["target"], limit["reference"], limit["limit_percent"]) for limit in found.limits] == [
        ("b", "equal", 2.0),
        ("c", "equal", 3.0),
    ]
    assert Solution.from_json(found.to_json()).limits == found.limits
    for sure in (
        solve_mixture(planted(), BUDGET, asked(70)),  # as sure as was asked
        solve_mixture(planted(), BUDGET, target_weight={"a": 1.0}, no_worse={"b": 50}),  # far from its limit
        solve_mixture(planted(), BUDGET),
    ):
        assert not any("limits hold" in text for text in sure.warnings)
    assert solve_mixture(planted(), BUDGET).limits == ()


def test_both_limits_of_a_target_are_judged() -> None:
    found = solve_mixture(planted(), BUDGET, asked(None, no_worse={"b": 2}, floor={"b": 5.0}))
    assert [limit["reference"] for limit in found.limits] == [None, "equal"]
    assert found.limits[0]["probability_kept"] > 0.9 > found.limits[1]["probability_kept"]
