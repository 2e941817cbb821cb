"""Other people's runs, as a tracker lists them: the columns of a table for `mixlaw adopt`.

    wandb:ENTITY/PROJECT[?group=NAME&tag=NAME&job_type=NAME]     a project's runs, all or some
    mlflow:EXPERIMENT[@TRACKING_URI]                             an experiment's; default MLFLOW_TRACKING_URI

A row is a finished run: its name in the column `run`, metrics (the summary, in Weights & Biases) by their names, then
`config.<name>` or `params.<name>` with dots between the levels. Unfinished runs are left out: their last losses are no
results.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from mixlaw.core.errors import ConfigError, DataError, MixlawError
from mixlaw.trackers.mlflow import load_mlflow
from mixlaw.trackers.tracker import flat, package_of

_WANDB_FILTERS = {"group": "group", "tag": "tags", "job_type": "jobType"}
_MLFLOW = re.compile(r"(?P<experiment>.+?)(?:@(?P<uri>[a-z][a-z0-9+.-]*:.*|databricks))?")
_LONGEST_REASON = 300


@dataclass(frozen=True)
class RunList:
    """The finished runs that a tracker has.

    Attributes:
        columns: name -> a value a run; None where a run has none.
        places: what messages call each run: its path or id.
        unfinished: how many runs were left out.
    """

    columns: dict[str, list[Any]]
    places: list[str]
    unfinished: int


def is_run_list(source: object) -> bool:
    """Whether a source names a tracker's run list, not a file."""
    return isinstance(source, str) and source.startswith(("wandb:", "mlflow:"))


def fetch_runs(source: str) -> RunList:
    """Return the finished runs that a source names.

    Args:
        source: as above.

    Raises:
        ConfigError: the source is not written as it must be.
        DataError: the tracker cannot be asked, knows no such project or experiment, or it has no finished run.
        MissingExtra: the tracker's package is not installed.
    """
    kind, _, place = source.partition(":")
    with contextlib.redirect_stdout(io.StringIO()):  # stdout is for results
        found = _wandb_runs(place) if kind == "wandb" else _mlflow_runs(place)
    rows = [(run, where) for run, where in found if run is not None]
    if not found:
        raise DataError(f"{source} has no runs.", "Check the name and the filters.")
    if not rows:
        raise DataError(f"None of the {len(found)} runs of {source} is finished.", "Wait until some are finished.")
    names = dict.fromkeys(name for run, _ in rows for name in run)
    columns = {name: [run.get(name) for run, _ in rows] for name in names}
    return RunList(columns, [where for _, where in rows], len(found) - len(rows))


def _row(name: str, metrics: Mapping[str, Any], kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's values by column; what a tracker logs by itself (`_step`) and what is no value is left out."""
    values = {key: value for key, value in flat(metrics) if isinstance(value, (int, float, str)) and key[0] != "_"}
    return {"run": name} | values | {f"{kind}.{key}": value for key, value in flat(config)} | {"run": name}


def _wandb_runs(place: str) -> list[tuple[dict[str, Any] | None, str]]:
    """Return row and path of each run; no row for an unfinished one."""
    path, _, query = place.partition("?")
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", path):
        raise ConfigError(f"'wandb:{place}' does not name a project.", "Write wandb:ENTITY/PROJECT.")
    filters: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _WANDB_FILTERS:
            raise ConfigError(f"'wandb:{place}': there is no filter '{key}'.", f"Known: {', '.join(_WANDB_FILTERS)}.")
        filters[_WANDB_FILTERS[key]] = {"$in": [value]} if key == "tag" else value
    wandb = package_of("wandb", "wandb", "Reading a Weights & Biases project")
    try:
        api = wandb.Api()
        whole = {"lazy": False} if "lazy" in inspect.signature(api.runs).parameters else {}  # else a request a run
        runs = list(api.runs(path, filters=filters, **whole))
        return [
            (_row(run.name, run.summary, "config", run.config) if run.state == "finished" else None, f"{path}/{run.id}")
            for run in runs
        ]
    except wandb.errors.UsageError:
        raise DataError(
            "You are not logged in to Weights & Biases.", "Run `wandb login`, or set WANDB_API_KEY."
        ) from None
    except wandb.errors.CommError as error:
        raise DataError(
            f"Weights & Biases cannot be reached for {path}: {_short(error)}",
            "Check the names, the network, and with `wandb login --verify` the key.",
        ) from None
    except ValueError as error:
        raise DataError(
            f"Weights & Biases has no project {path}, or you have no access to it: {_short(error)}",
            "Check both names; projects are listed under https://wandb.ai/ENTITY/projects.",
        ) from None


def _mlflow_runs(place: str) -> list[tuple[dict[str, Any] | None, str]]:
    """Return row and id of each run; no row for an unfinished one."""
    match = _MLFLOW.fullmatch(place)
    if match is None:
        raise ConfigError("'mlflow:' does not name an experiment.", "Write mlflow:EXPERIMENT or mlflow:EXPERIMENT@URI.")
    name, uri = match["experiment"], match["uri"]
    mlflow = load_mlflow("Reading an MLflow experiment")
    if uri is None and not mlflow.is_tracking_uri_set():
        raise ConfigError(
            f"'mlflow:{place}' does not name a tracking server, and MLFLOW_TRACKING_URI is not set.",
            f"Write mlflow:{name}@sqlite:////path/mlflow.db or mlflow:{name}@https://server.",
        )
    uri = uri or mlflow.get_tracking_uri()
    _require_local(uri)
    try:
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            known = ", ".join(repr(e.name) for e in client.search_experiments(max_results=12)) or "none"
            raise DataError(f"MLflow at {uri} has no experiment '{name}'.", f"Known: {known}.")
        return [
            (_row(run.info.run_name or run.info.run_id, run.data.metrics, "params", run.data.params), run.info.run_id)
            if run.info.status == "FINISHED"
            else (None, run.info.run_id)
            for run in _pages(client, experiment.experiment_id)
        ]
    except MixlawError:
        raise
    except Exception as error:  # MlflowException, and whatever its database driver or HTTP client raises
        raise DataError(
            f"MLflow at {uri} cannot be reached: {_short(error)}", "Check the address, the network and the login."
        ) from None


def _pages(client: Any, experiment: str) -> list[Any]:
    runs, token = [], None
    while True:
        page = client.search_runs([experiment], page_token=token)
        runs.extend(page)
        if not (token := page.token):
            return runs


def _require_local(uri: str) -> None:
    """Raise DataError for a local store that is not there: MLflow would make an empty one."""
    if uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # only read; newer versions refuse to write there
    for scheme in ("sqlite:///", "file://", "file:"):
        if uri.startswith(scheme):
            path = Path(uri.removeprefix(scheme).partition("?")[0])
            if not path.exists():
                raise DataError(
                    f"There is no MLflow store at {path}.", "Check the path; an absolute path has 4 slashes."
                )
            return


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())[:_LONGEST_REASON]
    return text if text.endswith(".") else f"{text}."
