"""The part `report_to` of mix.yaml: trackers that are told of finished runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from mixlaw.config.base import suggest

TRACKERS = ("wandb", "mlflow", "tensorboard", "trackio")
"""What `report_to` may name; see `mixlaw.trackers`."""


def _trackers(value: Any) -> tuple[str, ...]:
    names = () if value in ("none", None) else value if isinstance(value, (list, tuple)) else (value,)
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"no tracker '{name}'{suggest(str(name), TRACKERS)}")
    return tuple(dict.fromkeys(names))


Trackers = Annotated[tuple[str, ...], BeforeValidator(_trackers)]
