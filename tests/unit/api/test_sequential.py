"""The sequential design: batches until the decision is good enough or all is spent, and what a study keeps of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.api.changed_domains import Added, load_added, save_added
from mixlaw.api.sequential import Terms, budget_slope, propose, propose_within
from mixlaw.core.errors import DataError
from mixlaw.core.runtable import RunTable
from mixlaw.design import Wishes, design_runs
from mixlaw.design.spending import Spending
from mixlaw.fit import fit_law
from mixlaw.fit.alike import at_total
from mixlaw.laws.transfer import transfer_losses
from mixlaw.solve import solve_mixture
from mixlaw.study.store import Study

DOMAINS = ("a", "b", "c")
THETA = np.array([[0.5, 0.2, 0.7, 0.2, 0.9], [0.9, 0.1, 0.8, 0.3, 1.1], [0.4, 0.3, 0.6, 0.15, 0.6]])
AVAILABLE = dict.fromkeys(DOMAINS, 10**9)


def measured(mixtures: list[dict[str, int]], sd: float) -> RunTable:
    own = np.array([[m[d] for d in DOMAINS] for m in mixtures], float) / 1e6
    others = own.sum(axis=1, keepdims=True) - own
    losses = np.column_stack([transfer_losses(THETA[i], own[:, i], others[:, i]) for i in range(3)])
    losses += sd * np.random.default_rng(len(mixtures)).standard_normal(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(len(own))), DOMAINS, DOMAINS, own * 1e6, losses)


def first_batch() -> list[dict[str, int]]:
    runs, notes = design_runs("sequential", AVAILABLE, 20_000_000, base_tokens=660_000)
    assert len(runs) == 7
    assert any("then batches" in note for note in notes)
    return [dict(run.tokens) for run in runs]


def test_batches_end_when_the_decision_is_good_enough() -> None:
    mixtures, proposal = first_batch(), None
    for _ in range(6):
        fit = fit_law(measured(mixtures, 0.0005), law="transfer")
        proposal = propose(fit, solve_mixture(fit, 20e6), 660_000, 3, available=AVAILABLE)
        if not proposal.mixtures:
            break
        mixtures += proposal.mixtures
    assert proposal is not None
    assert not proposal.mixtures
    assert "below 0.2 %" in proposal.reason
    assert len(mixtures) <= 16


def test_it_ends_where_runs_or_tokens_are_spent() -> None:
    fit = fit_law(measured(first_batch(), 0.05), law="transfer")
    solution = solve_mixture(fit, 200e6)
    assert "No more runs" in propose(fit, solution, 660_000, 0, threshold=1e-9).reason
    assert "tokens" in propose(fit, solution, 660_000, 3, most_tokens=10, threshold=1e-9).reason
    proposal = propose(fit, solution, 660_000, 3, threshold=1e-9)
    assert len(proposal.mixtures) == 3
    assert proposal.regret_nats[-1] < proposal.regret_nats[0]
    assert propose(fit, replace(solution, expected_regret={"mean": 0.0, "p95": 0.0}), 660_000, 3).mixtures == []


def test_a_study_keeps_what_was_chosen(tmp_path) -> None:
    study = Study(tmp_path / "study")
    study.create()
    assert load_added(study, DOMAINS) is None
    first = Added(DOMAINS).and_then([{"a": 1, "b": 2, "c": 3}], "why")
    save_added(study, first)
    save_added(study, first.and_then([{"a": 4, "b": 5, "c": 6}], "why more"))
    kept = load_added(study, ("c", "a", "b"))
    assert kept is not None
    assert [(name, tokens["a"]) for name, tokens in kept.runs] == [("next-1", 1), ("next-2", 4)]
    assert kept.reasons == ("why", "why more")
    assert load_added(study, ("a", "b")) is None
    (study.folder / "added.json").write_text('{"runs": [{"name": 1}]}')
    with pytest.raises(DataError, match="'domains' is missing"):
        load_added(study, DOMAINS)


SPENDING = Spending(2_000_000, 20_000, 20_000_000)
TERMS = Terms(100_000, 3, AVAILABLE)


def fitted(sd: float):
    runs, _ = design_runs("auto", AVAILABLE, 20_000_000, wishes=Wishes(spending=SPENDING))
    fit = fit_law(measured([dict(run.tokens) for run in runs], sd), law="transfer")
    return fit, solve_mixture(fit, 20e6)


@pytest.fixture(scope="module")
def noisy():
    return fitted(0.01)


def test_a_batch_is_trained_where_it_is_worth_more_than_it_costs(noisy) -> None:
    fit, solution = noisy
    regretted = replace(solution, expected_regret={"mean": 0.1, "p95": 0.3})
    proposal = propose_within(fit, regretted, SPENDING, TERMS)
    assert proposal.mixtures and "Worth it" in proposal.reason
    assert SPENDING.cost(proposal.mixtures) <= SPENDING.most_tokens
    # None is smaller than the base mixture of the first batch.
    assert min(sum(mixture.values()) for mixture in proposal.mixtures) >= 3 * 100_000 - 3
    # The same regret is not worth a run where the final run is a thousandth as large.
    cheap = replace(SPENDING, final_tokens=20_000)
    assert propose_within(fit, regretted, cheap, TERMS).mixtures == []
    assert "Not worth it" in propose_within(fit, regretted, cheap, TERMS).reason


def test_batches_pay_for_points_and_merges_as_well(noisy) -> None:
    fit, solution = noisy
    regretted = replace(solution, expected_regret={"mean": 0.1, "p95": 0.3})
    # Two runs of the smallest size and four evaluations of each, but not three.
    dear = replace(SPENDING, evaluation_tokens=100_000, points=(0.25, 0.5), merged=True, most_tokens=2_000_000)
    proposal = propose_within(fit, regretted, dear, TERMS)
    assert proposal.mixtures and dear.cost(proposal.mixtures) <= dear.most_tokens
    assert dear.most_evaluations == 400_000
    assert (
        "the limit of cost is reached"
        in propose_within(fit, regretted, replace(dear, most_tokens=600_000), TERMS).reason
    )


def test_batches_end_at_the_limit_and_where_nothing_is_left_to_gain(noisy) -> None:
    fit, solution = noisy
    regretted = replace(solution, expected_regret={"mean": 0.1, "p95": 0.3})
    spent = replace(SPENDING, most_tokens=10_000)
    assert "the limit of cost is reached" in propose_within(fit, regretted, spent, TERMS).reason
    sure = replace(solution, expected_regret={"mean": 0.0, "p95": 0.0})
    assert "nothing to gain" in propose_within(fit, sure, SPENDING, TERMS).reason
    assert "no more runs are allowed" in propose_within(fit, regretted, SPENDING, replace(TERMS, count=0)).reason
    enough = replace(TERMS, threshold=0.5)
    assert "below 50 %" in propose_within(fit, regretted, SPENDING, enough).reason
    unknown = replace(solution, expected_regret={"mean": float("nan"), "p95": float("nan")})
    assert "no expected regret" in propose_within(fit, unknown, SPENDING, TERMS).reason


def test_the_slope_is_that_of_the_fitted_law(noisy) -> None:
    fit, solution = noisy
    at = {d: share * 20e6 for d, share in solution.weights.items()}
    law = at_total(fit, 20e6)  # of one belief; what is believed changes with the total, too
    low, high = (law.predict({d: f * n for d, n in at.items()}).mean.sum() for f in (np.exp(-0.05), np.exp(0.05)))
    assert budget_slope(fit, solution) == pytest.approx((low - high) / 0.1, rel=0.01)
