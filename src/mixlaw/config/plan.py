"""`plan:` of mix.yaml: which proxy runs to train, and what they may cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mixlaw.config.base import Node
from mixlaw.config.values import Share, TokenList, Tokens
from mixlaw.core.cost import MostCost
from mixlaw.core.errors import ConfigError

MOST_RUNS = 10_000
"""Twenty times the runs of the largest published sweep: a mistyped number, for which a design would take hours and
gigabytes."""

MERGE_SCALE = 1.5
"""By how much the sum of the experts' differences is stretched, unless the plan says so. Chosen on: merges of the
demo's three domains with experts of a quarter of the runs' tokens (docs/lab.md), where 1 ranks mixtures worse."""


def _most_cost(value: Any) -> str:
    """Return a limit of cost as it was written; it is read by `mixlaw.core.cost.MostCost`."""
    text = value if isinstance(value, str) else f"{value}"
    try:
        MostCost.parse(text)
    except ConfigError as error:
        raise ValueError(f"{error.message.removeprefix('max_cost is ')} {error.hint}") from None
    return text


def _known_design(value: str) -> str:
    from mixlaw.design.planning import design_names

    if value not in design_names():
        *others, last = map(repr, design_names())
        raise ValueError(f"Input should be {', '.join(others)} or {last}")
    return value


def _apart(value: list[float]) -> list[float]:
    from mixlaw.train.points import problem_of

    points = sorted(set(value))
    if problem := problem_of(points):
        raise ValueError(f"{problem}; for example [0.25, 0.5]")
    return points


class PlanNode(Node):
    """Which proxy runs to train; the keys of some designs alone are those of `mixlaw.design.planning.Wishes`.

    `max_cost` is the most that all runs may cost (`mixlaw.core.cost.MostCost`).
    With `match_epochs` a domain that the budget would repeat is repeated by the runs (`mixlaw.design.repetition`).
    With `base_model` the model is evaluated once as it is, a run of no tokens; `auto`: where the trainer can.
    `points` are shares of its steps after which a run is evaluated on its way (`mixlaw.train.points`).
    With `probe` a few steps are timed before the first run, to say how long all will take (`mixlaw.study.probe`).
    `merges` and what belongs to them: see `mixlaw.design.merges`.
    """

    design: Annotated[str, AfterValidator(_known_design)] = "auto"
    runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] | None = None
    base_tokens: Tokens | None = None
    max_cost: Annotated[str, BeforeValidator(_most_cost)] | None = None
    replicates: Annotated[int, Field(ge=0, le=MOST_RUNS)] = 0
    levels: list[Annotated[float, Field(gt=0)]] | None = None
    run_tokens: TokenList | None = None
    min_share: Share | None = None
    proxy_tokens: Tokens | None = None
    batch: Annotated[int, Field(ge=1)] | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    match_epochs: bool = True
    base_model: bool | Literal["auto"] = "auto"
    points: Annotated[list[float], AfterValidator(_apart)] | None = None
    probe: bool = True
    merges: Annotated[int, Field(ge=0, le=MOST_RUNS)] = 0
    expert_tokens: Tokens | None = None
    expert_general: Annotated[float, Field(ge=0, lt=1)] = 0.0
    merge_scale: Annotated[float, Field(gt=0, le=10)] = MERGE_SCALE
    seed: Annotated[int, Field(gt=-(2**63), lt=2**63)] = 0

    @model_validator(mode="after")
    def _experts_are_for_merges(self) -> PlanNode:
        asked = {"expert_tokens": self.expert_tokens is not None, "expert_general": self.expert_general > 0}
        asked |= {"merge_scale": self.merge_scale != MERGE_SCALE}
        if not self.merges and any(asked.values()):
            key = next(name for name, given in asked.items() if given)
            raise ValueError(f"{key} is about merged models; say how many with merges, for example merges: 40")
        return self
