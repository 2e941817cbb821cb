"""The sequential design: the next runs, chosen to shrink the expected regret at the budget, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixlaw.api.changed_domains import added_runs, save_added
from mixlaw.api.costs import spent_of
from mixlaw.api.merged import trained
from mixlaw.api.noise import noise_of_fit
from mixlaw.core.cost import percent
from mixlaw.design.affordable import DRIFT, worth_tokens
from mixlaw.design.candidates import candidates_around
from mixlaw.design.decision import Decision, decision_for, next_runs
from mixlaw.design.knowledge import Knowledge
from mixlaw.design.sequential import amounts, most_runs, sequential_tokens
from mixlaw.design.spending import Spending
from mixlaw.fit import Fit
from mixlaw.fit.alike import at_total
from mixlaw.fit.estimating.inside import equation
from mixlaw.solve import Solution

if TYPE_CHECKING:
    from mixlaw.api.project import Project

THRESHOLD = 0.002
"""Stop when the 95th percentile of the regret is below this share of the total loss. Chosen on: no data."""

_CANDIDATES = 1000
"""Mixtures that a batch is chosen from. Chosen on: no data."""

_TIMES = (1, 3)
"""A batch within a limit is chosen from mixtures around the first batch's base tokens times these. No data."""

_LOG_STEP = 0.1
"""Of the logarithm of the budget, over which the slope of the loss is taken. No data."""


@dataclass(frozen=True)
class Proposal:
    """What to train next.

    Attributes:
        mixtures: domain -> tokens, the most useful first; none where the design should stop.
        regret_nats: expected regret before them and after each, nats, by the local approximation of
            `mixlaw.design.decision`; as many as the mixtures and one.
        reason: one sentence.
    """

    mixtures: list[dict[str, int]]
    regret_nats: list[float]
    reason: str


def propose(
    fit: Fit,
    solution: Solution,
    base_tokens: float,
    count: int,
    *,
    available: Mapping[str, float] | None = None,
    most_tokens: float = np.inf,
    runs_left: int | None = None,
    threshold: float = THRESHOLD,
    seed: int = 0,
) -> Proposal:
    """Return the next runs, or none where the solution is good enough or nothing more may be spent.

    Args:
        fit: of the runs so far, by a law with parameters.
        solution: of the fit at the target budget.
        base_tokens: n, the middle of every domain's range in the candidates.
        count: how many runs at most.
        available: domain -> distinct tokens there are.
        most_tokens: of all runs that there may still be.
        runs_left: how many these are, the ones of this batch included (see `mixlaw.design.decision.next_runs`).
        threshold: largest 95th percentile of the regret, as a share of the total loss.
        seed: of the candidates.
    """
    if said := _sure_enough(solution, threshold):
        return Proposal([], [], said)
    p95 = _p95(solution)
    if count < 1:
        return Proposal([], [], f"No more runs are allowed; the 95th percentile of the regret is {100 * p95:.2g} %.")
    caps = np.array([(available or {}).get(domain, np.inf) for domain in fit.domains], float)
    tokens_NK = candidates_around(amounts(base_tokens), caps, _CANDIDATES, seed)
    decision = _decision(fit, solution, base_tokens, tokens_NK, seed)
    mixtures, regret = next_runs(decision, count, most_tokens, runs_left)
    if not mixtures:
        return Proposal([], regret, "All tokens that the proxy runs may use are spent.")
    return Proposal(
        mixtures,
        regret,
        f"The 95th percentile of the regret is {100 * p95:.2g} %. Runs in the next batch: {len(mixtures)}.",
    )


@dataclass(frozen=True)
class Terms:
    """What a batch within a limit is chosen from.

    Attributes:
        base_tokens: n, the middle of every domain's range in the first batch.
        count: how many runs at most.
        available: domain -> distinct tokens there are; None for no limit.
        threshold: 95th percentile of the regret, as a share of the total loss, below which the solution is good enough
            whatever more runs cost; None: the cost alone decides.
        seed: of the candidates.
    """

    base_tokens: float
    count: int
    available: Mapping[str, float] | None = None
    threshold: float | None = None
    seed: int = 0


def propose_within(fit: Fit, solution: Solution, spending: Spending, terms: Terms) -> Proposal:
    """Return the next runs, or none where they would cost more than the regret that they remove is worth.

    What a regret is worth is the training of the final run that would lower the loss by as much
    (`mixlaw.design.affordable`), by the slope of the fitted law at the budget. Of the batches of 1, 2, ... runs the one
    is taken with the largest worth less cost.

    Args:
        fit: of the runs so far, by a law with parameters.
        solution: of the fit at the target budget.
        spending: what runs cost; its `most_tokens` are those that are left.
        terms: what the batch is chosen from.
    """
    expected = solution.expected_regret["mean"]
    if not np.isfinite(expected):
        return Proposal([], [], "This way of fitting gives no expected regret, so no further runs can be chosen.")
    if terms.threshold is not None and (said := _sure_enough(solution, terms.threshold)):
        return Proposal([], [], said)
    if expected <= 0 or terms.count < 1:
        what = "there is nothing to gain" if expected <= 0 else "no more runs are allowed"
        return Proposal([], [], f"The expected regret is {expected:.2g} {solution.unit}; {what}.")
    found = further_runs(fit, solution, spending, terms)
    share = percent(found.worth(expected))
    worth = f"The expected regret of {expected:.2g} {solution.unit} is worth {share} of the final run"
    if not found.mixtures:
        return Proposal([], found.regret_nats, f"{worth}, but the limit of cost is reached.")
    gains = [found.worth(fall) for fall in found.falls]
    costs = [spending.cost(found.mixtures[:n]) / spending.final_tokens for n in range(1, len(found.mixtures) + 1)]
    best = int(np.argmax(np.subtract(gains, costs)))
    runs = f"{best + 1} more run{'s' if best else ''} for {percent(costs[best])}"
    if gains[best] <= costs[best]:
        return Proposal([], found.regret_nats, f"{worth}. Not worth it: {runs} would save {percent(gains[best])}.")
    taken = f"{worth}. Worth it: {runs} should save {percent(gains[best])}."
    return Proposal(found.mixtures[: best + 1], found.regret_nats[: best + 2], taken)


@dataclass(frozen=True)
class Further:
    """What more runs within a limit would remove of the expected regret.

    Attributes:
        mixtures: domain -> tokens, the most useful first.
        regret_nats: by the local approximation before them and after each.
        expected_nats: the solution's expected regret.
        slope: nats by which the total loss falls for a budget e times as large.
    """

    mixtures: list[dict[str, int]]
    regret_nats: list[float]
    expected_nats: float
    slope: float

    @property
    def falls(self) -> list[float]:
        """Nats by which the expected regret falls after 1, 2, ... runs: by the part that the approximation says."""
        return [self.expected_nats * (1 - r / max(self.regret_nats[0], 1e-300)) for r in self.regret_nats[1:]]

    def worth(self, nats: float) -> float:
        """Return what a regret is worth, as a share of the final run."""
        return worth_tokens(nats, self.slope, 1.0)


def further_runs(fit: Fit, solution: Solution, spending: Spending, terms: Terms) -> Further:
    """Return up to `terms.count` runs within what may still be spent; see `propose_within`."""
    decision = _decision(fit, solution, terms.base_tokens, _larger(fit, terms), terms.seed)
    mixtures, regret = next_runs(
        decision, terms.count, spending.most_tokens, evaluation_tokens=spending.most_evaluations, drift=DRIFT
    )
    return Further(mixtures, regret, solution.expected_regret["mean"], budget_slope(fit, solution))


def _larger(fit: Fit, terms: Terms) -> np.ndarray:
    """Return the (N, K) mixtures that a batch within a limit is chosen from, none smaller than the base mixture.

    Smaller runs cost little, and would be taken by the dozen; but they lie further from the budget, and what they say
    of the law there weighs as much in its fit as what nearer ones do.
    """
    caps = np.array([(terms.available or {}).get(domain, np.inf) for domain in fit.domains], float)
    tokens_NK = candidates_around([terms.base_tokens * times for times in _TIMES], caps, _CANDIDATES, terms.seed)
    # Whole tokens: the base mixture itself is not to be lost by its rounding.
    return tokens_NK[tokens_NK.sum(axis=1) >= np.minimum(terms.base_tokens, caps).sum() - len(caps)]


def _p95(solution: Solution) -> float:
    return solution.expected_regret["p95"] / max(abs(solution.total_loss), 1e-300)


def _sure_enough(solution: Solution, threshold: float) -> str:
    """Return why no more runs are wanted where the 95th percentile of the regret is below a share of the loss."""
    p95 = _p95(solution)
    return (
        f"The 95th percentile of the regret is {100 * p95:.2g} %, below {100 * threshold:.2g} %."
        if p95 <= threshold
        else ""
    )


def budget_slope(fit: Fit, solution: Solution) -> float:
    """Return by how many nats the total loss falls for a budget e times as large, at the recommended weights."""
    tokens = np.array([[solution.weights[domain] * solution.budget_tokens for domain in fit.domains]], float)
    around = np.exp([[-_LOG_STEP], [_LOG_STEP]]) * tokens
    mean_2J = at_total(fit, solution.budget_tokens).predict(around).mean
    importance = np.array([solution.target_weights.get(target, 0.0) for target in fit.targets])
    return max(float((mean_2J[0] - mean_2J[1]) @ importance) / (2 * _LOG_STEP), 1e-9)


def _decision(fit: Fit, solution: Solution, base_tokens: float, tokens_NK: np.ndarray, seed: int) -> Decision:
    """Return what is to be decided, from a fit's draws, with these mixtures to choose from."""
    parts = [equation(*part) for target in fit.targets for part in fit.belief(target).drawn().parts]
    laws, draws = zip(*parts, strict=True)
    done = [dict(zip(fit.domains, row, strict=True)) for row in fit.counted_RK * 1e6]
    return decision_for(
        Knowledge(laws, base_tokens, draws, done, noise_of_fit(fit), seed),
        solution.weights,
        solution.budget_tokens,
        importance=solution.target_weights,
        candidates=[dict(zip(fit.domains, row, strict=True)) for row in tokens_NK.tolist()],
    )


def extend(project: Project, fitted: Fit, solution: Solution) -> bool:
    """Plan the next batch of a sequential design; return whether there is one."""
    plan, runs = project.config.plan, trained(project.planned[0])
    domains = project.available_tokens
    most = plan.runs or most_runs(len(domains))
    terms = Terms(
        project.base_tokens,
        min(project.wishes.batch or max(3, len(domains)), most - len(runs)),
        domains,
        project.wishes.threshold,
        plan.seed,
    )
    fit, done = fitted.of_domains(list(domains)), [run.tokens for run in runs]
    left = tokens_left(project)
    if project.is_limited:
        proposal = propose_within(fit, solution, replace(project.spending, most_tokens=left), terms)
    else:
        caps = list(map(float, domains.values()))
        limit = sequential_tokens(list(domains), project.base_tokens, most, project.wishes.proxy_tokens, caps)
        proposal = propose(
            fit,
            solution,
            terms.base_tokens,
            terms.count,
            available=domains,
            most_tokens=limit - sum(sum(tokens.values()) for tokens in done),
            runs_left=most - len(runs),
            threshold=terms.threshold or THRESHOLD,
            seed=plan.seed,
        )
        if plan.max_cost is not None:
            proposal = within(proposal, project.spending, left)
    project.note(proposal.reason)
    if proposal.mixtures:
        save_added(project.study, added_runs(project).and_then(proposal.mixtures, proposal.reason))
    return bool(proposal.mixtures)


def tokens_left(project: Project) -> float:
    """Return what of a project's limit its planned runs and wasted attempts leave, in training tokens of its runs."""
    prices, specs = project.prices, project.planned[0]
    wasted = spent_of(prices, project.study, project.study.status(specs)).wasted
    return project.spending.most_tokens - prices.tokens_for((prices.runs(specs) + wasted).share)


def within(proposal: Proposal, spending: Spending, left: float) -> Proposal:
    """Return the first of the proposed runs that may still be spent on together."""
    runs = proposal.mixtures
    kept = next((n for n in range(len(runs), 0, -1) if spending.cost(runs[:n]) <= left), 0)
    if kept == len(runs):
        return proposal
    reason = f"{proposal.reason} Of these {kept} are within plan.max_cost."
    return Proposal(runs[:kept], proposal.regret_nats[: kept + 1], reason)
