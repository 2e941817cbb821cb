"""The runs of a study's plan, with points along them (`plan: {points: [0.25, 0.5]}`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mixlaw.core.errors import ConfigError
from mixlaw.core.run import RunSpec
from mixlaw.core.tokens import format_tokens
from mixlaw.design.repetition import matched_pools
from mixlaw.design.spending import LEAST_POINT_TOKENS, points_along

if TYPE_CHECKING:
    from mixlaw.api.project import Project


def points_of(project: Project, tokens: Mapping[str, int] | None = None) -> tuple[float, ...]:
    """Return the points of a run, its end included; none where the plan asks for none.

    All runs of such a plan have the same schedule, so that what the law says holds for those that are compared, too.

    Args:
        project: whose plan it is.
        tokens: of a run that feeds the fit; None for another one, which has its end alone.

    Raises:
        ConfigError: the trainer cannot evaluate a run on its way.
    """
    train, shares = project.config.train, project.config.plan.points
    if not shares:
        return ()
    if not train.trainer_class.points:
        raise ConfigError(
            f"plan.points is {shares}, but the trainer '{train.trainer_class.name}' cannot evaluate a run on its way.",
            "Leave it out, or use train: {trainer: native}.",
        )
    return (*(() if tokens is None else points_along(shares, sum(tokens.values()))), 1.0)


def proxy_run(project: Project, name: str, tokens: Mapping[str, int], seed: int) -> RunSpec:
    """Return a run of a project's plan that feeds the fit, with its points and what it may draw from."""
    config, pools = project.config, {}
    if config.plan.match_epochs:
        pools = matched_pools(tokens, project.available_tokens, config.budget_tokens, config.solve.max_epochs)
    points = points_of(project, tokens)
    return RunSpec(name, tokens, seed, project.trainer_config.inputs, pools=pools, points=points)


def said_of_points(specs: Sequence[RunSpec]) -> list[str]:
    """Return what the runs of a plan with points are like; nothing of others."""
    if not any(spec.points for spec in specs):
        return []
    count, of = sum(len(spec.points) - 1 for spec in specs if spec.points), sum(len(s.points) > 1 for s in specs)
    return [
        f"points: {count} points along {of} of the runs, from {format_tokens(LEAST_POINT_TOKENS)} tokens on; "
        "every run has a constant learning rate, and its last weights are averaged."
    ]
