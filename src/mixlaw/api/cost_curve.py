"""Cost against expected regret: by the priors before any run, by the fit's draws after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mixlaw.api.merged import trained
from mixlaw.api.sequential import Terms, further_runs
from mixlaw.core.cost import percent
from mixlaw.core.documents import read_document
from mixlaw.core.errors import MixlawError
from mixlaw.design.affordable import Planner, worth_tokens
from mixlaw.solve import Solution

if TYPE_CHECKING:
    from mixlaw.api.project import Project

_FURTHER = 12
"""Runs of which it is said what they would remove. No data."""

_SHOWN = 5
"""Rows of the table. No data."""


@dataclass(frozen=True)
class CostPoint:
    """What a plan of some cost would leave of the regret.

    Attributes:
        cost: share of the final run, from the first proxy run on.
        runs: how many runs cost this.
        regret_nats: expected regret at the budget, nats.
        worth: share of the final run that this regret is worth: how much longer that run would have to be for as many
            nats.
    """

    cost: float
    runs: int
    regret_nats: float
    worth: float


@dataclass(frozen=True)
class CostCurve:
    """Cost against expected regret.

    Attributes:
        points: of rising cost, each with less regret.
        limit: the most that the runs may cost, a share of the final run.
        measured: whether it is of the fit; otherwise of the priors.
    """

    points: Sequence[CostPoint]
    limit: float
    measured: bool

    def near(self, cost: float) -> CostPoint:
        """Return the point whose cost, a share of the final run, is nearest."""
        return min(self.points, key=lambda point: abs(point.cost - cost))

    def table(self) -> tuple[str, list[str], list[list[str]]]:
        """Return title, columns and rows."""
        last = len(self.points) - 1
        places = sorted({round(last * i / (_SHOWN - 1)) for i in range(_SHOWN)})
        shown = [self.points[place] for place in places]
        rows = []
        for i, point in enumerate(shown):
            gain = ""
            if i + 1 < len(shown):
                after = shown[i + 1]
                gain = f"{(point.regret_nats - after.regret_nats) / (after.cost - point.cost) / 100:.2g}"
            worth = percent(point.worth)
            rows.append([percent(point.cost), str(point.runs), f"{point.regret_nats:.2g}", worth, gain])
        by = "the runs so far" if self.measured else "before any run"
        title = f"Cost against expected regret ({by}); the limit is {percent(self.limit)} of the final run"
        return title, ["cost", "runs", "regret, nats", "worth", "next 1 % removes, nats"], rows

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"limit": self.limit, "measured": self.measured, "points": [asdict(point) for point in self.points]}


def cost_curve(project: Project) -> CostCurve | None:
    """Return the curve of a project whose runs follow from what they may cost; None for others, and for one point."""
    if not project.is_limited:
        return None
    spending = project.spending
    limit = spending.most_tokens / spending.final_tokens
    points, measured = _after(project), True
    if points is None:
        points, measured = _before(project), False
    return CostCurve(points, limit, measured) if len(points) > 1 else None


def _before(project: Project) -> list[CostPoint]:
    spending = project.spending
    planner = Planner(project.available_tokens, project.config.budget_tokens, spending, project.config.plan.seed)
    return [
        CostPoint(point.cost_tokens / spending.final_tokens, point.runs, point.regret_nats, worth)
        for point in project.start.curve
        if (worth := worth_tokens(point.regret_nats, planner.slope, 1.0)) == worth
    ]


def _after(project: Project) -> list[CostPoint] | None:
    """Return what further runs would remove of the solution's regret; None where there is no solution of these runs."""
    folder, specs, spending = project.study.folder, project.planned[0], project.spending
    try:
        solution = read_document(folder / "solution.json", "solution", Solution.from_json)
        fit = project.fit.of_domains(list(project.config.domains))
        spent = project.prices.runs(specs).share
        terms = Terms(project.base_tokens, _FURTHER, project.available_tokens, seed=project.config.plan.seed)
        found = further_runs(fit, solution, replace(spending, most_tokens=math.inf), terms)
    except MixlawError:
        return None
    count = len(trained(specs))
    points = [CostPoint(spent, count, found.expected_nats, found.worth(found.expected_nats))]
    for n in range(1, len(found.mixtures) + 1):
        cost = spent + spending.cost(found.mixtures[:n]) / spending.final_tokens
        regret = found.expected_nats - found.falls[n - 1]
        points.append(CostPoint(cost, count + n, regret, found.worth(regret)))
    return points
