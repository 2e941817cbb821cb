"""What trackers show of a solution, as configuration and values."""

from __future__ import annotations

from typing import Any

from mixlaw.api.project import Project
from mixlaw.fit import Fit
from mixlaw.solve import Solution


def solution_values(project: Project, fitted: Fit, solution: Solution) -> tuple[dict[str, Any], dict[str, float]]:
    """Return configuration and final values of the run named `solution`.

    The values are `weight/<domain>` (shares), `tokens/<domain>`, `epochs/<domain>`, `predicted/<target>`,
    `predicted_low/<target>` and `predicted_high/<target>` (nats per supervised token), `expected_regret/mean` and
    `expected_regret/p95` (nats) and `total_loss` (nats).
    """
    config = {
        "law": fitted.law,
        "runs": len(fitted),
        "budget_tokens": solution.budget_tokens,
        "solve": project.config.solve.model_dump(exclude_none=True),
    }
    final: dict[str, float] = {"total_loss": solution.total_loss}
    for kind in ("weights", "tokens", "epochs"):
        name = "weight" if kind == "weights" else kind
        final |= {f"{name}/{domain}": value for domain, value in getattr(solution, kind).items()}
    for target, band in solution.predicted.items():
        final |= {f"predicted/{target}": band["mean"]}
        final |= {f"predicted_{side}/{target}": band[side] for side in ("low", "high")}
    return config, final | {f"expected_regret/{name}": value for name, value in solution.expected_regret.items()}
