"""What a fit is: what is believed of every target's loss, how far it can be trusted, the runs, and predictions.

Shape letters: R runs or mixtures, K domains, J targets, S posterior draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mixlaw.core.documents import document, read_document, write_document
from mixlaw.core.errors import ConfigError, DataError, FitError
from mixlaw.core.frames import frame
from mixlaw.core.lean import lean
from mixlaw.core.notebook import Tabular
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import differences_in
from mixlaw.fit import stored
from mixlaw.fit.alike import by_total, of_totals
from mixlaw.fit.asked import Tokens, asked, available_of
from mixlaw.fit.base_model import base_losses
from mixlaw.fit.curve import Belief, Curve
from mixlaw.fit.estimating.inside import regressor_of
from mixlaw.fit.estimating.regressor import RegressorLaw
from mixlaw.fit.posterior.extrapolation import distance_apart, distance_beyond, distance_outside
from mixlaw.fit.prediction import Prediction, band, token_array
from mixlaw.fit.reach import OF_SIZE, of_size, outside, unfollowed
from mixlaw.fit.size import largest_size, log_sizes_over
from mixlaw.fit.some_domains import of_domains
from mixlaw.fit.target_fit import TargetFit, number
from mixlaw.fit.units import MILLION
from mixlaw.laws import LawKind, find
from mixlaw.laws.repetition import Repeated, count_tokens


@dataclass(frozen=True, repr=False)
class Fit(Tabular):
    """A law fitted to runs; see `mixlaw.fit.fit_law`.

    Attributes:
        law: name of the law; of most targets, where `laws` says that some have another.
        procedure: `joint`, `own_curve` or `published`.
        domains: names, K of them.
        targets: target name -> its fit.
        runs: the runs it was fitted to.
        warnings: sentences.
        choice: why this law was chosen, if it was chosen by cross-validation.
        decay: R* of `mixlaw.laws.repetition`; infinite if repeated tokens count like new ones.
        params: model size that predictions are for, if the runs have several sizes; otherwise NaN.
        base_left_out: targets fitted without the losses of runs without tokens: held-out runs are better predicted so.
        settled: whether its draws are those of one total (`mixlaw.fit.alike.at_total`).
    """

    law: str
    procedure: str
    domains: tuple[str, ...]
    targets: Mapping[str, TargetFit]
    runs: RunTable
    warnings: tuple[str, ...] = ()
    choice: str = ""
    decay: float = float("inf")
    params: float = float("nan")
    base_left_out: tuple[str, ...] = ()
    settled: bool = False

    def __len__(self) -> int:
        return len(self.runs)

    def table(self) -> tuple[str, list[str], list[list[Any]], list[str]]:
        """Return title, columns, rows and notes, with one row per target: parameters, noise and held-out errors."""
        # A law may have a coefficient per source: too many for a table; `parameters` has them.
        names = self.curve_parameters
        noise = f"noise, {differences_in(self.targets)}"
        columns = ["target", "status", *names, noise, "held-out error %", "mean's error %"]
        rows = []
        for name, target in self.targets.items():
            errors = (100 * float(target.cv_mre), 100 * float(target.cv_mre_mean))
            values = (target.parameters.get(p, "") for p in names)
            rows.append([name, target.status, *values, float(target.noise_nats), *errors])
        notes = [*filter(None, [self.choice]), *(f"warning: {text}" for text in self.warnings)]
        return f"{self.law}, {self.procedure} fit of {len(self)} runs; tokens in millions", columns, rows, notes

    @property
    def fits_base(self) -> bool:
        """Whether runs without tokens were fitted for any target."""
        return set(self.base_left_out) != set(self.targets)

    @property
    def _first(self) -> Curve:
        return next(iter(self.targets.values())).curve

    @property
    def kind(self) -> LawKind:
        """The class (or object) of the law, before it is made for domains and a target."""
        laws = [fitted.curve.law for fitted in self.targets.values()]
        law = next((law for law in laws if law.name == self.law and not regressor_of(law)), None)
        if isinstance(law, RegressorLaw):
            return law.kind
        return replace(find(self.law if law is None else law), name=self.law, uses_base=self.fits_base)

    @property
    def laws(self) -> dict[str, str]:
        """Target -> name of its law; by `auto` it may be another one than most targets have."""
        return {name: fitted.curve.law.name for name, fitted in self.targets.items()}

    @property
    def inside(self) -> dict[str, str]:
        """Target that no law follows -> the regressor in the law's place within the range of the runs' totals."""
        found = {name: regressor_of(fitted.curve.law) for name, fitted in self.targets.items()}
        return {name: regressor for name, regressor in found.items() if regressor}

    @property
    def curve_parameters(self) -> list[str]:
        """Names of the parameters of any target's law that belong to the curve, not to a source."""
        laws = [fitted.curve.law for fitted in self.targets.values()]
        return list(dict.fromkeys(p.name for law in laws for p in law.parameters if not p.source))

    @property
    def alternative(self) -> str:
        """A second law that held-out mixtures cannot tell from this one, so decisions average both, or empty."""
        return next((c.law.name for t in self.targets.values() for c in t.belief.curves[1:]), "")

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """Target -> parameter -> value, tokens in millions."""
        return {name: fitted.parameters for name, fitted in self.targets.items()}

    @property
    def status(self) -> dict[str, str]:
        """Target -> `converged`, `at_bound`, `not_identifiable` or `worse_than_mean`."""
        return {name: fitted.status for name, fitted in self.targets.items()}

    @property
    def counted_RK(self) -> np.ndarray:
        """The runs' tokens, millions, with repeats counted as the fit does."""
        return self._counted(self.runs.tokens_RK, self.runs.unique_RK) / MILLION

    @property
    def largest_run(self) -> float:
        """Tokens of the largest run."""
        return float(self.runs.totals_R.max())

    @property
    def base(self) -> dict[str, float]:
        """Target -> loss of the base model before any training, nats; targets without a run of zero tokens are left
        out."""
        return base_losses(self.runs, self.params)

    def belief(self, target: str, available: Mapping[str, float] | None = None) -> Belief:
        """Return a target's curves with their posterior draws; beyond the runs not all count (`mixlaw.fit.alike`).

        Args:
            target: its name.
            available: domain -> distinct tokens there are; beyond them tokens repeat, and count as `decay` says.
        """
        belief = self.targets[target].belief
        if not available or np.isinf(self.decay):
            return belief
        unique_K = np.array([available.get(domain, np.inf) for domain in self.domains], float) / MILLION
        return belief.with_laws(lambda law: Repeated(law, unique_K, self.decay))

    def distance(self, totals_R: np.ndarray | float) -> np.ndarray:
        """Return how far totals lie beyond the largest run's tokens, in powers of e."""
        return distance_beyond(totals_R, self.largest_run)

    def predict(
        self,
        tokens: Tokens,
        available: Mapping[str, float] | None = None,
        *,
        at: Literal["draws", "point"] = "draws",
        interval: Literal["run", "law"] = "run",
    ) -> Prediction:
        """Return the losses of mixtures, nats, with 90 % intervals: the one way to ask a fit.

        Args:
            tokens: a run table with the fit's domains, `{domain: tokens}` for one mixture (a domain left out has
                none) or a list of these, a DataFrame or Series with these names, or an (R, K) array in the order of
                `domains`. By name, tokens may be texts such as "2M".
            available: domain -> distinct tokens there are, where the fit counts repeats; a run table says it itself.
            at: `draws` for the mean over the posterior draws, of both laws where there is an alternative: what
                decisions rest on. `point` for the law at its reported parameters, which with few noisy runs are one of
                many possibilities.
            interval: which interval the result shows as a table, that of a `run` or of the `law`; it holds both.

        Raises:
            ConfigError: `at` or `interval` is none of these.
            DataError: no mixture, an unknown domain, a wrong shape, or a negative or non-finite token count.
        """
        for name, value, allowed in (("at", at, ("draws", "point")), ("interval", interval, ("run", "law"))):
            if value not in allowed:
                raise ConfigError(f"{name} is {value!r}; it must be '{allowed[0]}' or '{allowed[1]}'.", "Change it.")
        tokens, available = asked(tokens, self.domains), available_of(available, self.domains)
        tokens_RK, available, log_sizes_R = self._asked(tokens, available)
        beyond_R = None
        if log_sizes_R is not None:
            sizes_R = self.params * np.exp(log_sizes_R)
            beyond_R = self._beyond_largest(sizes_R) - self._beyond_largest(self.params)
        asked_RK = token_array(tokens, self.domains)
        distance_R, outside_R = self.distance(asked_RK.sum(axis=1)), self._outside(asked_RK, beyond_R)
        apart_R = distance_apart(asked_RK, self.runs.tokens_RK)
        columns, only = [], 1 if at == "point" else None
        totals = [(np.arange(len(asked_RK)), {})] if only else by_total(self, asked_RK.sum(axis=1))
        for j, target in enumerate(self.targets):
            belief = self.belief(target, available)
            belief = replace(belief, curves=belief.curves[:only])
            mean_R = belief.curve.losses(tokens_RK, log_sizes_R) if only else None
            orders = [(rows, known.get(target)) for rows, known in totals]
            drawn = of_totals(belief, orders, tokens_RK, distance_R, log_sizes_R)
            if beyond_R is not None:
                factor_SR, n = belief.size_factor(beyond_R), len(drawn)
                drawn = [losses_SR * factor_SR[i::n] for i, losses_SR in enumerate(drawn)]
            parts = [(curve.scatter, part_SR) for curve, part_SR in zip(belief.curves, drawn, strict=True)]
            losses_R = self.runs.losses_RJ[:, j]
            varied = float(np.nanstd(losses_R))
            spread = partial(belief.beyond.spread, outside_R=outside_R, apart_R=apart_R, varied=varied)
            columns.append(band(mean_R, parts, losses_R, lean(asked_RK), spread))
        said = (*outside(asked_RK.sum(axis=1), self.runs.totals_R, "A mixture"), *unfollowed(self.laws, self.inside))
        return Prediction.of(columns, tuple(self.targets), interval, said)

    def _outside(self, tokens_RK: np.ndarray, beyond_R: np.ndarray | None) -> np.ndarray:
        """Return (R,) how far mixtures lie from the runs in total tokens and model size, in powers of e."""
        outside_R = distance_outside(tokens_RK.sum(axis=1), self.runs.totals_R)
        if np.isfinite(self.params):
            outside_R = outside_R + self._beyond_largest(self.params) + (0.0 if beyond_R is None else beyond_R)
        return outside_R

    def _asked(
        self, tokens: Tokens, available: Mapping[str, float] | None
    ) -> tuple[np.ndarray, Mapping[str, float] | None, np.ndarray | None]:
        """Return (R, K) tokens in millions, what is available, and (R,) log sizes."""
        tokens_RK, log_sizes_R = token_array(tokens, self.domains), None
        if isinstance(tokens, RunTable):
            if tokens.unique_RK is not None and np.isfinite(self.decay):
                unique_RK = tokens.unique_RK[:, [tokens.domains.index(domain) for domain in self.domains]]
                tokens_RK, available = self._counted(tokens_RK, unique_RK), None
            if self._first.sizes is not None and tokens.params_R is not None:
                log_sizes_R = log_sizes_over(tokens.params_R, self.params)
        return tokens_RK / MILLION, available, log_sizes_R

    def _counted(self, tokens_RK: np.ndarray, unique_RK: np.ndarray | None) -> np.ndarray:
        """Return tokens in fresh ones."""
        return tokens_RK if unique_RK is None else count_tokens(tokens_RK, unique_RK, self.decay)

    def at_size(self, params: float) -> Fit:
        """Return the fit for another model size; needs runs of several.

        Beyond the largest among the runs a warning of the fit says by which factor, and intervals widen with it.

        Raises:
            FitError: the runs are of one size.
            DataError: not a positive number.
        """
        if self._first.sizes is None:
            raise FitError(
                "The runs have only one model size, so the losses of others are unknown.",
                "Add runs of another size, with a column params in the run table.",
            )
        if not (np.isfinite(params) and params > 0):
            raise DataError(f"A model cannot have {params} parameters.", "Write a number above 0, such as 7e9.")
        log_size = float(np.log(params / self.params))
        distance = float(self._beyond_largest(params) - self._beyond_largest(self.params))
        targets = {
            name: replace(fitted, belief=fitted.belief.at_size(log_size, distance))
            for name, fitted in self.targets.items()
        }
        said = tuple(text for text in self.warnings if not text.startswith(OF_SIZE))
        said = (*said, *of_size(params, largest_size(self.runs)))
        return replace(self, targets=targets, params=float(params), warnings=said)

    def _beyond_largest(self, params: np.ndarray | float) -> np.ndarray:
        """Return how far sizes lie beyond the largest model among the runs, in powers of e; 0 within and where a size
        is not known."""
        return distance_beyond(np.nan_to_num(params), largest_size(self.runs))

    def of_domains(self, domains: Sequence[str]) -> Fit:
        """Return the fit for mixtures of some of its domains: the others have no tokens and are not targets.

        Args:
            domains: names of the fit's, in any order; the result has them in that of the fit.

        Raises:
            DataError: an unknown domain.
            FitError: the fit is of a regressor, for which domains without tokens still count.
        """
        return of_domains(self, domains)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, a row per target: status, parameters (tokens in millions), noise, errors."""
        rows = []
        for name, fitted in self.targets.items():
            row = {"target": name, "status": fitted.status, **fitted.parameters, "noise_nats": fitted.noise_nats}
            rows.append(row | {"held_out_error": fitted.cv_mre, "held_out_error_of_mean": fitted.cv_mre_mean})
        return frame(rows, "target")

    def summary(self) -> dict[str, Any]:
        """Return what `mixlaw fit --json` prints; a missing number is None."""
        return {
            "law": self.law,
            "procedure": self.procedure,
            "domains": list(self.domains),
            "targets": list(self.targets),
            "laws": self.laws,
            "inside": self.inside,
            "runs": len(self),
            "status": self.status,
            "messages": {name: fitted.message for name, fitted in self.targets.items()},
            "parameters": self.parameters,
            "noise": {name: fitted.noise_nats for name, fitted in self.targets.items()},
            "diagnostics": {name: fitted.diagnostics() for name, fitted in self.targets.items()},
            "choice": self.choice,
            "repetition": number(self.decay),
            "params": number(self.params),
            "fits_base": self.fits_base,
            "base_left_out": list(self.base_left_out),
            "alternative": self.alternative or None,
            "shifts": self.runs.shifts,
            "warnings": list(self.warnings),
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything, for `fit.json`: the summary, the draws and the runs."""
        return document("fit", self.summary() | stored.parts_of(self.targets, self.runs))

    @staticmethod
    def from_json(value: Mapping[str, Any], law: Any = None) -> Fit:
        """Return the fit from its JSON form.

        Args:
            value: what `to_json` gave.
            law: the law, where its name is not known here (see `mixlaw.laws.find`).

        Raises:
            DataError: a key is missing or of the wrong kind, or the law is not known.
        """
        return Fit(**stored.fields_from(value, law))

    def save(self, path: str | Path) -> None:
        """Write `fit.json`, atomically."""
        write_document(path, "fit", self.to_json())

    @staticmethod
    def load(path: str | Path, law: Any = None) -> Fit:
        """Read `fit.json`; like `from_json`, and DataError if it is missing or not JSON."""
        return read_document(path, "fit", lambda value: Fit.from_json(value, law))
