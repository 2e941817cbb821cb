"""A fit in its JSON form, `fit.json`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError
from mixlaw.fit.result import Fit
from mixlaw.fit.targetfit import TargetFit, number, to_float
from mixlaw.laws import LAWS, REGRESSORS

FORMAT = 3
"""Of `fit.json`."""


def json_of(fit: Fit) -> dict[str, Any]:
    """Return everything: the summary, the draws and the runs."""
    return fit.summary() | {
        "format": FORMAT,
        "scatter": {name: list(fitted.scatter_shape) for name, fitted in fit.targets.items()},
        "draws": {
            name: {p: values.tolist() for p, values in fitted.draws.items()} for name, fitted in fit.targets.items()
        },
        "run_names": list(fit.run_names),
        "tokens": fit.tokens_RK.tolist(),
        "unique": None if fit.unique_RK is None else fit.unique_RK.tolist(),
        "log_sizes": None if fit.log_sizes_R is None else fit.log_sizes_R.tolist(),
        "losses": [[number(x) for x in row] for row in fit.losses_RJ.tolist()],
        "rival": None if fit.rival is None else json_of(fit.rival),
    }


def fit_from(value: Mapping[str, Any]) -> Fit:
    """Return the fit; raise DataError where a key is missing or of the wrong kind."""
    if not isinstance(value, Mapping):
        raise DataError("Not a fit file: it holds no keys.", "Write it with `mixlaw fit`.")
    if value.get("format", FORMAT) != FORMAT or value.get("law", "transfer") not in (*LAWS, *REGRESSORS):
        raise DataError(
            f"The fit file has format {value.get('format')} and law '{value.get('law')}'; this version reads "
            f"format {FORMAT}.",
            "Write it again with `mixlaw fit`.",
        )
    try:
        targets = {name: TargetFit.from_json(value, name) for name in value["targets"]}
        fit = Fit(
            value["law"],
            value["procedure"],
            tuple(value["domains"]),
            targets,
            np.array(value["tokens"], float),
            np.array([[to_float(x) for x in row] for row in value["losses"]]),
            tuple(value["run_names"]),
            tuple(value["warnings"]),
            value["choice"],
            float("inf") if value["repetition"] is None else float(value["repetition"]),
            None if value["unique"] is None else np.array(value["unique"], float),
            to_float(value["params"]),
            None if value["log_sizes"] is None else np.array(value["log_sizes"], float),
            bool(value["corrected"]),
            None if value.get("rival") is None else fit_from(value["rival"]),
        )
        _require_whole(fit)
        return fit
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"Not a fit file: {type(error).__name__} {error}.", "Write it with `mixlaw fit`.") from None


def _require_whole(fit: Fit) -> None:
    """Raise ValueError where the parts of a stored fit do not belong together, KeyError where one is missing."""
    R, K, J = len(fit.run_names), len(fit.domains), len(fit.targets)
    if not (R and K and J) or fit.tokens_RK.shape != (R, K) or fit.losses_RJ.shape != (R, J):
        raise ValueError(f"tokens and losses are not of {R} runs, {K} domains and {J} targets")
    if fit.unique_RK is not None and fit.unique_RK.shape != (R, K):
        raise ValueError(f"distinct tokens are not of {R} runs and {K} domains")
    if fit.log_sizes_R is not None and fit.log_sizes_R.shape != (R,):
        raise ValueError(f"model sizes are not of {R} runs")
    if fit.law in LAWS:
        for target in fit.targets:
            _ = fit.theta(target), fit.theta_draws(target)
    if fit.rival is not None and (fit.rival.domains, [*fit.rival.targets]) != (fit.domains, [*fit.targets]):
        raise ValueError("the rival is of other domains or targets")
