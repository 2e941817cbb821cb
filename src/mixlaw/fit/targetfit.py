"""One target's fitted law: values, uncertainty, status and diagnostics.

Shape letters: S posterior draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.fit.fitted import Scatter
from mixlaw.fit.information import Information


@dataclass(frozen=True)
class TargetFit:
    """One target's fitted law.

    Attributes:
        parameters: name -> value, tokens in millions.
        draws: name -> (S,) posterior draws of the same parameters.
        noise_nats: standard deviation of a run's loss around the law.
        status: `converged`, `at_bound`, `not_identifiable` or `worse_than_mean`.
        message: one sentence that says why.
        at_bound: parameters that ended at a bound.
        cv_mre: leave-one-run-out mean relative error, a share (0.01 = 1 %); NaN where too few runs.
        cv_mre_mean: the same for the predictor "the mean of the other runs".
        cv_spearman: rank correlation of left-out predictions with the losses.
        cv_r2: share of the variance of the losses that left-out predictions explain.
        scatter_shape: (power, base, span) of `mixlaw.fit.fitted.Scatter`, with `noise_nats`.
        information: what the runs say about the parameters; None for a regressor.
    """

    parameters: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    noise_nats: float
    status: str
    message: str
    at_bound: tuple[str, ...] = ()
    cv_mre: float = float("nan")
    cv_mre_mean: float = float("nan")
    cv_spearman: float = float("nan")
    cv_r2: float = float("nan")
    scatter_shape: tuple[float, float, float] = (0.0, 0.0, 1.0)
    information: Information | None = None

    @property
    def scatter(self) -> Scatter:
        """How far runs lie from the law."""
        return Scatter(self.noise_nats, *self.scatter_shape)

    @property
    def identifiable(self) -> bool:
        """Whether the runs determine the parameters."""
        return self.status != "not_identifiable"

    def diagnostics(self) -> dict[str, Any]:
        """Return the JSON form of how far the fit can be trusted; a number that does not exist is None."""
        return {
            **{key: number(getattr(self, key)) for key in _CHECKED},
            "identifiable": self.identifiable,
            "at_bound": list(self.at_bound),
            "information": None if self.information is None else self.information.to_json(),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], name: str) -> TargetFit:
        """Return the fit of one target from the JSON form of the whole (`Fit.to_json`).

        Raises:
            KeyError, TypeError, ValueError, AttributeError: something is missing, of the wrong kind, or does not fit.
        """
        parameters = {p: float(v) for p, v in value["parameters"][name].items()}
        draws = {p: np.array(values, float) for p, values in value["draws"][name].items()}
        shapes = {values.shape for values in draws.values()}
        if set(draws) != set(parameters) or len(shapes) > 1 or any(len(shape) != 1 or not shape[0] for shape in shapes):
            raise ValueError(f"the draws of '{name}' are not of its parameters")
        power, base, span = map(float, value["scatter"][name])
        diagnostics = value["diagnostics"][name]
        known = diagnostics["information"]
        return TargetFit(
            parameters,
            draws,
            float(value["noise"][name]),
            str(value["status"][name]),
            str(value["messages"][name]),
            tuple(diagnostics["at_bound"]),
            *(to_float(diagnostics[key]) for key in _CHECKED),
            scatter_shape=(power, base, span),
            information=None if known is None else Information.from_json(known),
        )


_CHECKED = ("cv_mre", "cv_mre_mean", "cv_spearman", "cv_r2")


def number(value: float) -> float | None:
    """Return a number for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None


def to_float(value: float | None) -> float:
    """Return a number from JSON; NaN where there is none."""
    return float("nan") if value is None else float(value)
