"""What a project's proxy runs may cost, and what would bring a plan that costs more within the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mixlaw.api.costs import evaluated_tokens
from mixlaw.api.merged import trained
from mixlaw.core.cost import MostCost, percent_up
from mixlaw.core.errors import ConfigError, DesignError, Infeasible
from mixlaw.core.run import RunSpec
from mixlaw.core.tokens import parse_tokens, tokens_up
from mixlaw.design.affordable import DEFAULT_SHARE, ROUNDING, least_cost, sentence
from mixlaw.design.planning import KEYS
from mixlaw.design.spending import FIRST_PART, Beside, Spending
from mixlaw.laws import find

if TYPE_CHECKING:
    from mixlaw.api.project import Project
    from mixlaw.config.plan import PlanNode

CostOf = Callable[[Spending], float]
"""What a plan costs, in training tokens, where evaluations or merges are others."""

_MOST_BUDGET = 1e18
"""More tokens may not be written (`mixlaw.core.tokens`). No data."""


def is_limited(plan: PlanNode) -> bool:
    """Whether number and size of a plan's runs follow from what they may cost."""
    if plan.base_tokens is not None or plan.proxy_tokens is not None:
        return False
    return plan.runs is None if plan.design == "auto" else plan.design == "sequential" and plan.max_cost is not None


def spending_of(project: Project) -> Spending:
    """Return what a project's proxy runs may cost.

    The base model counts unless the plan leaves it out: whether it is evaluated may change with the first results, and
    the plan must not.

    Raises:
        ConfigError: the limit is in a unit that cannot be priced.
    """
    prices, plan, limit = project.prices, project.config.plan, _limit(project)
    share = limit.share(prices)
    if share is None:
        raise ConfigError(
            f"plan.max_cost is {plan.max_cost}; how many parameters {project.model_settings.name_or_path} has is not "
            "known.",
            "Write a percentage of the final run, such as 10%.",
        )
    fit = project.config.fit
    # Further batches rest on draws of the law's parameters.
    alone = fit.procedure != "joint" or (
        fit.law != "auto" and find(fit.law, project.file and project.file.parent).law is None
    )
    return Spending(
        prices.tokens_for(share),
        prices.evaluation_as_tokens,
        prices.tokens_for(1.0),
        first_part=1.0 if alone else FIRST_PART,
        given=plan.max_cost is not None,
        points=tuple(plan.points or ()),
        merged=plan.merges > 0,
        beside=Beside(plan.base_model is not False, plan.replicates, plan.merges, plan.expert_tokens),
        remedies=lambda cost_of: remedies(project, cost_of),
    )


def require_within(project: Project, specs: Sequence[RunSpec]) -> None:
    """Raise DesignError where planned runs, the base model's among them, cost more than a limit that the user gave."""
    if project.config.plan.max_cost is None:
        return
    spending, cost = project.spending, project.prices.runs(specs).share
    limit = spending.most_tokens / spending.final_tokens
    if cost <= limit * (1 + ROUNDING):
        return
    runs = [(spec.name, spec.tokens) for spec in trained(specs)]

    def cost_of(other: Spending) -> float:
        # Repeats are among the runs.
        whole = replace(other, beside=replace(other.beside, replicates=0)).whole(runs)
        return max(whole, cost * spending.final_tokens) if other is spending else whole

    raise DesignError(
        f"These {len(specs)} runs cost {percent_up(cost)} of the final run; plan.max_cost is {100 * limit:.4g} %.",
        sentence(remedies(project, cost_of)),
    )


def remedies(project: Project, cost_of: CostOf) -> list[str]:
    """Return the changes of a configuration of which each one keeps a plan within its limit, as clauses.

    Args:
        project: whose plan costs too much.
        cost_of: what the plan costs under other spending.
    """
    plan, spending = project.config.plan, project.spending
    most = spending.most_tokens * (1 + ROUNDING)
    cost, raised, found = cost_of(spending), None, []
    if spending.given:
        raised = _limit(project).raised(cost / spending.final_tokens, project.prices)
        found += [f"raise plan.max_cost to {raised}"] if raised else []
    found += _larger_budget(project, cost)
    rows = _most_below(
        _rows(project), lambda n: cost_of(replace(spending, evaluation_tokens=_evaluation(project, n))) <= most
    )
    found += [f"write train.eval_rows: {rows}"] if rows else []
    merges = _most_below(plan.merges, lambda n: cost_of(_with_merges(spending, n)) <= most)
    if merges:
        found.append(f"lower plan.merges to {merges}")
    elif plan.merges and cost_of(_with_merges(spending, 0)) <= most:
        found.append(f"leave out {' and '.join(f'plan.{key}' for key in ('merges', *_of_merges(plan)))}")
    if not is_limited(plan) and least_cost(len(project.available_tokens), spending) <= most:
        keys = [key for key in ("runs", "base_tokens", *_of_other_designs()) if getattr(plan, key) is not None]
        found.append(f"use design: auto{' without ' if keys else ''}{' and '.join(f'plan.{key}' for key in keys)}")
    if spending.given and not raised:
        found.append("leave out plan.max_cost")
    return found


def _limit(project: Project) -> MostCost:
    wish = project.config.plan.max_cost
    return MostCost(DEFAULT_SHARE) if wish is None else MostCost.parse(wish, "plan.max_cost")


def _larger_budget(project: Project, cost: float) -> list[str]:
    """Return the budget at which a plan of this cost is within a limit that grows with it, where the data supply it."""
    plan, spending = project.config.plan, project.spending
    sized_by_budget = not is_limited(plan) and plan.base_tokens is None
    enough = project.config.budget_tokens * cost / spending.most_tokens
    if _limit(project).unit != "share" or sized_by_budget or enough > _MOST_BUDGET:
        return []
    text = tokens_up(enough)
    try:
        project.solve_wishes.constraints.polytope(tuple(project.config.domains), parse_tokens(text))
    except Infeasible:
        return []
    return [f"raise budget to {text}"]


def _rows(project: Project) -> int:
    """Return how many rows of a domain are evaluated at most."""
    held_out = max(len(tokens.validation.row_tokens) for tokens in project.prepared.values())
    return min(project.train_settings.eval_rows or held_out, held_out)


def _evaluation(project: Project, rows: int) -> float:
    """Return what an evaluation of so many rows a domain costs, in training tokens."""
    return replace(project.prices, evaluation_tokens=evaluated_tokens(project, rows)).evaluation_as_tokens


def _with_merges(spending: Spending, count: int) -> Spending:
    return replace(spending, merged=count > 0, beside=replace(spending.beside, merges=count))


def _most_below(number: int, allowed: Callable[[int], bool]) -> int:
    """Return the largest whole number from 1 to below a number that is allowed, where smaller ones are, too; else 0."""
    low, high = 0, number
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low


def _of_merges(plan: PlanNode) -> list[str]:
    """Return the keys that a plan has for its merges alone, which may not stand without them."""
    fields = type(plan).model_fields
    keys = ("expert_tokens", "expert_general", "merge_scale")
    return [key for key in keys if getattr(plan, key) != fields[key].default]


def _of_other_designs() -> list[str]:
    """Return the keys of a plan that `sequential` within a limit has no use for."""
    return ["proxy_tokens", *(key for key, designs in KEYS.items() if "sequential" not in designs)]
