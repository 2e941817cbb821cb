"""What proxy runs may cost, and what a plan of them is charged for: in training tokens, evaluations included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mixlaw.design.information import NOISE_NATS
from mixlaw.design.knowledge import Runs
from mixlaw.design.merges import EXPERT_PART, usual_expert_tokens, vouching
from mixlaw.design.repeats import PlannedRun, repeated

LEAST_POINT_TOKENS = 5_000
"""Before a point along a run. Chosen on: a design of real runs of the demo's base (seed 0), where points from 8k tokens
on make the law better than those from 20k on alone (docs/lab.md)."""

FIRST_PART = 0.7
"""Of what the runs may cost, the part that the first batch takes; the rest is for runs chosen by what it shows.

Chosen on: planted worlds of the tuning part, K = 3, seeds 0 and 1 (docs/lab.md).
"""


@dataclass(frozen=True)
class Beside:
    """What a plan is charged for beside the runs that a planner sizes.

    Attributes:
        base_model: whether the base model is evaluated.
        replicates: runs that are trained again under other seeds.
        merges: merged models beside those of the runs' own shares.
        expert_tokens: of each expert that is merged; None: a part of a run in the middle of the plan.
    """

    base_model: bool = False
    replicates: int = 0
    merges: int = 0
    expert_tokens: int | None = None


@dataclass(frozen=True)
class Spending:
    """What proxy runs may cost, and what they are for.

    Attributes:
        most_tokens: training tokens that all runs may cost together, evaluations included.
        evaluation_tokens: e, training tokens of a run that cost as much as its evaluation.
        final_tokens: training tokens of a run that cost as much as the final run.
        noise_nats: standard deviation of a measured loss.
        first_part: of the limit, the most that the first batch takes; 1 where no further one can be chosen.
        given: whether the user set the limit; otherwise it may be passed where the budget is small.
        points: shares of a run after which it is evaluated on its way.
        merged: whether a merge of each run's shares is evaluated beside it.
        beside: what else a whole plan is charged for.
        remedies: (what a plan costs under other spending) -> what would bring its cost within the limit, as clauses.
    """

    most_tokens: float
    evaluation_tokens: float
    final_tokens: float
    noise_nats: float = NOISE_NATS
    first_part: float = FIRST_PART
    given: bool = False
    points: tuple[float, ...] = ()
    merged: bool = False
    beside: Beside = Beside()
    remedies: Callable[[Callable[[Spending], float]], list[str]] | None = field(default=None, compare=False)

    def cost(self, mixtures: Runs) -> float:
        """Return what runs cost together, in training tokens."""
        return sum(sum(run.values()) + self.evaluations(sum(run.values())) for run in mixtures)

    def whole(self, mixtures: Sequence[tuple[str, Mapping[str, int]]]) -> float:
        """Return what a plan whose runs are these costs with all that is beside them, in training tokens."""
        runs = [PlannedRun(name, tokens) for name, tokens in mixtures]
        every = [run.tokens for run in (*runs, *repeated(runs, self.beside.replicates))]
        totals = [sum(tokens.values()) for tokens in every]
        evaluations = float(self.beside.base_model) + sum(1 + len(points_along(self.points, n)) for n in totals)
        trained = float(sum(totals))
        if self.merged:
            domains = list(every[0])
            evaluations += len(domains) + len(vouching(domains, every)) + self.beside.merges
            trained += len(domains) * (self.beside.expert_tokens or usual_expert_tokens(totals))
        return trained + self.evaluation_tokens * evaluations

    def overhead(self, count: int, runs: int) -> float:
        """Return what so many runs of `count` domains cost at most, were their training and what grows with it free."""
        evaluated = runs * self.most_evaluations
        evaluated += self.evaluation_tokens * (self.beside.base_model + self.beside.replicates * (1 + len(self.points)))
        if self.merged:
            evaluated += self.evaluation_tokens * (count + self.beside.merges)
        return evaluated + (count * (self.beside.expert_tokens or 0) if self.merged else 0.0)

    def trained_runs(self, count: int, runs: int) -> float:
        """Return how many runs cost as much training as so many runs of `count` domains, repeats and experts too."""
        experts = EXPERT_PART * count if self.merged and self.beside.expert_tokens is None else 0.0
        return runs + self.beside.replicates + experts

    @property
    def most_evaluations(self) -> float:
        """What the evaluations of a run with all points, and of its merge, cost in training tokens."""
        return self.evaluation_tokens * (1 + self.merged + len(self.points))

    def evaluations(self, tokens: float) -> float:
        """Return what the evaluations of a run of so many tokens, and of its merge, cost in training tokens."""
        return self.evaluation_tokens * (1 + self.merged + len(points_along(self.points, tokens)))


def points_along(shares: Sequence[float], tokens: float) -> tuple[float, ...]:
    """Return those shares at which a run of so many tokens has trained on enough for a point."""
    return tuple(share for share in shares if share * tokens >= LEAST_POINT_TOKENS)
