"""What a fit is: parameters with their uncertainty, a status for every target, and predictions.

Shape letters: R runs, K domains, J targets, S posterior draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.errors import DataError, FitError
from mixlaw.core.files import read_json, write_json
from mixlaw.core.notebook import html_table, text_table
from mixlaw.core.runtable import RunTable
from mixlaw.fit.drift import distance, drifted, drifted_losses, standard_normals
from mixlaw.fit.prediction import Prediction, band, require_domains, token_array
from mixlaw.fit.shown import fit_table
from mixlaw.fit.size import at_size
from mixlaw.fit.targetfit import TargetFit, number
from mixlaw.laws import LAWS, REGRESSORS
from mixlaw.laws.base import Law
from mixlaw.laws.either import Either
from mixlaw.laws.repetition import Repeated, count_tokens
from mixlaw.laws.residual import Corrected, correct

TOKEN_UNIT = 1e6
"""Tokens per unit in which dimensional law parameters (k) are reported: the paper counts millions."""

DRAWS = 200
"""Posterior draws kept with a fit."""

POOL = 4 * DRAWS
"""Draws of each target alone, from which they are taken (`mixlaw.fit.sharing`)."""

BAND = {"mean": "mean", "low": "mean_low", "high": "mean_high"}
"""Name in a report or solution -> attribute of `Prediction`: there the band is that of the law, without scatter."""


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
        decay: R* of `mixlaw.laws.repetition`; infinite where repeated tokens count in full.
        unique_RK: distinct tokens of each run, or None.
        params: model parameters that predictions are for, where the runs are of several sizes; NaN where not.
        log_sizes_R: logarithm of each run's model size over `params`, or None.
        corrected: whether a Gaussian process on the residuals is added (`mixlaw.laws.residual`).
        rival: the same runs by the law that left-out mixtures do not tell from this one; decisions hedge between both
            (`believed`). None where the choice is clear, or the user's.
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
    decay: float = float("inf")
    unique_RK: np.ndarray | None = None
    params: float = float("nan")
    log_sizes_R: np.ndarray | None = None
    corrected: bool = False
    rival: Fit | None = None
    _predictors: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.run_names)

    def __repr__(self) -> str:
        return f"<Fit: {fit_table(self)[0]}>"

    def __str__(self) -> str:
        return text_table(*fit_table(self))

    def _repr_html_(self) -> str:
        return html_table(*fit_table(self))

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """Target -> parameter -> value, tokens in millions."""
        return {name: dict(fitted.parameters) for name, fitted in self.targets.items()}

    @property
    def status(self) -> dict[str, str]:
        """Target -> `converged`, `at_bound`, `not_identifiable` or `worse_than_mean`."""
        return {name: fitted.status for name, fitted in self.targets.items()}

    @property
    def counted_RK(self) -> np.ndarray:
        """The runs' tokens, millions, with repeats counted as the fit does."""
        tokens_RK = self.tokens_RK / TOKEN_UNIT
        return tokens_RK if self.unique_RK is None else count_tokens(tokens_RK, self.unique_RK / TOKEN_UNIT, self.decay)

    @property
    def plain(self) -> bool:
        """Whether the law's equation and its parameters are all there is to predictions."""
        return np.isinf(self.decay) and not self.corrected

    def law_of(self, target: str, available: Mapping[str, float] | None = None) -> Law:
        """Return the law, made for the fit's domains and a target, with what the fit adds to its equation.

        Args:
            target: its name.
            available: domain -> distinct tokens there are; beyond them tokens repeat, and count as `decay` says.

        Raises:
            FitError: the fit is of a regressor, which has no equation.
        """
        if self.law not in LAWS:
            raise FitError(
                f"'{self.law}' predicts without an equation: it has no parameters and no derivatives.",
                f"Fit a law that has them: {', '.join(LAWS)}.",
            )
        law: Law = LAWS[self.law](self.domains, target)
        if self.corrected:
            law = self._correction(target, law)
        if available and np.isfinite(self.decay):
            unique_K = np.array([available.get(domain, np.inf) for domain in self.domains], float) / TOKEN_UNIT
            law = Repeated(law, unique_K, self.decay)
        return law

    def _correction(self, target: str, law: Law) -> Corrected:
        if target not in self._predictors:
            losses_R = self.losses_RJ[:, list(self.targets).index(target)]
            if self.log_sizes_R is not None:  # as the largest model would have had them
                parameters = self.targets[target].parameters
                losses_R = at_size(losses_R, parameters["E"], parameters["gamma"], -self.log_sizes_R)
            theta = np.array([self.targets[target].parameters[p.name] for p in law.parameters])
            self._predictors[target] = correct(law, theta, self.counted_RK, losses_R)
        return self._predictors[target]

    def at_size(self, params: float) -> Fit:
        """Return the fit for another model size; needs runs of several.

        Raises:
            FitError: the runs are of one size.
            DataError: not a positive number.
        """
        if self.log_sizes_R is None:
            raise FitError(
                "The runs are of one model size: nothing is known of others.",
                "Add runs of another size, with a column params in the run table.",
            )
        if not (np.isfinite(params) and params > 0):
            raise DataError(f"A model cannot have {params} parameters.", "Write a number above 0, such as 7e9.")
        log_size = float(np.log(params / self.params))
        targets = {}
        for name, fitted in self.targets.items():
            factor = np.exp(-fitted.draws["gamma"] * log_size)
            point = float(np.exp(-fitted.parameters["gamma"] * log_size))
            targets[name] = replace(
                fitted,
                parameters={**fitted.parameters, "C": fitted.parameters["C"] * point},
                draws={**fitted.draws, "C": fitted.draws["C"] * factor},
            )
        return replace(
            self, targets=targets, params=float(params), log_sizes_R=self.log_sizes_R - log_size, _predictors={}
        )

    def of_domains(self, domains: Sequence[str]) -> Fit:
        """Return the fit for mixtures of some of its domains: those left out have no tokens, and are no targets.

        Args:
            domains: names of the fit's, in any order; the result has them in that of the fit.

        Raises:
            DataError: an unknown domain.
            FitError: the fit is more than a law's equation, so that domains without tokens still count.
        """
        require_domains(tuple(domains), self.domains)
        places = [k for k, domain in enumerate(self.domains) if domain in set(domains)]
        if len(places) == len(self.domains):
            return self
        if self.law in REGRESSORS or self.corrected:
            raise FitError(
                "Runs with a domain that was dropped can be used by laws with an equation only.",
                "Fit another law, without --corrected.",
            )
        names, gone = tuple(self.domains[k] for k in places), set(self.domains) - set(domains)
        return replace(
            self,
            domains=names,
            targets={name: fitted for name, fitted in self.targets.items() if name not in gone},
            tokens_RK=self.tokens_RK[:, places],
            losses_RJ=self.losses_RJ[:, [j for j, name in enumerate(self.targets) if name not in gone]],
            unique_RK=None if self.unique_RK is None else self.unique_RK[:, places],
            rival=None if self.rival is None else self.rival.of_domains(domains),
            _predictors={},
        )

    def theta(self, target: str) -> np.ndarray:
        """Return the (P,) point estimate of one target's parameters, tokens in millions."""
        return np.array([self.targets[target].parameters[p.name] for p in self._equation(target).parameters])

    def theta_draws(self, target: str, total_tokens: float | None = None) -> np.ndarray:
        """Return (S, P) posterior draws of one target's parameters, tokens in millions.

        With a total, they are those for mixtures of so many tokens: beyond the largest run, amplitudes drift
        (`mixlaw.fit.drift`).
        """
        law = self._equation(target)
        theta_SP = np.column_stack([self.targets[target].draws[p.name] for p in law.parameters])
        if total_tokens is None:
            return theta_SP
        return drifted(law, theta_SP, self.drift(target), float(self.distance(total_tokens)))

    def believed(
        self, target: str, total_tokens: float | None = None, available: Mapping[str, float] | None = None
    ) -> tuple[Law, np.ndarray]:
        """Return what decisions rest on: the law of a target, and (S, P) draws of its parameters, tokens in millions.

        With a rival they are those of both laws (`mixlaw.laws.either`), as many of each and as many together as one
        has. Arguments as in `law_of` and `theta_draws`.
        """
        law, theta_SP = self.law_of(target, available), self.theta_draws(target, total_tokens)
        if self.rival is None:
            return law, theta_SP
        either = Either(law, self.rival.law_of(target, available))
        return either, either.together(*alternating([theta_SP, self.rival.theta_draws(target, total_tokens)]))

    def losses_by_draw(
        self, target: str, tokens_RK: np.ndarray, available: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Return (S, R) losses of mixtures in every posterior draw, nats; tokens as counts, the rest as `predict`."""
        law, distance_R = self.law_of(target, available), self.distance(tokens_RK.sum(axis=1))
        return drifted_losses(law, self.theta_draws(target), self.drift(target), tokens_RK / TOKEN_UNIT, distance_R)

    def believed_losses(
        self, target: str, tokens_RK: np.ndarray, available: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Return (S, R) losses of mixtures in the draws that decisions rest on (`believed`), as `losses_by_draw`."""
        drawn = [fit.losses_by_draw(target, tokens_RK, available) for fit in self.hedged]
        return np.vstack(alternating(drawn))

    @property
    def hedged(self) -> list[Fit]:
        """The fits whose draws decisions rest on: this one, and its rival. Of n, each gives every n-th draw."""
        return [self] if self.rival is None else [self, self.rival]

    def distance(self, totals_R: np.ndarray | float) -> np.ndarray:
        """Return how far totals lie beyond the largest run's tokens, in powers of e."""
        return distance(totals_R, float(self.tokens_RK.sum(axis=1).max()))

    def drift(self, target: str) -> np.ndarray:
        """Return the (S,) standard normals of one target's draws (`mixlaw.fit.drift`)."""
        draws = len(next(iter(self.targets[target].draws.values())))
        return standard_normals(self.losses_RJ, list(self.targets).index(target), draws)

    def _equation(self, target: str) -> Law:
        return replace(self, corrected=False, decay=float("inf")).law_of(target)

    def predict(
        self, tokens: RunTable | Mapping[str, float] | np.ndarray, available: Mapping[str, float] | None = None
    ) -> Prediction:
        """Return the losses of mixtures by the law at its reported parameters, nats, with 90 % bands.

        Args:
            tokens: a run table with the fit's domains, `{domain: tokens}` for one mixture (a domain left out has
                none), or an (R, K) array in the order of `domains`.
            available: domain -> distinct tokens there are, where the fit counts repeats; a run table says it itself.

        Raises:
            DataError: an unknown domain, a wrong shape, or a negative or non-finite token count.
        """
        asked, columns = self._asked(tokens, available), []
        for j, (target, fitted) in enumerate(self.targets.items()):
            mean_R, drawn_SR = self._losses(target, *asked)
            columns.append(band(mean_R, [(fitted.scatter, drawn_SR)], self.losses_RJ[:, j]))
        return Prediction.of(columns, tuple(self.targets))

    def expected(
        self, tokens: RunTable | Mapping[str, float] | np.ndarray, available: Mapping[str, float] | None = None
    ) -> Prediction:
        """Return the losses that decisions rest on: means over the draws of the law, and of its rival; as `predict`.

        With clear runs they are what the law gives at its reported parameters. With few noisy ones the reported
        parameters are one of many possibilities, and not always a usual one (`mixlaw.fit.sharing`).
        """
        fits, columns = self.hedged, []
        asked = [fit._asked(tokens, available) for fit in fits]
        for j, target in enumerate(self.targets):
            drawn = alternating([fit._losses(target, *a)[1] for fit, a in zip(fits, asked, strict=True)])
            scatters = [fit.targets[target].scatter for fit in fits]
            columns.append(band(None, list(zip(scatters, drawn, strict=True)), self.losses_RJ[:, j]))
        return Prediction.of(columns, tuple(self.targets))

    def _asked(
        self, tokens: RunTable | Mapping[str, float] | np.ndarray, available: Mapping[str, float] | None
    ) -> tuple[np.ndarray, np.ndarray, Mapping[str, float] | None, np.ndarray | None]:
        """Return (R, K) tokens in millions, their (R,) distance, what is available, and (R,) log sizes."""
        tokens_RK, log_sizes = token_array(tokens, self.domains) / TOKEN_UNIT, None
        distance_R = self.distance(TOKEN_UNIT * tokens_RK.sum(axis=1))
        if isinstance(tokens, RunTable):
            if tokens.unique_RK is not None and np.isfinite(self.decay):
                unique_RK = tokens.unique_RK[:, [tokens.domains.index(domain) for domain in self.domains]]
                tokens_RK, available = count_tokens(tokens_RK, unique_RK / TOKEN_UNIT, self.decay), None
            if self.log_sizes_R is not None and tokens.params_R is not None:
                log_sizes = np.nan_to_num(np.log(np.maximum(tokens.params_R, 1e-300) / self.params))
        return tokens_RK, distance_R, available, log_sizes

    def _losses(
        self,
        target: str,
        tokens_RK: np.ndarray,
        distance_R: np.ndarray,
        available: Mapping[str, float] | None,
        log_sizes_R: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) losses of one target at the reported parameters and (S, R) in the draws."""
        fitted = self.targets[target]
        if self.law in REGRESSORS:
            mean = self._predictor(target).predict(tokens_RK)
            drawn = mean[None]
        else:
            law = self.law_of(target, available)
            mean = law.predict(self.theta(target), tokens_RK)
            drawn = drifted_losses(law, self.theta_draws(target), self.drift(target), tokens_RK, distance_R)
        if log_sizes_R is not None:
            floor, gamma = fitted.draws["E"][:, None], fitted.draws["gamma"][:, None]
            mean = at_size(mean, fitted.parameters["E"], fitted.parameters["gamma"], log_sizes_R)
            drawn = at_size(drawn, floor, gamma, log_sizes_R)
        return mean, drawn

    def _predictor(self, target: str) -> Any:
        """Return the regressor fitted to the stored runs."""
        from mixlaw.fit.regression import fit_regressor

        if target not in self._predictors:
            column = self.losses_RJ[:, list(self.targets).index(target)]
            rows = np.isfinite(column)
            self._predictors[target] = fit_regressor(self.law, self.counted_RK[rows], column[rows])
        return self._predictors[target]

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
            "diagnostics": {name: fitted.diagnostics() for name, fitted in self.targets.items()},
            "choice": self.choice,
            "repetition": number(self.decay),
            "params": number(self.params),
            "corrected": self.corrected,
            "rival": None if self.rival is None else self.rival.law,
            "warnings": list(self.warnings),
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything, for `fit.json`: the summary, the draws and the runs."""
        from mixlaw.fit.stored import json_of

        return json_of(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Fit:
        """Return the fit from its JSON form; raise DataError where a key is missing or of the wrong kind."""
        from mixlaw.fit.stored import fit_from

        return fit_from(value)

    def save(self, path: str | Path) -> None:
        """Write `fit.json`, atomically."""
        write_json(path, self.to_json())

    @staticmethod
    def load(path: str | Path) -> Fit:
        """Read `fit.json`; raise DataError where it is missing or malformed."""
        return Fit.from_json(read_json(path))


def alternating(drawn: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return of each of n fits' draws every n-th, the first one's from the first on: as many as one fit has."""
    return [part[i :: len(drawn)] for i, part in enumerate(drawn)]
