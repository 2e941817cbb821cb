"""MLflow: a SQLite file in the study, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import logging
import os
import re
import time
from itertools import islice
from pathlib import Path
from typing import Any

from mixlaw.trackers.tracker import LoggedRun, flat, package_of

_KEY = "mixlaw.id"
_METRICS_A_CALL = 1000
_PARAMS_A_CALL = 100
_LONGEST_PARAM = 500


class Mlflow:
    """Writes an experiment with the study's name.

    Args:
        folder: the study's folder of trackers.
        study: the experiment's name, unless MLFLOW_EXPERIMENT_NAME says another.
    """

    def __init__(self, folder: Path, study: str) -> None:
        mlflow = load_mlflow("report_to: mlflow")
        self._entities = package_of("mlflow.entities", "mlflow", "report_to: mlflow")
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            place = (folder / "mlflow").resolve()
            place.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{place / 'mlflow.db'}", (place / "artifacts").as_uri()
        self._client = mlflow.MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name, artifacts)

    def write(self, run: LoggedRun) -> None:
        """Log the run; one with the same key, from an attempt that was cut off, is deleted first."""
        for earlier in self._client.search_runs([self._experiment], f"tags.`{_KEY}` = '{run.key}'"):
            self._client.delete_run(earlier.info.run_id)
        tags = {_KEY: run.key, "mixlaw.study": run.group}
        there = self._client.create_run(self._experiment, tags=tags, run_name=run.name).info.run_id
        params = iter([self._entities.Param(_allowed(n), str(v)[:_LONGEST_PARAM]) for n, v in flat(run.config)])
        while batch := list(islice(params, _PARAMS_A_CALL)):
            self._client.log_batch(there, params=batch)
        metrics = iter(self._metrics(run))
        while batch := list(islice(metrics, _METRICS_A_CALL)):
            self._client.log_batch(there, metrics=batch)
        self._client.set_terminated(there)

    def _metrics(self, run: LoggedRun) -> list[Any]:
        now = int(time.time() * 1000)
        rows = [*run.curve, (run.last_step, run.final)]
        return [
            self._entities.Metric(_allowed(name), float(value), now, step)
            for step, values in rows
            for name, value in values.items()
        ]


def load_mlflow(purpose: str) -> Any:
    """Return the package, told to be quiet, to keep to itself, and not to retry for minutes what does not answer.

    Args:
        purpose: what needs it, as the subject of a sentence.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    mlflow = package_of("mlflow", "mlflow", purpose)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def _allowed(name: str) -> str:
    """Return a name with MLflow's characters only."""
    return re.sub(r"[^\w./: -]", "_", name, flags=re.ASCII)[:250]
