"""Solutions: what they contain, and every way to ask for the impossible."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.fit import Fit
from mixlaw.fit.posterior.extrapolation import part_outside
from mixlaw.solve import Solution, solve_mixture
from mixlaw.solve.constraints import Constraints
from planted_fits import planted_fit, two_runs

DOMAINS = ("chat", "code", "math")


def fit(targets: tuple[str, ...] = DOMAINS, spread: float = 0.05) -> Fit:
    rng = np.random.default_rng(0)
    points, draws = {}, {}
    for i, target in enumerate(targets):
        points[target] = np.array([0.5 + 0.1 * i, 0.2, 0.6, 0.2, 0.8])
        columns = [value * np.exp(spread * rng.standard_normal(50)) for value in points[target]]
        draws[target] = np.column_stack(columns)
    return planted_fit("transfer", two_runs(DOMAINS, targets, loss=1.0), points, draws)


def test_a_solution_keeps_its_promises() -> None:
    solution = solve_mixture(fit(), 20e6, available={"chat": 4e6, "code": 30e6, "math": 3e6}, max_epochs=3)
    assert sum(solution.tokens.values()) == 20_000_000
    assert solution.status == "optimal"
    assert all(epochs <= 3 + 1e-6 for epochs in solution.epochs.values())
    assert solution.weights["chat"] <= 0.6 + 1e-9
    assert set(solution.baselines) == {"equal", "natural"}
    assert 0 <= solution.expected_regret["mean"] <= solution.expected_regret["p95"] + 1e-12
    assert solution.extrapolation_factor == pytest.approx(20 / 3)
    assert any("6.7 times" in warning for warning in solution.warnings)
    for target in DOMAINS:
        band = solution.predicted[target]
        assert band["low"] <= band["mean"] <= band["high"]


def test_a_solution_survives_its_json_form() -> None:
    solution = solve_mixture(fit(), 3e6)
    again = Solution.from_json(json.loads(json.dumps(solution.to_json())))
    assert again.to_json() == solution.to_json()


def test_the_keys_that_others_rely_on_are_there() -> None:
    keys = {"status", "budget_tokens", "weights", "tokens", "epochs", "predicted", "expected_regret", "baselines"}
    keys |= {"marginal", "certificate", "extrapolation_factor", "warnings", "budget"}
    value = solve_mixture(fit(), 3e6).to_json()
    assert keys <= set(value)
    assert set(value["certificate"]) >= {"kkt_residual", "gap"}
    assert "total_loss" in value["baselines"]["equal"]


def test_a_specialised_model_takes_mostly_its_own_domain_and_some_of_the_others() -> None:
    general = solve_mixture(fit(), 3e6)
    special = solve_mixture(fit(), 3e6, target_weight={"math": 1})
    assert special.weights["math"] > 2 * general.weights["math"]
    assert special.weights["math"] < 1


def test_a_domain_without_a_target_gets_nothing_that_it_is_not_owed() -> None:
    solution = solve_mixture(fit(("chat", "code")), 3e6, min={"math": 0.05})
    assert solution.weights["math"] == pytest.approx(0.05, abs=1e-6)


def test_marginal_values_are_what_a_few_more_tokens_bring() -> None:
    fitted = fit(spread=0.0)
    solution = solve_mixture(fitted, 3e6)
    tokens = np.array([[solution.tokens[d] for d in DOMAINS]], float)
    for i, domain in enumerate(DOMAINS):
        more = tokens.copy()
        more[0, i] += 1000
        fall = (fitted.predict(tokens).mean.sum() - fitted.predict(more).mean.sum()) * 1000
        assert solution.marginal[domain] == pytest.approx(fall, rel=5e-3)


def test_caps_that_cannot_be_met_name_the_domains_that_bind_and_the_remedy() -> None:
    available = {"chat": 23.4e6, "code": 2.1e6, "math": 5.7e6}
    with pytest.raises(Infeasible, match="supply") as error:
        solve_mixture(fit(), 200e6, available=available, max_epochs=4)
    assert error.value.binding == ("chat", "code", "math")
    assert "Lower the budget to 124M" in error.value.hint
    assert "max_epochs to 6.5" in error.value.hint


@pytest.mark.parametrize(
    ("bounds", "binding"),
    [
        ({"max": {"chat": 0.2, "code": 0.3, "math": 0.1}}, ("chat", "code", "math")),
        ({"min": {"chat": 0.7, "code": 0.4}}, ("chat", "code")),
        ({"min": {"chat": 0.5}, "max": {"chat": 0.4}}, ("chat",)),
        ({"min": {"math": 0.5}, "available": {"math": 1e5}, "max_epochs": 2}, ("math",)),
    ],
)
def test_bounds_that_cannot_be_met_name_their_domains(bounds: dict, binding: tuple[str, ...]) -> None:
    with pytest.raises(Infeasible) as error:
        solve_mixture(fit(), 3e6, **bounds)
    assert error.value.binding == binding


@pytest.mark.parametrize(
    "wishes",
    [
        {"budget_tokens": 0},
        {"budget_tokens": -5},
        {"budget_tokens": float("nan")},
        {"min": {"law": 0.1}},
        {"max": {"chat": 1.5}},
        {"max": {"chat": float("nan")}},
        {"available": {"chat": -1}},
        {"max_epochs": 4},
        {"max_epochs": 0, "available": {"chat": 1e6}},
        {"target_weight": {"law": 1}},
        {"target_weight": {"chat": 0}},
        {"target_weight": {"chat": -1}},
        {"objective": "best"},
        {"objective": "weighted"},
        {"objective": "mean", "target_weight": {"chat": 1}},
        {"floor": {"law": 1}},
        {"floor": {"chat": 0}},
        {"floor": {"chat": float("inf")}},
        {"no_worse": {"law": 1}},
        {"no_worse": {"chat": -100}},
        {"no_worse": {"chat": float("nan")}},
        {"no_worse": {"chat": 1}, "reference": "natural"},
        {"no_worse": {"chat": 1}, "reference": "best"},
        {"no_worse": {"chat": 1}, "reference": {"law": 1}},
        {"no_worse": {"chat": 1}, "reference": {"chat": 0.5}},
        {"reference": "equal"},
        {"prior": "equal"},
        {"prior_strength": 0.1},
        {"prior": "natural", "prior_strength": 0.1},
        {"prior": "natural", "prior_strength": 0.1, "available": {"chat": 1e6}},
        {"prior": {"chat": -1, "code": 2}, "prior_strength": 0.1},
        {"prior": "equal", "prior_strength": -1},
        {"prior": "equal", "prior_strength": float("inf")},
        {"groups": ["law <= 0.5"]},
        {"groups": ["chat"]},
    ],
)
def test_wishes_out_of_range_are_refused_with_a_remedy(wishes: dict) -> None:
    with pytest.raises(ConfigError) as error:
        solve_mixture(fit(), **{"budget_tokens": 3e6, **wishes})
    assert error.value.hint


@pytest.mark.parametrize("wishes", [{}, {"objective": "max"}, {"groups": ["chat + code <= 0.6"]}])
def test_the_quality_of_the_decision_is_said_of_the_solution_and_of_the_baselines(wishes: dict) -> None:
    fitted = fit()
    solution = solve_mixture(fitted, 3e6, available={"chat": 9e6, "code": 1e6, "math": 2e6}, **wishes)
    for baseline in solution.baselines.values():
        assert baseline["regret"]["mean"] >= solution.expected_regret["mean"] - 1e-9
        assert 0 <= baseline["probability_better"] <= 1
        assert baseline["objective_value"] >= solution.objective_value
    assert solution.baselines["natural"]["probability_better"] > 0.9
    assert solution.objective == wishes.get("objective", "mean")


PULLED = {"prior": {"chat": 0.8, "code": 0.1, "math": 0.1}, "prior_strength": 5.0}


@pytest.mark.parametrize("wishes", [{}, {"groups": ["chat + code <= 1"]}, PULLED])
def test_the_regret_is_that_against_the_best_of_each_draw(wishes: dict) -> None:
    fitted = fit(spread=0.2)
    solution = solve_mixture(fitted, 3e6, **wishes)
    grid = np.array([[a, b, 100 - a - b] for a in range(101) for b in range(101 - a)]) / 100
    weights = np.array([solution.weights[d] for d in DOMAINS])
    mixtures = 3.0 * np.vstack([weights, grid])
    # Seen from weights that the runs, all of the equal mixture, do not span.
    part = part_outside(weights, fitted.runs.tokens_RK)
    losses = [fitted.belief(t).drawn(part=part).predict(mixtures) for t in fitted.targets]
    total = np.sum(losses, axis=0)
    regret = total[:, 0] - total.min(axis=1)
    assert solution.expected_regret["mean"] == pytest.approx(regret.mean(), abs=2e-4)
    assert solution.expected_regret["p95"] == pytest.approx(np.quantile(regret, 0.95), abs=5e-4)


def test_without_regrets_all_else_is_the_same_and_none_is_shown() -> None:
    whole = solve_mixture(fit(spread=0.2), 3e6, **PULLED)
    quick = solve_mixture(fit(spread=0.2), 3e6, regrets=False, **PULLED)
    baselines = {name: {**known, "regret": {}} for name, known in whole.baselines.items()}
    assert quick == replace(whole, expected_regret={}, baselines=baselines)
    assert "expected regret" in str(whole) and "expected regret" not in str(quick)


def test_where_nothing_is_gained_the_natural_mixture_is_recommended() -> None:
    fitted = fit()
    for target in fitted.targets.values():
        for name, values in target.draws.items():
            values[:] = {"C": 0.5, "k": 0.2, "alpha": 0.6, "beta": 0.2, "E": 0.8}[name]
    solution = solve_mixture(fitted, 3e6, available=dict.fromkeys(DOMAINS, 2e6))
    assert solution.weights == dict.fromkeys(DOMAINS, pytest.approx(1 / 3, abs=1e-12))
    assert any("natural mixture is recommended" in warning for warning in solution.warnings)
    # A natural mixture that the bounds forbid is not recommended, however good.
    held = solve_mixture(fitted, 3e6, available=dict.fromkeys(DOMAINS, 2e6), max={"chat": 0.2})
    assert held.weights["chat"] == pytest.approx(0.2)
    assert any("No gain over the natural mixture is expected: the bounds" in warning for warning in held.warnings)


@pytest.mark.parametrize("wishes", [{}, {"groups": ["chat <= 0.9"]}])
def test_marginal_values_have_intervals_and_percent(wishes: dict) -> None:
    solution = solve_mixture(fit(), 3e6, **wishes)
    for domain, value in solution.marginal.items():
        interval = solution.marginal_interval[domain]
        assert interval["low"] < value < interval["high"]
        assert interval["percent"] == pytest.approx(100 * value / solution.objective_value)
    certain = solve_mixture(fit(spread=0.0), 3e6, **wishes)
    for domain, value in certain.marginal.items():
        assert certain.marginal_interval[domain]["low"] == pytest.approx(value, rel=1e-9)


def test_the_worst_target_gets_more_than_the_mean_gives_it() -> None:
    mean, worst = (solve_mixture(fit(), 3e6, objective=name) for name in ("mean", "max"))
    losses = [max(part["mean"] for part in s.predicted.values()) for s in (mean, worst)]
    assert losses[1] < losses[0]
    assert worst.certificate.kind == "global"
    assert worst.certificate.gap < 1e-8


def test_a_domain_that_the_prior_lacks_gets_nothing_and_that_is_said() -> None:
    solution = solve_mixture(fit(), 3e6, prior={"chat": 0.5, "math": 0.5}, prior_strength=0.01)
    assert solution.weights["code"] == 0
    assert any("prior gives 'code' no share" in warning for warning in solution.warnings)
    with pytest.raises(Infeasible, match="the prior has none of it"):
        solve_mixture(fit(), 3e6, prior={"chat": 1}, prior_strength=0.01, min={"code": 0.1})
    free = solve_mixture(fit(), 3e6, prior={"chat": 1}, prior_strength=0.0)
    assert free.weights == solve_mixture(fit(), 3e6).weights


def test_a_certificate_of_interfering_domains_claims_no_global_optimum() -> None:
    names = ("C", "n0", "a", "beta", "E", "t[code]", "t[math]", "e[code]", "e[math]", "h[code]", "h[math]")
    for h, kind in ((0.0, "global"), (0.1, "stationary")):
        values = dict(zip(names, (0.6, 0.05, 0.6, 0.2, 0.8, 0.3, 0.1, 0.0, 0.0, h, h), strict=True))
        draws = {"chat": np.repeat([list(values.values())], 3, axis=0)}
        one = planted_fit("pairwise", two_runs(DOMAINS, ("chat",), loss=1.0), {"chat": values}, draws)
        assert solve_mixture(one, 3e6).certificate.kind == kind


def test_uncertain_domains_are_not_bet_on() -> None:
    # The same laws: only the second one's exponent is uncertain, and the expected loss is convex in it.
    fitted = fit(spread=0.0)
    rng = np.random.default_rng(1)
    for target in DOMAINS:
        fitted.targets[target].curve.theta_P[0] = 0.6
        fitted.targets[target].draws["C"][:] = 0.6
    fitted.targets["code"].draws["beta"][:] = 0.2 * np.exp(0.4 * rng.standard_normal(50))
    certain, uncertain = (solve_mixture(fitted, 100e6).weights[d] for d in ("chat", "code"))
    assert abs(certain - uncertain) > 1e-3


def test_the_budget_that_is_said_to_be_feasible_counts_share_caps_and_supplies_together() -> None:
    # chat may be half of the mixture, so the other half must come from 4 epochs of 2M: 16M in all.
    constraints = Constraints({}, {"chat": 0.5}, {"chat": 50e6, "math": 1e6, "code": 1e6}, 4)
    with pytest.raises(Infeasible) as error:
        constraints.bounds(("chat", "math", "code"), 40e6)
    assert "Lower the budget to 16M" in error.value.hint
    constraints.bounds(("chat", "math", "code"), 16e6)


@pytest.mark.parametrize(("times", "warned"), [(1.49, False), (1.51, True)])
def test_a_budget_half_as_much_again_as_the_largest_run_earns_a_warning(times: float, warned: bool) -> None:
    solution = solve_mixture(fit(), times * 3e6)
    assert any("extrapolated that far" in warning for warning in solution.warnings) is warned


def test_marginal_values_have_the_interval_of_the_draws_and_their_part_of_the_objective() -> None:
    fitted = fit(spread=0.1)
    solution = solve_mixture(fitted, 3e6)
    weights = np.array([solution.weights[d] for d in DOMAINS])
    by_draw = np.zeros((50, 3))
    for domain in DOMAINS:
        curve = fitted.targets[domain].curve
        by_draw -= curve.law.gradient(curve.draws_SP, 3 * weights[None])[:, 0]
    for i, domain in enumerate(DOMAINS):
        said = solution.marginal_interval[domain]
        assert solution.marginal[domain] == pytest.approx(by_draw[:, i].mean(), rel=1e-3)
        assert said["low"] == pytest.approx(np.quantile(by_draw[:, i], 0.05), rel=1e-3)
        assert said["high"] == pytest.approx(np.quantile(by_draw[:, i], 0.95), rel=1e-3)
        assert said["percent"] == pytest.approx(100 * solution.marginal[domain] / solution.objective_value)


def test_a_pull_is_part_of_what_is_minimised_and_not_of_what_is_said() -> None:
    fitted, prior = fit(), {"chat": 0.8, "code": 0.1, "math": 0.1}
    free, pulled = solve_mixture(fitted, 3e6), solve_mixture(fitted, 3e6, prior=prior, prior_strength=0.1)
    assert free.weights["chat"] < pulled.weights["chat"] < 0.8
    for solution in (free, pulled):
        assert solution.objective_value == pytest.approx(solution.total_loss, rel=1e-6)
    assert pulled.total_loss > free.total_loss
    without = solve_mixture(fitted, 3e6, prior={"chat": 0.5, "code": 0.5}, prior_strength=0.1)
    assert without.weights["math"] == 0
    assert any("The prior gives 'math' no share" in warning for warning in without.warnings)
    assert not any("The prior gives" in warning for warning in pulled.warnings)


def test_a_pull_that_costs_more_than_is_gained_is_said() -> None:
    pulled = solve_mixture(fit(), 3e6, **PULLED)
    equal = pulled.baselines["equal"]
    assert equal["objective_value"] < pulled.objective_value
    assert equal["probability_better"] < 0.5 and equal["regret"]["mean"] < pulled.expected_regret["mean"]
    assert any("No gain over the equal mixture is expected" in warning for warning in pulled.warnings)


@pytest.mark.parametrize("wishes", [{}, PULLED])
def test_a_baseline_is_judged_by_the_same_draws(wishes: dict) -> None:
    fitted = fit(spread=0.1)
    solution = solve_mixture(fitted, 3e6, **wishes)
    equal = solution.baselines["equal"]
    each = {}
    for name, weights in (("best", solution.weights), ("equal", equal["weights"])):
        tokens = 3 * np.array([[weights[d] for d in DOMAINS]])
        curves = [fitted.targets[d].curve for d in DOMAINS]
        each[name] = sum(curve.law.predict(curve.draws_SP, tokens)[:, 0] for curve in curves)
    assert equal["probability_better"] == pytest.approx(np.mean(each["best"] < each["equal"]))
    assert equal["total_loss"] - solution.total_loss == pytest.approx(np.mean(each["equal"] - each["best"]), abs=1e-6)
    # Regrets are seen from weights that the runs do not span: the same draws, with gains that are trusted less.
    part = part_outside(np.array(list(solution.weights.values())), fitted.runs.tokens_RK)
    assert part > 0
    mixtures = 3 * np.array([list(weights.values()) for weights in (solution.weights, equal["weights"])])
    best, other = sum(fitted.belief(d).drawn(part=part).predict(mixtures) for d in DOMAINS).T
    gap = equal["regret"]["mean"] - solution.expected_regret["mean"]
    assert gap == pytest.approx(np.mean(other - best), abs=1e-6)


def test_the_exact_and_the_searching_engine_agree_also_on_regrets_and_marginal_values() -> None:
    fitted = fit(spread=0.1)
    exact = solve_mixture(fitted, 3e6)
    searched = solve_mixture(fitted, 3e6, groups=["chat <= 1"])
    assert searched.certificate.kind == exact.certificate.kind == "global"
    for domain in DOMAINS:
        assert searched.weights[domain] == pytest.approx(exact.weights[domain], abs=1e-4)
        assert searched.marginal[domain] == pytest.approx(exact.marginal[domain], rel=1e-3)
    for part in ("mean", "p95"):
        assert searched.expected_regret[part] == pytest.approx(exact.expected_regret[part], rel=0.02, abs=1e-6)


def test_the_worst_target_counts_by_its_shares() -> None:
    fitted = fit()
    solution = solve_mixture(fitted, 3e6, objective="max")
    predicted = [solution.predicted[d]["mean"] for d in DOMAINS]
    assert solution.objective_value == pytest.approx(max(predicted), rel=1e-6)
    for other in np.random.default_rng(0).dirichlet(np.ones(3), 200):
        mixture = dict(zip(DOMAINS, 3e6 * other, strict=True))
        assert fitted.predict(mixture).mean.max() >= solution.objective_value - 1e-5
    # where one target alone counts, marginal values are its own
    alone = solve_mixture(fitted, 3e6, objective="max", target_weight={"code": 2.0})
    usual = solve_mixture(fitted, 3e6, target_weight={"code": 1.0})
    assert alone.weights["code"] == pytest.approx(usual.weights["code"], abs=1e-4)
    assert alone.marginal["code"] == pytest.approx(usual.marginal["code"], rel=1e-3)
