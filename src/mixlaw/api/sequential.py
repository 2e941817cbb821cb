"""The sequential design: the next runs, chosen to shrink the expected regret at the budget, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixlaw.api.noise import noise_of_fit
from mixlaw.design.candidates import candidates_around
from mixlaw.design.decision import decision_for, next_runs
from mixlaw.design.knowledge import Knowledge
from mixlaw.design.sequential import amounts
from mixlaw.fit import Fit
from mixlaw.solve import Solution

THRESHOLD = 0.002
"""Stop when the 95th percentile of the regret is below this share of the total loss. Chosen on: no data."""

_CANDIDATES = 1000
"""Mixtures that a batch is chosen from. Chosen on: no data."""


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
    p95 = solution.expected_regret["p95"] / max(abs(solution.total_loss), 1e-300)
    if p95 <= threshold:
        return Proposal(
            [], [], f"The 95th percentile of the regret is {100 * p95:.2g} %, below {100 * threshold:.2g} %."
        )
    if count < 1:
        return Proposal([], [], f"No more runs are allowed; the 95th percentile of the regret is {100 * p95:.2g} %.")
    laws, draws = zip(*(part for target in fit.targets for part in fit.belief(target).drawn().parts), strict=True)
    noise = noise_of_fit(fit)
    done = [dict(zip(fit.domains, row, strict=True)) for row in fit.counted_RK * 1e6]
    caps = np.array([(available or {}).get(domain, np.inf) for domain in fit.domains], float)
    tokens_NK = candidates_around(amounts(base_tokens), caps, _CANDIDATES, seed)
    decision = decision_for(
        Knowledge(laws, base_tokens, draws, done, noise, seed),
        solution.weights,
        solution.budget_tokens,
        importance=solution.target_weights,
        candidates=[dict(zip(fit.domains, row, strict=True)) for row in tokens_NK.tolist()],
    )
    mixtures, regret = next_runs(decision, count, most_tokens, runs_left)
    if not mixtures:
        return Proposal([], regret, "All tokens that the proxy runs may use are spent.")
    return Proposal(
        mixtures,
        regret,
        f"The 95th percentile of the regret is {100 * p95:.2g} %. Runs in the next batch: {len(mixtures)}.",
    )
