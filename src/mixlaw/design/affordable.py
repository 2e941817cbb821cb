"""How many runs, and how large, for what they may cost: chosen together, by the expected regret before any is trained.

A run costs its tokens and an evaluation, here counted in training tokens. At a cost c, M runs have c - M e tokens in
all, e those of an evaluation: more runs are smaller ones, and each is evaluated. Of a few numbers M the one with the
smallest expected regret at the budget is taken (`mixlaw.design.decision`, laws drawn from their priors, and curves that
bend beyond the largest run). A regret is worth the tokens by which the final run would have to be longer to lower the
loss by as much:

    worth of x nats = (tokens of the final run) (e^(x / s) - 1)        s = -dL / dlog N at the budget N

Shape letters: R runs, S draws, K domains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixlaw.core.cost import percent, percent_up
from mixlaw.core.errors import DesignError
from mixlaw.core.tokens import format_tokens, tokens_up
from mixlaw.design.decision import beyond, decision_for, expected_regret
from mixlaw.design.knowledge import Knowledge, Runs, laws_for
from mixlaw.design.ranges import SPAN, total_tokens
from mixlaw.design.space_filling import space_filling_design
from mixlaw.design.spending import Spending

DEFAULT_SHARE = 0.1
"""Of the final run: what proxy runs may cost where nothing else is said. No data."""

LEAST_RUN_TOKENS = 20_000
"""Of a typical run: one of a few steps follows no law. Ten steps of 2,000 tokens. No data."""

_FEWEST_RUNS = 9
"""In fewer runs `auto` compares no laws. Chosen on: as `FIRST_PART`, against 7."""

_MORE_THAN_DOMAINS = 4
"""Runs beyond one a domain, at least. Chosen on: as `FIRST_PART`."""

DRIFT = 0.05
"""By which part a curve may be off for each e-fold of the budget beyond the largest run. Chosen on: as
`mixlaw.fit.posterior.extrapolation.SIGMA`, which it equals."""

ROUNDING = 1e-9
"""By which part a cost may be above a limit: rounding of floats. No data."""

_STEPS = 20
"""Costs at which the curve of cost against expected regret is worked out. No data."""

_MOST_DOMAINS = 40
"""With more domains the expected regret takes longer than planning should. No data."""


@dataclass(frozen=True)
class Point:
    """A plan of some cost.

    Attributes:
        cost_tokens: what its runs cost, evaluations included, in training tokens.
        runs: how many.
        base_tokens: n, the middle of each domain's range.
        regret_nats: expected regret at the budget after them, before any is trained.
    """

    cost_tokens: float
    runs: int
    base_tokens: int
    regret_nats: float


def fewest_runs(count: int) -> int:
    """Return the fewest runs from which a law of so many domains is worth fitting: K + 4, at least 9."""
    return max(_FEWEST_RUNS, count + _MORE_THAN_DOMAINS)


def least_cost(count: int, spending: Spending) -> float:
    """Return what the smallest useful plan costs, evaluations included, in training tokens."""
    runs = fewest_runs(count)
    return spending.trained_runs(count, runs) * LEAST_RUN_TOKENS + spending.overhead(count, runs)


class Planner:
    """Plans of any cost for one study.

    Args:
        available: domain -> distinct training tokens there are.
        budget_tokens: N of the final run.
        spending: what runs cost.
        seed: of the mixtures.
    """

    def __init__(self, available: Mapping[str, int], budget_tokens: float, spending: Spending, seed: int = 0) -> None:
        self.available, self.budget_tokens, self.spending, self.seed = available, budget_tokens, spending, seed
        self.domains, self.caps = list(available), [float(count) for count in available.values()]
        # Priors are in units of a typical run: the same one for plans of any size.
        self.unit_tokens = max(budget_tokens / 10 / len(self.domains), 1.0)

    def mixtures(self, runs: int, base_tokens: float) -> list[tuple[str, dict[str, int]]]:
        """Return space-filling runs around so many tokens a domain, (name, {domain: tokens})."""
        return space_filling_design(self.domains, base_tokens, runs, self.seed, self.caps)

    def sized(self, runs: int, cost_tokens: float) -> int:
        """Return the tokens a domain in the middle with which so many runs cost this much; 0 where there are none.

        What is beside the runs is counted; the whole costs no more than the limit.
        """
        K, spending = len(self.domains), self.spending
        free = spending.overhead(K, runs)
        tokens, as_runs = cost_tokens - free, spending.trained_runs(K, runs)
        if tokens < 0.999 * as_runs * LEAST_RUN_TOKENS:
            return 0
        base, beside = tokens / as_runs / K, as_runs / runs
        for _ in range(8):  # what the data lack is made up for by the others, as far as they go
            spent = beside * total_tokens(self.mixtures(runs, base))
            if abs(spent / tokens - 1) < 0.01:
                break
            base *= min(tokens / spent, 4.0)
        base = min(base, max(self.caps) / SPAN)
        most = max(cost_tokens, spending.most_tokens) * (1 + ROUNDING)
        while base >= 2 and (cost := spending.whole(self.mixtures(runs, int(base)))) > most:
            base *= 1 - max((cost - most) / cost, 0.001)
        return int(base)

    def at(self, cost_tokens: float) -> Point | None:
        """Return the plan of this cost with the smallest expected regret; None where no useful one is as cheap."""
        K = len(self.domains)
        found = []
        for runs in sorted({fewest_runs(K), max(fewest_runs(K), 1 + 2 * K), max(fewest_runs(K), 1 + 4 * K)}):
            base = self.sized(runs, cost_tokens)
            if base < 1:
                break
            mixtures = self.mixtures(runs, base)
            regret = self.regret([tokens for _, tokens in mixtures])
            found.append(Point(self.spending.whole(mixtures), runs, base, regret))
            if not 2 <= K <= _MOST_DOMAINS:
                break
        return min(found, key=lambda point: point.regret_nats, default=None)

    def regret(self, mixtures: Runs) -> float:
        """Return the expected regret at the budget after these runs, nats; not a number where it is not worked out."""
        if not 2 <= len(self.domains) <= _MOST_DOMAINS:
            return float("nan")
        laws = laws_for("transfer", self.domains, self.domains)
        knowledge = Knowledge(laws, self.unit_tokens, noise_nats=self.spending.noise_nats)
        equal = dict.fromkeys(self.domains, 1.0)
        decision = decision_for(knowledge, equal, self.budget_tokens, candidates=list(mixtures))
        posteriors, factors = decision.choice.posteriors(), decision.regret_factors()
        posteriors.restart(range(len(mixtures)))
        far = beyond(np.array([max(sum(run.values()) for run in mixtures)]), self.budget_tokens)[0]
        return expected_regret(posteriors, factors) + decision.bend(DRIFT) * float(far) ** 2

    @cached_property
    def slope(self) -> float:
        """Return s, nats by which the total loss falls for a budget e times as large, by the priors."""
        laws = laws_for("transfer", self.domains, self.domains)
        knowledge = Knowledge(laws, self.unit_tokens, noise_nats=self.spending.noise_nats)
        equal = self.budget_tokens / len(self.domains)
        decision = decision_for(
            knowledge, dict.fromkeys(self.domains, 1.0), self.budget_tokens, candidates=[dict.fromkeys(self.domains, 1)]
        )
        tokens_K = np.full(len(self.domains), equal / decision.choice.unit)
        falls = [
            -(law.gradient(theta, tokens_K[None])[:, 0] @ tokens_K).mean()
            for law, theta in zip(laws, decision.choice.draws, strict=True)
        ]
        return max(float(np.sum(falls)), 1e-9)

    def curve(self) -> list[Point]:
        """Return plans of rising cost up to the limit, each with less expected regret than those before it."""
        found: list[Point] = []
        for part in np.linspace(0, 1, _STEPS + 1)[1:]:
            point = self.at(part * self.spending.most_tokens)
            if point is not None and not (found and point.regret_nats >= found[-1].regret_nats):
                found.append(point)
        return found

    def start(self, most_runs: int | None = None) -> Start:
        """Return the first batch.

        It costs `FIRST_PART` of the limit, and at least what a law needs.

        Args:
            most_runs: of all batches together; None for no such limit.

        Raises:
            DesignError: no useful plan keeps to a limit that the user gave.
        """
        K, spending = len(self.domains), self.spending
        least = least_cost(K, spending)
        if least > spending.most_tokens * (1 + ROUNDING) or (most_runs is not None and most_runs < fewest_runs(K)):
            return self._smallest(least, most_runs)
        point = self.at(max(spending.first_part * spending.most_tokens, least))
        assert point is not None
        share = percent(max(spending.most_tokens - point.cost_tokens, 0.0) / spending.final_tokens)
        note = (
            f"sequential: these {point.runs} first, then batches by what the fit leaves open, for at most {share} more "
            "of the final run; it ends sooner where the next batch costs more than the regret is worth that it removes."
        )
        return Start(self.mixtures(point.runs, point.base_tokens), point.base_tokens, [note], self.curve())

    def _smallest(self, least: float, most_runs: int | None) -> Start:
        """Return the smallest useful plan where the limit does not allow it; raise DesignError where it was given."""
        K, spending = len(self.domains), self.spending
        share, limit = least / spending.final_tokens, spending.most_tokens / spending.final_tokens
        runs = fewest_runs(K)
        if most_runs is not None and most_runs < runs:
            raise DesignError(
                f"plan.runs is {most_runs}; with plan.max_cost at least {runs} runs are needed for {K} domains.",
                "Raise plan.runs, or leave it out.",
            )
        if spending.remedies is not None:
            remedies = spending.remedies(lambda other: least_cost(K, other))
        else:
            remedies = [f"raise plan.max_cost to {percent_up(share)}"] if spending.given else []
            remedies.append(f"raise budget to {tokens_up(self.budget_tokens * share / limit)}")
        if spending.given:
            raise DesignError(
                f"plan.max_cost is {100 * limit:.4g} % of the final run, {format_tokens(spending.most_tokens)} "
                f"training tokens with evaluations; the smallest useful plan has {runs} runs of "
                f"{format_tokens(LEAST_RUN_TOKENS)} tokens and costs {percent_up(share)}.",
                sentence(remedies),
            )
        base = min(self.sized(runs, least), max(self.unit_tokens, 1.0))
        mixtures = self.mixtures(runs, max(base, 1.0))
        note = f"The budget is too small for a law within {percent(limit)} of the final run: these runs cost more."
        return Start(mixtures, max(1, int(base)), [f"{note} {sentence(remedies)}".strip()], [])


def sentence(remedies: Sequence[str]) -> str:
    """Return remedies of which each one suffices as one sentence; nothing where there are none."""
    text = ", or ".join(remedies)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


@dataclass(frozen=True)
class Start:
    """The first batch of a plan within a limit.

    Attributes:
        mixtures: (name, {domain: tokens}).
        base_tokens: n, the middle of each domain's range.
        notes: sentences.
        curve: plans of rising cost, with what each would leave of the regret.
    """

    mixtures: list[tuple[str, dict[str, int]]]
    base_tokens: int
    notes: list[str]
    curve: list[Point]


def worth_tokens(regret_nats: float, slope: float, final_tokens: float) -> float:
    """Return the tokens that a regret is worth: those by which the final run would have to be longer (see module)."""
    return final_tokens * float(np.expm1(min(regret_nats / slope, 50.0)))
