"""What every law is: an equation for one target's loss, with named parameters.

A law is a value without state, made for the domains and one target: `Pairwise(("chat", "math"), "math")`. Parameters
travel as arrays whose last axis is P, in the order of `parameters`, so that one call evaluates one parameter vector or
a thousand posterior draws. A law does not know how it is fitted beyond three things it says about its parameters:
bounds, the scale on which a step is natural, and what is believed before any run; and it proposes starting points.

A law counts tokens in any unit: `rescale` turns the parameters of one unit into those of another. Fits work in units of
a typical run, so that a prior or a start needs no knowledge of whether a study has thousands or billions of tokens.

A regressor (`Regressor`) is a predictor without an equation: boosted trees, a Gaussian process. It can be compared and
used to predict, but has no parameters to report.

Shape letters: R runs, K domains, P parameters, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Parameter:
    """A named number of a law.

    Attributes:
        name: as in the equation; `t[math]` for one of a vector over domains.
        unit: its unit in words.
        lower: smallest value allowed.
        upper: largest value allowed.
        scale: `log` where a step multiplies the value (then lower >= 0), `linear` where it adds to it.
        prior: mean and standard deviation of a normal prior, of the value's logarithm where the scale is `log`, with
            tokens in units of a typical run's total; None for flat within the bounds.
    """

    name: str
    unit: str
    lower: float
    upper: float
    scale: Literal["log", "linear"] = "linear"
    prior: tuple[float, float] | None = None


@runtime_checkable
class Law(Protocol):
    """An equation for the loss of one target, nats per supervised token.

    Attributes:
        name: what `--law` says.
        domains: the K domains, in the order of the token columns.
        target: the validation set; for some laws it must be one of the domains.
        parameters: P of them.
    """

    @property
    def name(self) -> str: ...

    @property
    def domains(self) -> tuple[str, ...]: ...

    @property
    def target(self) -> str: ...

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return the losses of R mixtures, (..., R), nats per supervised token.

        Args:
            theta_P: (..., P) parameters; leading axes are those of the result.
            tokens_RK: (R, K) training tokens, in the unit that the parameters are in.
        """
        ...

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives of `predict` by each parameter."""
        ...

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives of `predict` by each domain's tokens, nats per unit of tokens."""
        ...

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the (..., P) parameters for tokens that are `factor` times as many in the new unit.

        `predict(rescale(theta, f), f * tokens)` is `predict(theta, tokens)`.
        """
        ...

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return up to (count, P) finite starting points within the bounds, the most promising first; deterministic.

        Args:
            tokens_RK: (R, K) in units of a typical run's total.
            losses_R: nats per supervised token.
            count: how many are wanted.
        """
        ...


class Predictor(Protocol):
    """A fitted regressor."""

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R,) losses, nats per supervised token; tokens in the unit of the fit."""
        ...


@runtime_checkable
class Regressor(Protocol):
    """A predictor of one target's loss without an equation.

    Attributes:
        name: what `--law` says.
    """

    name: str

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> Predictor:
        """Return the predictor fitted to R runs; the same seed gives the same predictor.

        Args:
            tokens_RK: (R, K) in units of a typical run's total.
            losses_R: nats per supervised token.
            seed: of anything random inside.

        Raises:
            MissingExtra: a package that it needs is not installed.
        """
        ...
