"""`auto`: the law that held-out mixtures choose, and decisions that rest on two laws where they do not choose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from law_runs import TRANSFER, UNEVEN, run_table
from mixlaw.core.errors import NotIdentifiable
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.alike import beliefs_at
from mixlaw.fit.choosing import choice
from mixlaw.fit.choosing.by_target import by_target
from mixlaw.fit.choosing.choice import Choice, choose, simplest_good
from mixlaw.fit.choosing.held_out import held_out
from mixlaw.fit.choosing.table import LawRow
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import Transfer
from mixlaw.solve import solve_mixture
from quick_fits import draws_kept, none_held_out, points_only, short_draws


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with short_draws(), draws_kept(40):
        yield


def test_auto_keeps_the_simple_law_where_it_is_true() -> None:
    fit = fit_law(run_table(Transfer, TRANSFER, 16, 0.002))
    assert fit.law == "transfer"
    assert "transfer" in fit.choice


def test_auto_takes_the_richer_law_where_sources_differ() -> None:
    fit = fit_law(run_table(Pairwise, UNEVEN, 24, 0.002))
    assert fit.law == "pairwise"
    assert "smallest error" in fit.choice


def test_the_choice_is_the_simplest_within_one_standard_error() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    rows = [held_out(runs, name) for name in ("mean", "transfer", "pairwise")]
    name, reason = simplest_good(rows, runs)
    assert name == "transfer"
    assert "%" in reason


def test_decisions_hedge_where_held_out_mixtures_do_not_tell_the_laws_apart() -> None:
    runs = run_table(Transfer, TRANSFER, 14, 0.02)
    fit = fit_law(runs)
    assert {fit.law, fit.alternative} == {"transfer", "pairwise"}
    assert "decisions average both" in fit.choice
    assert fit.summary()["alternative"] == fit.alternative
    asked, belief, distance = np.array([[20.0, 10.0, 20.0]]), fit.belief("a"), float(fit.distance(50e6))
    assert [curve.law.name for curve in belief.curves] == [fit.law, fit.alternative]
    both = belief.drawn(distance)
    assert len(both) == 40
    for i, curve in enumerate(belief.curves):
        drawn = replace(belief, curves=(curve,)).drawn(distance).predict(asked)[i::2]
        np.testing.assert_allclose(both.predict(asked)[20 * i : 20 * (i + 1)], drawn, rtol=1e-12)
    with none_held_out():
        alone = [fit_law(runs, law=law) for law in (fit.law, fit.alternative)]
    weights = [solve_mixture(one, 50e6).weights["a"] for one in alone]
    solution = solve_mixture(fit, 50e6)
    assert min(weights) - 1e-3 <= solution.weights["a"] <= max(weights) + 1e-3
    assert solve_mixture(Fit.from_json(fit.to_json()), 50e6).weights == solution.weights
    # What is promised is what was minimised: the mean over the draws of both.
    assert solution.total_loss == pytest.approx(solution.objective_value, rel=1e-6)
    for j, target in enumerate(fit.targets):
        mean = beliefs_at(fit, distance)[target].drawn(distance).predict(asked).mean()
        assert fit.predict(1e6 * asked).mean[0, j] == pytest.approx(mean, rel=1e-12)


def test_a_law_that_is_asked_for_or_clearly_better_decides_alone() -> None:
    with points_only():
        assert fit_law(run_table(Transfer, TRANSFER, 16, 0.002), law="transfer").alternative == ""
        assert fit_law(run_table(Pairwise, UNEVEN, 40, 0.001)).alternative == ""


RUNS = run_table(Transfer, TRANSFER, 12, 0.002)


def figures(name: str, error: float, runs: RunTable = RUNS) -> LawRow:
    """A law whose every relative error is so large; NaN: it does not apply."""
    return LawRow(name, runs.losses_RJ * (1 + error), error)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch):
    """Return a function that chooses where the two laws have these errors."""

    def choose_with(transfer: float, pairwise: float, runs: RunTable = RUNS) -> Choice:
        errors = {"transfer": transfer, "pairwise": pairwise}
        monkeypatch.setattr(choice, "held_out", lambda runs, law: figures(law.name, errors[law.name], runs))
        return choose(runs)

    return choose_with


def test_a_law_that_is_better_in_every_run_decides_alone(judged) -> None:
    for errors, name in (((0.01, 0.02), "transfer"), ((0.02, 0.01), "pairwise")):
        found = judged(*errors)
        assert (found.law, found.alternative) == (name, None)
        assert found.checked is not None and found.checked.name == name
        assert "smallest error" in found.reason and "hedge" not in found.reason
        assert "transfer 1 %, pairwise 2 %" in found.reason or "transfer 2 %, pairwise 1 %" in found.reason


def test_laws_that_are_alike_are_both_kept_the_simpler_first(judged) -> None:
    found = judged(0.01, 0.01)
    assert found.law == "transfer"
    assert found.alternative is not None and found.alternative.name == "pairwise"
    assert "tell it from 'pairwise'" in found.reason


def with_base(losses: float = 2.0) -> RunTable:
    """RUNS, and the base model as it is, with these losses."""
    return replace(
        RUNS,
        runs=(*RUNS.runs, "base"),
        tokens_RK=np.vstack([RUNS.tokens_RK, np.zeros(3)]),
        losses_RJ=np.vstack([RUNS.losses_RJ, np.full(3, losses)]),
    )


def test_a_law_by_which_the_base_model_has_an_infinite_loss_is_out_where_that_is_fitted(judged) -> None:
    for errors, said in (((0.02, 0.01), "smallest error"), ((0.01, 0.02), "by 'transfer' they would be infinite")):
        found = judged(*errors, runs=with_base())
        assert (found.law, found.alternative) == ("pairwise", None)
        assert said in found.reason
        # a target of its own does not go back to it
        served = by_target(with_base(), found).served
        assert [(one.law, one.alternative) for one in served] == [("pairwise", "")] * 3


def test_a_target_whose_base_model_is_not_fitted_may_have_a_law_of_its_own(judged) -> None:
    runs = with_base()
    losses_RJ = runs.losses_RJ.copy()
    losses_RJ[-1, 0] = np.nan
    runs = replace(runs, losses_RJ=losses_RJ)
    assert [one.law for one in by_target(runs, judged(0.01, 0.02, runs=runs)).served] == ["transfer"] + 2 * ["pairwise"]


def test_a_base_model_that_is_not_fitted_says_nothing_of_the_law(judged) -> None:
    assert judged(0.01, 0.01, runs=with_base(float("nan"))).law == "transfer"
    assert choose(with_base(), uses_base=False).law == "transfer"


def test_a_law_that_does_not_apply_is_no_choice(judged) -> None:
    nan = float("nan")
    for errors, name in (((0.01, nan), "transfer"), ((nan, 0.01), "pairwise")):
        found = judged(*errors)
        assert (found.law, found.alternative) == (name, None)
    assert judged(nan, nan).law == "transfer"
    assert judged(nan, nan).alternative is None


@pytest.mark.parametrize(("mixtures", "few"), [(7, True), (8, False)])
def test_with_fewer_mixtures_than_domains_and_five_none_is_held_out(judged, mixtures: int, few: bool) -> None:
    found = judged(0.02, 0.01, RUNS.take(np.array([*range(mixtures), 0, 1])))
    assert found.law == ("transfer" if few else "pairwise")
    assert ("too few different mixtures" in found.reason) is few
    # decisions hedge where nothing tells the laws apart
    assert (found.alternative is not None) is few


def test_what_only_one_law_can_do_needs_no_held_out_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "held_out", None)
    sized = choose(replace(RUNS, params_R=np.tile([1e8, 1e9], 6)))
    assert sized.law == "pairwise" and "several model sizes" in sized.reason
    others = choose(replace(RUNS, targets=("a", "b", "news")))
    assert others.law == "pairwise" and "not domains" in others.reason


def test_runs_that_leave_a_parameter_open_are_refused_though_priors_would_hide_it(judged) -> None:
    tokens = np.full((12, 3), 1e6)
    tokens[:, 0] = np.geomspace(2e5, 4e6, 12)
    with pytest.raises(NotIdentifiable):
        judged(0.01, 0.02, replace(RUNS, tokens_RK=tokens, targets=("a",), losses_RJ=RUNS.losses_RJ[:, :1]))


def test_a_law_without_a_figure_is_passed_over() -> None:
    rows = [figures("simple", float("nan")), figures("rich", 0.01), figures("richer", 0.02)]
    name, reason = simplest_good(rows, RUNS)
    assert name == "rich"
    assert "simple" not in reason
