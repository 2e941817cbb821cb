"""Plans within a limit: what they cost, how they grow with the domains, and what is said where the limit is too low."""

import itertools

import pytest

from mixlaw.core.errors import DesignError
from mixlaw.design import Wishes, design_runs
from mixlaw.design.affordable import DRIFT, LEAST_RUN_TOKENS, Planner, fewest_runs, worth_tokens
from mixlaw.design.spending import Spending
from mixlaw.fit.posterior.extrapolation import SIGMA


def domains(count: int, tokens: int = 10**9) -> dict[str, int]:
    return {f"d{i:02d}": tokens for i in range(count)}


def spending(budget: float, share: float = 0.1, evaluation: float = 20_000, *, given: bool = False) -> Spending:
    return Spending(share * budget, evaluation, budget, given=given)


def planned(available: dict[str, int], budget: int, terms: Spending, **more):
    runs, notes = design_runs("auto", available, budget, wishes=Wishes(spending=terms), **more)
    return [dict(run.tokens) for run in runs], notes


@pytest.mark.parametrize("count", [2, 3, 6, 11])
def test_the_first_batch_keeps_to_its_part_of_the_limit_evaluations_included(count) -> None:
    terms = spending(60_000_000)
    runs, notes = planned(domains(count), 60_000_000, terms)
    assert len(runs) >= fewest_runs(count)
    assert 0.65 * terms.most_tokens < terms.cost(runs) < 0.75 * terms.most_tokens
    assert any("batches by what the fit leaves open" in note for note in notes)


def test_the_cost_of_a_default_plan_grows_no_faster_than_the_domains() -> None:
    budget = 60_000_000
    totals = {}
    for count in (3, 6, 12, 24):
        runs, _ = planned(domains(count), budget, spending(budget, evaluation=2_000 * count))
        totals[count] = sum(sum(run.values()) for run in runs)
    for (few, less), (many, more) in itertools.pairwise(totals.items()):
        assert more <= less * many / few


def test_all_runs_are_large_enough_for_a_law_on_average() -> None:
    runs, _ = planned(domains(3), 4_000_000, spending(4_000_000, evaluation=5_000))
    assert sum(sum(run.values()) for run in runs) / len(runs) > 0.95 * LEAST_RUN_TOKENS


def test_a_budget_that_is_too_small_is_said_with_the_one_that_would_do() -> None:
    runs, notes = planned(domains(3), 1_200_000, spending(1_200_000))
    assert len(runs) == fewest_runs(3)
    (said,) = (note for note in notes if "too small" in note)
    assert "within 10 % of the final run" in said and "Raise budget to 3.6M." in said
    # With that budget it does.
    _, notes = planned(domains(3), 3_600_000, spending(3_600_000))
    assert not any("too small" in note for note in notes)


def test_a_limit_of_the_users_own_is_never_passed() -> None:
    with pytest.raises(DesignError, match=r"plan.max_cost is 10 %.*the smallest useful plan has 9 runs.*costs 30 %"):
        planned(domains(3), 1_200_000, spending(1_200_000, given=True))
    with pytest.raises(DesignError, match=r"plan\.runs is 6; with plan.max_cost at least 9 runs"):
        runs = design_runs("sequential", domains(3), 10**8, runs=6, wishes=Wishes(spending=spending(1e8, given=True)))
        assert not runs


def test_more_money_leaves_less_regret_on_the_curve() -> None:
    curve = Planner(domains(3), 60_000_000, spending(60_000_000)).curve()
    assert len(curve) > 5
    for cheap, dear in itertools.pairwise(curve):
        assert dear.cost_tokens > cheap.cost_tokens and dear.regret_nats < cheap.regret_nats
    assert curve[-1].cost_tokens <= 1.02 * 6_000_000


def test_evaluations_that_cost_much_make_runs_fewer_or_smaller() -> None:
    cheap, dear = (
        Planner(domains(6), 60_000_000, spending(60_000_000, evaluation=e)).at(4_000_000) for e in (0, 150_000)
    )
    assert cheap is not None and dear is not None
    assert dear.runs * dear.base_tokens < cheap.runs * cheap.base_tokens
    assert dear.regret_nats > cheap.regret_nats


def test_without_a_limit_auto_is_what_it_was() -> None:
    runs, notes = design_runs("auto", domains(3), 20_000_000, base_tokens=660_000)
    assert [run.name for run in runs][:2] == ["base", "fill-01"] and len(runs) == 13
    assert any("design: space_filling" in note for note in notes)


def test_neither_the_order_of_domains_nor_a_limit_passed_by_small_data_breaks_a_plan() -> None:
    available = {"b": 40_000, "a": 10**8, "c": 10**8}
    terms = spending(60_000_000)
    runs, _ = planned(available, 60_000_000, terms)
    assert max(run["b"] for run in runs) <= 40_000
    assert terms.cost(runs) < terms.most_tokens
    one, _ = planned({"only": 10**8}, 60_000_000, terms)
    assert len({run["only"] for run in one}) == len(one) == 9


def test_a_regret_is_worth_the_training_that_lowers_the_loss_as_much() -> None:
    # A loss that falls by .25 nats an e-fold: .01 nats need e^.04 times the budget.
    assert worth_tokens(0.01, 0.25, 20e6) == pytest.approx(20e6 * 0.0408, rel=1e-3)
    assert worth_tokens(0.0, 0.25, 20e6) == 0
    slope = Planner(domains(3), 20_000_000, spending(20_000_000)).slope
    assert 0.05 < slope < 1.5


def test_planning_bends_curves_as_the_fit_does() -> None:
    assert DRIFT == SIGMA
