"""What a fit is: parameters with their uncertainty, a status for every target, and predictions.

Shape letters: R runs, K domains, J targets, S posterior draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError, FitError
from mixlaw.core.files import read_json, write_json
from mixlaw.core.runtable import RunTable
from mixlaw.fit.fitted import Scatter
from mixlaw.laws import LAWS, REGRESSORS
from mixlaw.laws.base import Law

TOKEN_UNIT = 1e6
"""Tokens per unit in which dimensional law parameters (k) are reported: the paper counts millions."""

FORMAT = 2
"""Of `fit.json`."""

DRAWS = 200
"""Posterior draws kept with a fit."""

_BAND = (0.05, 0.95)
_NORMAL = (-1.7507, -1.1503, -0.8122, -0.5485, -0.3186, -0.1046, 0.1046, 0.3186, 0.5485, 0.8122, 1.1503, 1.7507)
"""Medians of twelve equally probable pieces of the standard normal distribution."""

BAND = {"mean": "mean", "low": "mean_low", "high": "mean_high"}
"""Name in a report or solution -> attribute of `Prediction`: there the band is that of the law, without scatter."""

_CEILING = 2.0
"""No prediction lies above the largest measured loss times this, nor below 0: no law is believed there."""


@dataclass(frozen=True)
class Prediction:
    """Predicted losses with a band.

    Attributes:
        mean: (R, J) nats per supervised token.
        low: (R, J) lower end of the 90 % interval of a run's loss: what the fit leaves open and how runs scatter.
        high: (R, J) upper end.
        mean_low: (R, J) lower end of the 90 % band of the law alone, the mean over runs.
        mean_high: (R, J) upper end.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray


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

    @property
    def scatter(self) -> Scatter:
        """How far runs lie from the law."""
        return Scatter(self.noise_nats, *self.scatter_shape)

    @property
    def identifiable(self) -> bool:
        """Whether the runs determine the parameters."""
        return self.status != "not_identifiable"


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs; see `mixlaw.fit.fit_law`.

    Attributes:
        law: name of the law.
        procedure: `joint`, `own_curve` or `published`.
        domains: names, K of them.
        targets: target name -> its fit.
        runs: how many runs were used.
        tokens_RK: their training tokens (the extrapolation factor is measured against them).
        losses_RJ: their measured losses, nats.
        run_names: their names.
        warnings: sentences.
        choice: why this law, where it was chosen by cross-validation.
    """

    law: str
    procedure: str
    domains: tuple[str, ...]
    targets: Mapping[str, TargetFit]
    tokens_RK: np.ndarray
    losses_RJ: np.ndarray
    run_names: tuple[str, ...]
    warnings: tuple[str, ...] = field(default_factory=tuple)
    choice: str = ""
    _predictors: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.run_names)

    def law_of(self, target: str) -> Law:
        """Return the law, made for the fit's domains and a target.

        Raises:
            FitError: the fit is of a regressor, which has no equation.
        """
        if self.law not in LAWS:
            raise FitError(
                f"'{self.law}' predicts without an equation: it has no parameters and no derivatives.",
                f"Fit a law that has them: {', '.join(LAWS)}.",
            )
        return LAWS[self.law](self.domains, target)

    def theta(self, target: str) -> np.ndarray:
        """Return the (P,) point estimate of one target's parameters, tokens in millions."""
        return np.array([self.targets[target].parameters[p.name] for p in self.law_of(target).parameters])

    def theta_draws(self, target: str) -> np.ndarray:
        """Return (S, P) posterior draws of one target's parameters, tokens in millions."""
        return np.column_stack([self.targets[target].draws[p.name] for p in self.law_of(target).parameters])

    def predict(self, tokens: RunTable | Mapping[str, float] | np.ndarray) -> Prediction:
        """Return the losses expected of mixtures, nats per supervised token, with the 90 % band of the mean loss.

        Args:
            tokens: a run table with the fit's domains, `{domain: tokens}` for one mixture (a domain left out has
                none), or an (R, K) array in the order of `domains`.

        Raises:
            DataError: an unknown domain, a wrong shape, or a negative or non-finite token count.
        """
        tokens_RK = self._tokens(tokens) / TOKEN_UNIT
        columns = [self._predict_one(target, tokens_RK) for target in self.targets]
        return Prediction(*(np.column_stack(part) for part in zip(*columns, strict=True)))

    def _predict_one(self, target: str, tokens_RK: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (R,) mean, low, high, mean_low, mean_high of one target."""
        scatter = self.targets[target].scatter
        if self.law in REGRESSORS:
            mean = self._predictor(target).predict(tokens_RK)
            drawn = mean[None]
        else:
            law = self.law_of(target)
            mean = law.predict(self.theta(target), tokens_RK)
            drawn = law.predict(self.theta_draws(target), tokens_RK)
        column = self.losses_RJ[:, list(self.targets).index(target)]
        ceiling = _CEILING * float(np.nanmax(np.abs(column)))
        mean, drawn = (np.clip(np.nan_to_num(x, nan=ceiling, posinf=ceiling), 0.0, ceiling) for x in (mean, drawn))
        runs = drawn[:, None] + scatter.at(drawn)[:, None] * np.array(_NORMAL)[:, None]
        low, high = np.quantile(runs.reshape(-1, len(mean)), _BAND, axis=0)
        mean_low, mean_high = np.quantile(drawn, _BAND, axis=0)
        return (
            mean,
            np.maximum(np.minimum(low, mean), 0.0),
            np.maximum(high, mean),
            np.minimum(mean_low, mean),
            np.maximum(mean_high, mean),
        )

    def _predictor(self, target: str) -> Any:
        """Return the regressor fitted to the stored runs."""
        from mixlaw.fit.regression import fit_regressor

        if target not in self._predictors:
            column = self.losses_RJ[:, list(self.targets).index(target)]
            rows = np.isfinite(column)
            self._predictors[target] = fit_regressor(self.law, self.tokens_RK[rows] / TOKEN_UNIT, column[rows])
        return self._predictors[target]

    def _tokens(self, tokens: RunTable | Mapping[str, float] | np.ndarray) -> np.ndarray:
        if isinstance(tokens, RunTable):
            _require_domains(tokens.domains, self.domains)
            missing = [domain for domain in self.domains if domain not in tokens.domains]
            if missing:
                raise DataError(f"The table lacks the domains {missing}.", "Add a tokens column for each.")
            array = tokens.tokens_RK[:, [tokens.domains.index(domain) for domain in self.domains]]
        elif isinstance(tokens, Mapping):
            _require_domains(tuple(tokens), self.domains)
            array = np.array([[float(tokens.get(domain, 0.0)) for domain in self.domains]])
        else:
            array = np.atleast_2d(np.asarray(tokens, float))
            if array.ndim != 2 or array.shape[1] != len(self.domains):
                raise DataError(
                    f"The token array has shape {array.shape}; the fit has {len(self.domains)} domains.",
                    "Pass (R, K), columns in the order of fit.domains.",
                )
        if not np.all(np.isfinite(array) & (array >= 0)):
            raise DataError("A token count is negative or not finite; it must be a number >= 0.", "Mend it.")
        return array

    def summary(self) -> dict[str, Any]:
        """Return what `mixlaw fit --json` prints; a number that does not exist is None."""
        return {
            "law": self.law,
            "procedure": self.procedure,
            "domains": list(self.domains),
            "targets": list(self.targets),
            "runs": len(self),
            "status": {name: fitted.status for name, fitted in self.targets.items()},
            "messages": {name: fitted.message for name, fitted in self.targets.items()},
            "parameters": {name: dict(fitted.parameters) for name, fitted in self.targets.items()},
            "noise": {name: fitted.noise_nats for name, fitted in self.targets.items()},
            "diagnostics": {
                name: {
                    "cv_mre": _number(fitted.cv_mre),
                    "cv_mre_mean": _number(fitted.cv_mre_mean),
                    "cv_spearman": _number(fitted.cv_spearman),
                    "cv_r2": _number(fitted.cv_r2),
                    "identifiable": fitted.identifiable,
                    "at_bound": list(fitted.at_bound),
                }
                for name, fitted in self.targets.items()
            },
            "choice": self.choice,
            "warnings": list(self.warnings),
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything, for `fit.json`: the summary, the draws and the runs."""
        return self.summary() | {
            "format": FORMAT,
            "scatter": {name: list(fitted.scatter_shape) for name, fitted in self.targets.items()},
            "draws": {
                name: {p: values.tolist() for p, values in fitted.draws.items()}
                for name, fitted in self.targets.items()
            },
            "run_names": list(self.run_names),
            "tokens": self.tokens_RK.tolist(),
            "losses": [[_number(x) for x in row] for row in self.losses_RJ.tolist()],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Fit:
        """Return the fit from its JSON form; raise DataError where a key is missing or of the wrong kind."""
        if value.get("format", FORMAT) != FORMAT or value.get("law", "transfer") not in (*LAWS, *REGRESSORS):
            raise DataError(
                f"The fit file has format {value.get('format')} and law '{value.get('law')}'; this version reads "
                f"format {FORMAT}.",
                "Write it again with `mixlaw fit`.",
            )
        try:
            targets = {
                name: TargetFit(
                    value["parameters"][name],
                    {p: np.array(values, float) for p, values in value["draws"][name].items()},
                    value["noise"][name],
                    value["status"][name],
                    value["messages"][name],
                    tuple(value["diagnostics"][name]["at_bound"]),
                    *_checked(value["diagnostics"][name]),
                    tuple(value["scatter"][name]),
                )
                for name in value["targets"]
            }
            return Fit(
                value["law"],
                value["procedure"],
                tuple(value["domains"]),
                targets,
                np.array(value["tokens"], float),
                np.array([[_float(x) for x in row] for row in value["losses"]]),
                tuple(value["run_names"]),
                tuple(value["warnings"]),
                value["choice"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"Not a fit file: {type(error).__name__} {error}.", "Write it with `mixlaw fit`.") from None

    def save(self, path: str | Path) -> None:
        """Write `fit.json`, atomically."""
        write_json(path, self.to_json())

    @staticmethod
    def load(path: str | Path) -> Fit:
        """Read `fit.json`; raise DataError where it is missing or malformed."""
        return Fit.from_json(read_json(path))


def _require_domains(given: tuple[str, ...], known: tuple[str, ...]) -> None:
    stray = [domain for domain in given if domain not in known]
    if stray:
        raise DataError(
            f"The fit has no domain {', '.join(map(repr, stray))}; it has {', '.join(map(repr, known))}.",
            "Mend the name, or fit runs that have it.",
        )


def _checked(diagnostics: Mapping[str, Any]) -> tuple[float, float, float, float]:
    mre, mean, ranks, r2 = (diagnostics[key] for key in ("cv_mre", "cv_mre_mean", "cv_spearman", "cv_r2"))
    return _float(mre), _float(mean), _float(ranks), _float(r2)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
