"""Experiment trackers: what the study's files say of its runs, shown where a team looks at training.

Trackers are written to, never read: the study's files stay the source of truth, so that nothing is lost or changed
with a tracker that fails, is missing or is left out. `run_lists` reads other people's runs, for `mixlaw adopt`.

| name | where, unless the environment says otherwise | what does |
|---|---|---|
| `wandb` | `<study>/trackers/wandb`, offline | `WANDB_MODE`, `WANDB_PROJECT`, `WANDB_ENTITY` |
| `mlflow` | `<study>/trackers/mlflow/mlflow.db` | `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` |
| `tensorboard` | `<study>/trackers/tensorboard` | - |
| `trackio` | `<study>/trackers/trackio` | `TRACKIO_DIR`, `TRACKIO_SPACE_ID`, `TRACKIO_PROJECT` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mixlaw.trackers import mlflow, tensorboard, trackio, wandb
from mixlaw.trackers.tracker import Tracker, require

TRACKERS: dict[str, Callable[[Path, str], Tracker]] = {
    "wandb": wandb.Wandb,
    "mlflow": mlflow.Mlflow,
    "tensorboard": tensorboard.TensorBoard,
    "trackio": trackio.Trackio,
}
"""Name -> what makes the tracker of a folder and a study's name; imports its package."""

PACKAGES = {
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboard",),
    "trackio": ("trackio",),
}
"""Name -> the packages that its extra brings."""


def require_packages(names: Iterable[str]) -> None:
    """Raise MissingExtra for the first tracker whose packages are not installed; imports none of them."""
    for name in names:
        for package in PACKAGES[name]:
            require(package, name, f"report_to: {name}")
