"""What every part of mix.yaml is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Node(BaseModel):
    """A part of mix.yaml: no unknown keys, and no changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
