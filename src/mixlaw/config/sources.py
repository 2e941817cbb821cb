"""The parts of mix.yaml that say where rows are: a domain, and a collection that is several domains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mixlaw.config.base import Node, suggest
from mixlaw.core.domain import COLUMNS
from mixlaw.core.errors import ConfigError
from mixlaw.core.files import expanded


def _path(value: Any) -> Any:
    if isinstance(value, str) and any(ord(character) < 32 for character in value):
        raise ValueError("a path must not contain control characters")
    try:
        if isinstance(value, str):
            expanded(value)
        return value
    except ConfigError as error:
        raise ValueError(f"{error.message} {error.hint}") from None


def name_problem(name: str) -> str:
    """Return what is wrong with the name of a domain; empty where nothing is."""
    if not name.strip():
        return "a domain's name is empty"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return f"the domain's name {name!r} has control characters, such as the end of a line; remove them"
    return ""


Path_ = Annotated[str, Field(min_length=1), BeforeValidator(_path)]


def _values(value: Any) -> Any:
    return [
        json.dumps(v) if isinstance(v, (bool, int, float)) else v
        for v in (value if isinstance(value, list) else [value])
    ]


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Values = Annotated[list[str], Field(min_length=1), BeforeValidator(_values)]
"""Values of a column as text: a list, or one of them."""


class SourceNode(Node):
    """Where rows are; see `mixlaw.core.domain.Domain`. The licence is for the cards of what is made from them."""

    path: Path_
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    format: Literal["auto", "messages", "prompt_completion", "sharegpt", "alpaca"] = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    roles: dict[str, Literal["system", "developer", "user", "assistant", "tool"]] = Field(default_factory=dict)
    ignore: Annotated[list[str], BeforeValidator(_names)] = Field(default_factory=list)
    license: str | None = None

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in COLUMNS:
                raise ValueError(f"no format uses a column '{name}'{suggest(name, COLUMNS)}")
        return value


class DomainNode(SourceNode):
    """One dataset, or the rows of it whose column `split_by` has one of `values`."""

    split_by: Annotated[str, Field(min_length=1)] | None = None
    values: Values | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> DomainNode:
        if (self.split_by is None) != (self.values is None):
            raise ValueError(
                "split_by and values go together: a column, and those of its values that belong to this domain"
            )
        return self


class CollectionNode(SourceNode):
    """One dataset that is several domains: by the values of a column, or by a mapping of them (domain -> values)."""

    split_by: Annotated[str, Field(min_length=1)]
    domains: Annotated[dict[str, Values], Field(min_length=1)] | None = None

    def nodes(self) -> dict[str, DomainNode]:
        """Return its domains, as far as the mapping says them."""
        origin = self.model_dump(exclude={"domains"})
        return {name: DomainNode(**origin, values=values) for name, values in (self.domains or {}).items()}


def collection_problems(others: Mapping[str, DomainNode], nodes: Mapping[str, DomainNode]) -> list[str]:
    """Return what is wrong with the domains of a collection beside one another and beside the others."""
    problems, owners = [], {}
    for name, node in nodes.items():
        if wrong := name_problem(name):
            problems.append(f"collection.domains: {wrong}")
        # A resolved configuration holds the collection and its domains.
        if others.get(name, node) != node:
            problems.append(f"collection.domains.{name}: 'domains' also has '{name}'; rename one of them")
        for value in node.values or ():
            if (owner := owners.setdefault(value, name)) != name:
                problems.append(
                    f"collection.domains.{name}: the value '{value}' is in '{owner}' too; remove it from one of them"
                )
    return problems
