"""What `plan` shows: the runs to do, their states, and what they promise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from mixlaw.api.cost_curve import CostCurve
from mixlaw.api.costs import Spent
from mixlaw.api.merged import trained
from mixlaw.core.notebook import Tabular, shares
from mixlaw.core.plurals import plural
from mixlaw.core.run import EXPERT, RunSpec
from mixlaw.core.tokens import format_tokens
from mixlaw.design.information import NOISE_NATS
from mixlaw.study.status import RunStatus


@dataclass(frozen=True, repr=False)
class Plan(Tabular):
    """The runs to do.

    Attributes:
        runs: their specs; the base model's, which trains nothing, is the last.
        statuses: their states, in the same order.
        notes: sentences about what was decided.
        estimated_s: seconds until all are done, from the pace of the finished ones; None before the first.
        regret_nats: expected regret at the budget after none, one, ... all of the runs, as estimated before
            any is trained (`mixlaw.design.decision.regret_curve`).
        noise_nats: standard deviation of a loss between runs of one mixture, which the expected regret rests on.
        noise_measured: whether it was measured in finished runs of the study; otherwise it is an assumption.
        cost: of the runs, as a share of the final run.
        curve: cost against expected regret, where number and size of the runs follow from what they may cost.
    """

    runs: list[RunSpec]
    statuses: list[RunStatus]
    notes: list[str]
    estimated_s: float | None
    regret_nats: list[float] = field(default_factory=list)
    noise_nats: float = NOISE_NATS
    noise_measured: bool = False
    cost: Spent | None = None
    curve: CostCurve | None = None

    def _drawn(self) -> tuple[Any, ...]:
        title, columns, rows, notes = self.table()
        return (
            title,
            [*columns, "mixture"],
            [[*r, shares(run.tokens)] for r, run in zip(rows, self.runs, strict=True)],
            notes,
        )

    def table(self) -> tuple[str, list[str], list[list[Any]], list[str]]:
        """Return title, columns, rows and notes, with one row per run."""
        domains = list(self.runs[0].tokens) if self.runs else []
        rows: list[list[Any]] = [
            [
                run.name,
                *(format_tokens(run.tokens.get(name, 0)) for name in domains),
                format_tokens(status.tokens),
                status.state,
            ]
            for run, status in zip(self.runs, self.statuses, strict=True)
        ]
        trained = sum(run.trained_tokens for run in self.runs)
        title = f"{self._counted()}, {format_tokens(trained)} training tokens"
        if self.cost is not None:
            title += f": {self.cost.total}"
        return title, ["run", *domains, "total", "state"], rows, self.notes

    def _counted(self) -> str:
        """Return how many of each kind there are: `9 runs, 3 experts, 12 merged models and the base model`."""
        experts = sum(run.role == EXPERT for run in self.runs)
        merged = sum(run.merge is not None for run in self.runs)
        kinds = [plural(len(self.trained), "run")]
        kinds += [plural(count, what) for count, what in ((experts, "expert"), (merged, "merged model")) if count]
        base = " and the base model" if any(run.untrained for run in self.runs) else ""
        return ", ".join(kinds) + base

    @property
    def spent(self) -> list[int]:
        """Training tokens of none, one, ... all of the runs."""
        return [0, *itertools.accumulate(run.trained_tokens for run in self.trained)]

    @property
    def trained(self) -> list[RunSpec]:
        """The runs that train and feed the fit: neither the base model nor experts and their merges."""
        return trained(self.runs)

    @property
    def regret_title(self) -> str:
        """What the expected regret rests on."""
        scatter = f"scatter by {self.noise_nats:.2g} nats"
        if self.noise_measured:
            return f"Expected regret at the budget, with runs that {scatter} (measured)"
        return f"Expected regret at the budget, if runs {scatter} (assumed)"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "runs": [
                {"name": r.name, "id": r.id, "tokens": dict(r.tokens), "state": s.state}
                for r, s in zip(self.runs, self.statuses, strict=True)
            ],
            "total_tokens": sum(s.tokens for s in self.statuses),
            "pending": sum(s.state != "done" for s in self.statuses),
            "estimated_s": self.estimated_s,
            "cost": self.cost and self.cost.to_json(),
            "cost_curve": self.curve and self.curve.to_json(),
            "expected_regret": [
                {"runs": n, "tokens": tokens, "nats": regret}
                for n, (tokens, regret) in enumerate(zip(self.spent, self.regret_nats, strict=False))
            ],
            "noise": {"nats": self.noise_nats, "measured": self.noise_measured},
            "notes": self.notes,
        }
