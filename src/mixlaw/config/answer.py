"""The parts `fit` and `solve` of mix.yaml: how the runs become an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from mixlaw.config.base import Node
from mixlaw.config.values import Percent, Share
from mixlaw.core.directions import direction_of
from mixlaw.core.errors import ConfigError


def _known_law(value: str, info: ValidationInfo) -> str:
    from mixlaw.laws import find

    if value != "auto":
        try:
            find(value, (info.context or {}).get("folder"))
        except ConfigError as error:
            raise ValueError(f"{error.message} {error.hint}") from None
    return value


def _known_directions(value: dict[str, str]) -> dict[str, str]:
    for name, direction in value.items():
        try:
            direction_of(name, direction)
        except ConfigError as error:
            raise ValueError(f"{error.message} {error.hint}") from None
    return value


class FitNode(Node):
    """Which law, and how it is fitted."""

    law: Annotated[str, AfterValidator(_known_law)] = "auto"
    procedure: Literal["joint", "own_curve", "published"] = "joint"
    repetition: Literal["auto", "off"] | Annotated[float, Field(gt=0)] = "auto"
    metrics: Annotated[dict[str, str], AfterValidator(_known_directions)] = Field(default_factory=dict)


class SolveNode(Node):
    """What is minimised, and under which constraints; see `mixlaw.solve.solve_mixture` (`floor` is its `ceilings`)."""

    objective: Literal["mean", "weighted", "max"] = "mean"
    target_weight: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    floor: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    no_worse: dict[str, Percent] = Field(default_factory=dict)
    certainty: Annotated[Percent, Field(ge=50, le=99)] | None = None
    reference: Literal["natural", "equal", "base"] | dict[str, Share] | None = None
    groups: list[str] = Field(default_factory=list)
    prior: Literal["natural", "equal"] | dict[str, Share] | None = None
    prior_strength: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    min: dict[str, Share] = Field(default_factory=dict)
    max: dict[str, Share] = Field(default_factory=dict)
    max_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 4.0

    @model_validator(mode="before")
    @classmethod
    def _the_reference_beside_its_targets(cls, tree: Any) -> Any:
        """Take `no_worse: {chat: 1 %, reference: base}` as `reference: base`, unless a number says it is a domain."""
        targets = tree.get("no_worse") if isinstance(tree, Mapping) else None
        if not isinstance(targets, Mapping) or tree.get("reference") is not None:
            return tree
        reference = targets.get("reference")
        if not isinstance(reference, Mapping) and reference not in ("natural", "equal", "base"):
            return tree
        rest = {name: percent for name, percent in targets.items() if name != "reference"}
        return {**tree, "no_worse": rest, "reference": reference}
