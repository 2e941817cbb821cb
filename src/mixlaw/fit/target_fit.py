"""One target's fitted law: what is believed of it, its status and its diagnostics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixlaw.fit.curve import Belief, Curve, Scatter
from mixlaw.fit.estimating.information import Information
from mixlaw.fit.estimating.inside import equation_of
from mixlaw.fit.posterior.convergence import Convergence

CHECKED = ("cv_mre", "cv_mre_mean", "cv_spearman", "cv_r2")
"""The errors on held-out mixtures, in the order of the fields."""


@dataclass(frozen=True)
class TargetFit:
    """One target's fitted law.

    Attributes:
        belief: the reported curve, and what decisions rest on besides.
        status: `converged`, `at_bound`, `not_identifiable` or `worse_than_mean`.
        message: one sentence that says why.
        at_bound: parameters that ended at a bound.
        cv_mre: mean relative error on held-out mixtures, a share (0.01 = 1 %); NaN where there are too few runs.
        cv_mre_mean: the same for the predictor "the mean of the other runs".
        cv_spearman: rank correlation of held-out predictions with the losses.
        cv_r2: share of the variance of the losses that held-out predictions explain.
        information: what the runs say about the parameters; None where that was not asked.
        convergence: whether the posterior draws suffice; None where there are none.
        odd: a sentence on runs whose loss is far from what the others predict, or empty. Files keep it
            among the warnings of the fit.
    """

    belief: Belief
    status: str
    message: str
    at_bound: tuple[str, ...] = ()
    cv_mre: float = float("nan")
    cv_mre_mean: float = float("nan")
    cv_spearman: float = float("nan")
    cv_r2: float = float("nan")
    information: Information | None = None
    convergence: Convergence | None = None
    odd: str = ""

    @property
    def curve(self) -> Curve:
        """The reported law's."""
        return self.belief.curve

    @property
    def parameters(self) -> dict[str, float]:
        """Name -> reported value, tokens in millions."""
        return self.curve.parameters

    @property
    def draws(self) -> dict[str, np.ndarray]:
        """Name -> (S,) posterior draws of the same parameters."""
        return self.curve.draws

    @property
    def scatter(self) -> Scatter:
        """How far runs lie from the law."""
        return self.curve.scatter

    @property
    def noise_nats(self) -> float:
        """Standard deviation of a run's loss around the law."""
        return self.curve.scatter.sd_nats

    @property
    def identifiable(self) -> bool:
        """Whether the runs determine the parameters."""
        return self.status != "not_identifiable"

    def of_domains(self, domains: tuple[str, ...]) -> TargetFit:
        """Return the fit for some of the domains; a regressor in a law's place, which knows mixtures of all domains
        only, is left out."""
        curves = tuple(equation_of(curve).of_domains(domains) for curve in self.belief.curves)
        return replace(self, belief=replace(self.belief, curves=curves))

    def diagnostics(self) -> dict[str, Any]:
        """Return the JSON form of how far the fit can be trusted; a number that does not exist is None."""
        return {
            **{key: number(getattr(self, key)) for key in CHECKED},
            "identifiable": self.identifiable,
            "at_bound": list(self.at_bound),
            "information": None if self.information is None else self.information.to_json(),
            "convergence": None if self.convergence is None else self.convergence.to_json(),
        }


def number(value: float) -> float | None:
    """Return a number for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None
