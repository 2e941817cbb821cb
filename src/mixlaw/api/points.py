"""Points along the runs of a study's plan (`plan: {points: [0.25, 0.5]}`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mixlaw.core.errors import ConfigError
from mixlaw.design.affordable import points_along

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
