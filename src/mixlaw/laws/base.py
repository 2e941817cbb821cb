"""What every law is: an equation for one target's loss, with named parameters.

A law is a value without state, made for the domains and one target: `Pairwise(("chat", "math"), "math")`. Parameters
travel as arrays whose last axis is P, in the order of `parameters`, so that one call evaluates one parameter vector or
a thousand posterior draws. A law does not know how it is fitted. For each parameter it gives its bounds, the scale on
which a step is natural, what is believed before any run and what it stands for; and it proposes starting points.

What only some laws know is optional, each in its own protocol: where the loss is convex (`Convex`), that it
depends on one weight alone (`Separable`), and in which coordinates its posterior is not curved (`PowerCurve`).

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
        source: the domain whose tokens it is about; empty where it belongs to the curve.
        role: `amplitude` where the loss is linear in it and falls with tokens only through what it multiplies,
            `floor` where it is the loss that no amount of tokens goes below, `exponent` of the amount of tokens;
            empty for anything else.
    """

    name: str
    unit: str
    lower: float
    upper: float
    scale: Literal["log", "linear"] = "linear"
    prior: tuple[float, float] | None = None
    source: str = ""
    role: Literal["", "amplitude", "floor", "exponent"] = ""


def places(law: Law, role: str) -> np.ndarray:
    """Return the positions of a law's parameters that have a role."""
    return np.array([p for p, parameter in enumerate(law.parameters) if parameter.role == role], int)


@runtime_checkable
class Law(Protocol):
    """An equation for the loss of one target, nats per supervised token.

    Attributes:
        name: the name for `--law`.
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
            count: how many to return.
        """
        ...


@runtime_checkable
class Convex(Protocol):
    """A law that knows where its loss is convex; `solve` then proves that an optimum is the global one."""

    def convex(self, theta_SP: np.ndarray) -> bool:
        """Return whether the loss is convex in the weights at every budget, for all of these (S, P) parameters."""
        ...

    def falling(self, theta_SP: np.ndarray) -> bool:
        """Return whether more tokens of any domain never raise the loss, for all of these (S, P) parameters."""
        ...


@runtime_checkable
class Separable(Protocol):
    """A law whose loss depends on the weight of one domain alone, and is convex in it.

    Attributes:
        own: the place of that domain.
    """

    @property
    def own(self) -> int: ...

    def along_own(
        self, theta_SP: np.ndarray, weights_S: np.ndarray, budget: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the loss and its first two derivatives by that weight, each (S,) or broadcast against it.

        Args:
            theta_SP: (..., P) parameters.
            weights_S: (...) weights of the domain, each in [0, 1].
            budget: tokens of the mixture, in the unit that the parameters are in.
        """
        ...


@runtime_checkable
class PowerCurve(Protocol):
    """A law of the form `amplitude x D^-exponent + floor`, with one parameter of each of these roles."""

    def effective_tokens(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return D, (R,), in the unit of the tokens."""
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
        name: the name for `--law`.
    """

    name: str

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> Predictor:
        """Return the predictor fitted to R runs; the same seed gives the same predictor.

        Args:
            tokens_RK: (R, K) in units of a typical run's total.
            losses_R: nats per supervised token.
            seed: seed of anything random inside.

        Raises:
            MissingExtra: a package that the regressor needs is not installed.
        """
        ...
