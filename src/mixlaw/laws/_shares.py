"""What the laws have in common: shares and their derivatives, the shape of parameters, and linear starts.

    w_i = N_i / N + FLOOR        dL/dN_m = (dL/dw_m - sum_i dL/dw_i N_i / N) / N

A domain without tokens would have an infinite loss or slope where a law takes a power of its share. Every share is
therefore raised by FLOOR, one millionth of the total. Adding it, instead of cutting off below it, keeps the derivative
continuous and says truthfully that the first tokens are worth most; being relative to the total, it is the same in
every unit. A run without any tokens has no shares: its loss is nan or infinite.

Shape letters: R runs, K domains, P parameters, Q columns of a linear problem, M dimensions, S points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mixlaw.core.errors import FitError
from mixlaw.laws.base import Law, Parameter

FLOOR = 1e-6
"""Added to every share, so that a domain without tokens has a finite loss. No data."""

EXPONENT_BOUNDS = (1e-3, 5.0)
"""Bounds of the exponent of a power law in tokens: far beyond published values. No data."""

EXPONENT_PRIOR = (float(np.log(0.2)), 0.7)
"""Prior mean and standard deviation of the logarithm of that exponent. Source: published fine-tuning exponents lie
between 0.03 and 0.5 (Zhang et al. 2024, arXiv 2402.17193, Table 4). Chosen on: for `transfer` judged on the
fine-tuning swarm's mixtures at 360k tokens, before the split, and on earlier planted worlds; for other laws no data."""

EXPONENT_STARTS = (float(np.log(0.02)), float(np.log(2.0)))
"""Logarithms of the smallest and largest exponent that searches start from: beyond most published ones. No data."""

AMOUNT_PRIOR = (0.0, 1.5)
"""Prior mean and standard deviation of the logarithm of how many nats the tokens of a typical run lower a loss by:
from 0.05 to 20 within two standard deviations. No data."""

ROBUST_SD = 1.4826
"""Standard deviation of a normal over the median of its absolute values. Source: 1 / 0.6745, the normal's upper
quartile."""

_PASSES = 5
"""Reweightings of a robust linear problem. No data."""


class MixtureLaw(ABC):
    """A law made for the domains and one target; a subclass lists its parameters.

    Attributes:
        name: what `--law` says.
        needs_own_domain: whether the target must be one of the domains.
        any_size: whether the law fits runs of several model sizes as they are.
        knows_base: whether it says what a model has that was not trained: the loss of a run without tokens.

    Args:
        domains: the K domains, in the order of the token columns.
        target: the validation set.

    Raises:
        FitError: the law takes a domain's own validation set, and the target is none of the domains.
    """

    name = ""
    needs_own_domain = False
    any_size = False
    knows_base = False

    def __init__(self, domains: tuple[str, ...], target: str) -> None:
        self.domains = tuple(domains)
        self.target = target
        self._own = self._own_column() if self.needs_own_domain else -1
        self.parameters = self._parameters()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domains!r}, {self.target!r})"

    @abstractmethod
    def _parameters(self) -> tuple[Parameter, ...]:
        """Return the law's parameters, in the order of theta."""

    def _own_column(self) -> int:
        """Return the column of the domain that the target belongs to."""
        if self.target not in self.domains:
            raise FitError(
                f"The target '{self.target}' is not one of the domains {', '.join(self.domains)}; the law "
                f"'{self.name}' takes the loss of a domain's own validation set.",
                "Name a domain as the target, or choose a law for any target, such as 'exponential' or 'additive'.",
            )
        return self.domains.index(self.target)


def as_tokens(tokens_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens as float64 and their total, (R, K) and (R,)."""
    tokens_RK = np.asarray(tokens_RK, dtype=np.float64)
    return tokens_RK, tokens_RK.sum(axis=-1)


def exact_shares(tokens_RK: np.ndarray) -> np.ndarray:
    """Return (R, K) shares N_i / N, which sum to 1."""
    tokens_RK, total_R = as_tokens(tokens_RK)
    with np.errstate(invalid="ignore"):
        return tokens_RK / total_R[:, None]


def raised_shares(tokens_RK: np.ndarray) -> np.ndarray:
    """Return (R, K) shares N_i / N + FLOOR."""
    return exact_shares(tokens_RK) + FLOOR


def by_tokens(by_shares_RK: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
    """Return (..., R, K) derivatives by tokens of a function whose derivatives by the shares are given."""
    tokens_RK, total_R = as_tokens(tokens_RK)
    mean = (by_shares_RK * exact_shares(tokens_RK)).sum(axis=-1, keepdims=True)
    return (by_shares_RK - mean) / total_R[:, None]


def scalars(theta_P: np.ndarray, *positions: int) -> list[np.ndarray]:
    """Return the parameters at these positions, each (..., 1), so that they broadcast over runs."""
    theta_P = np.asarray(theta_P, dtype=np.float64)
    return [theta_P[..., p, None] for p in positions]


def vector(theta_P: np.ndarray, first: int, size: int) -> np.ndarray:
    """Return a block of parameters, (..., 1, size), so that it broadcasts over runs."""
    return np.asarray(theta_P, dtype=np.float64)[..., None, first : first + size]


def join(*parts: np.ndarray) -> np.ndarray:
    """Return the parts, each (..., R, any), broadcast against one another and joined along the last axis."""
    shape = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return np.concatenate([np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], axis=-1)


def lattice(lower_M: Iterable[float], upper_M: Iterable[float], count: int) -> np.ndarray:
    """Return (count, M) points that fill a box evenly, always the same ones.

    A Kronecker sequence: the d-th coordinate is the fractional part of s / phi^d, where phi^(M + 1) = phi + 1.
    """
    lower, upper = np.asarray(list(lower_M), float), np.asarray(list(upper_M), float)
    phi = 2.0
    for _ in range(60):
        phi = (1 + phi) ** (1 / (len(lower) + 1))
    steps = phi ** -np.arange(1, len(lower) + 1)
    return lower + (upper - lower) * ((0.5 + np.arange(1, count + 1)[:, None] * steps) % 1)


def robust_linear(
    basis_RQ: np.ndarray, values_R: np.ndarray, weights_R: np.ndarray | None = None, nonnegative: bool = True
) -> np.ndarray:
    """Return (Q,) coefficients of a linear least-squares problem in which runs gone wrong count for little.

    Huber's weights with the bend at two robust standard deviations, a few reweightings. Columns that the runs do not
    tell apart get the smallest coefficients.

    Args:
        basis_RQ: the columns.
        values_R: what their combination should be.
        weights_R: of the squared residuals; equal where None.
        nonnegative: whether the coefficients must not be negative.
    """
    from scipy.optimize import nnls

    def solve(matrix_1RQ: np.ndarray, values_1R: np.ndarray) -> np.ndarray:
        matrix_RQ, values_R = matrix_1RQ[0], values_1R[0]
        return (nnls(matrix_RQ, values_R) if nonnegative else np.linalg.lstsq(matrix_RQ, values_R))[0][None]

    return _reweighted(basis_RQ[None], values_R, weights_R, solve)[0]


def robust_lines(columns_SR: np.ndarray, values_R: np.ndarray) -> np.ndarray:
    """Return (S, 2) nonnegative floors and slopes of S lines, each as `robust_linear` finds it, all at once."""
    basis_SR2 = np.stack([np.ones_like(columns_SR), columns_SR], axis=-1)
    return _reweighted(basis_SR2, values_R, None, _nonnegative_pairs)


def _reweighted(
    basis_SRQ: np.ndarray,
    values_R: np.ndarray,
    weights_R: np.ndarray | None,
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return (S, Q) coefficients under Huber's weights; `solve` does S plain problems."""
    scale_S1Q = np.sqrt((basis_SRQ**2).sum(axis=1, keepdims=True))
    scale_S1Q[scale_S1Q == 0] = 1.0
    S, R, Q = basis_SRQ.shape
    given_R = np.ones(R) if weights_R is None else weights_R / weights_R.max()
    huber_SR, coefficients_SQ = np.ones((S, R)), np.zeros((S, Q))
    # A ridge of a millionth makes the answer unique without moving it visibly.
    ridge_SQQ = np.broadcast_to(1e-6 * np.eye(Q), (S, Q, Q))
    least = max(1e-12 * float(np.abs(values_R).max()), 1e-300)
    for _ in range(_PASSES):
        root_SR = np.sqrt(given_R * huber_SR)
        matrix = np.concatenate([root_SR[..., None] * basis_SRQ / scale_S1Q, ridge_SQQ], axis=1)
        values = np.concatenate([root_SR * values_R, np.zeros((S, Q))], axis=1)
        coefficients_SQ = solve(matrix, values) / scale_S1Q[:, 0]
        misses_SR = np.sqrt(given_R) * np.abs(values_R - (basis_SRQ @ coefficients_SQ[..., None])[..., 0])
        bend_S1 = 2 * ROBUST_SD * np.maximum(np.median(misses_SR, axis=1, keepdims=True), least)
        huber_SR = np.minimum(1.0, bend_S1 / np.maximum(misses_SR, 1e-300))
    return coefficients_SQ


def _nonnegative_pairs(matrix_SR2: np.ndarray, values_SR: np.ndarray) -> np.ndarray:
    """Return (S, 2) nonnegative least-squares coefficients: of both columns where these may be, else of the better."""
    q, r = np.linalg.qr(matrix_SR2)
    both_S2 = np.linalg.solve(r, (q.swapaxes(1, 2) @ values_SR[..., None]))[..., 0]
    squares_S2, fits_S2 = (matrix_SR2**2).sum(axis=1), (matrix_SR2 * values_SR[..., None]).sum(axis=1)
    alone_S2 = np.maximum(fits_S2, 0.0) / squares_S2
    better_S = (alone_S2 * np.maximum(fits_S2, 0.0)).argmax(axis=1)
    alone_S2[np.arange(len(alone_S2)), 1 - better_S] = 0.0
    return np.where((both_S2 >= 0).all(axis=1, keepdims=True), both_S2, alone_S2)


def best_starts(
    law: Law, candidates: Iterable[np.ndarray], tokens_RK: np.ndarray, losses_R: np.ndarray, count: int
) -> np.ndarray:
    """Return up to (count, P) candidates within the law's bounds, the smallest mean absolute residual first.

    A value that must stay positive to have a logarithm is raised to a thousandth of the losses' size or spread.
    """
    spread = max(float(np.ptp(losses_R)), 1e-3 * float(np.abs(losses_R).max()), 1e-12)
    theta_SP = np.array(list(candidates), dtype=np.float64)
    for p, parameter in enumerate(law.parameters):
        lower = 1e-3 * min(spread, 1.0) if parameter.scale == "log" and parameter.lower == 0 else parameter.lower
        theta_SP[:, p] = np.clip(theta_SP[:, p], lower, parameter.upper)
    with np.errstate(over="ignore", invalid="ignore"):
        misses = np.abs(law.predict(theta_SP, tokens_RK) - losses_R).mean(axis=-1)
    misses[~np.isfinite(misses)] = np.inf
    return theta_SP[np.argsort(misses, kind="stable")[:count]]


@dataclass(frozen=True)
class Features:
    """What a regressor sees of a mixture: columns with mean 0 and standard deviation 1 over the training runs.

    Tokens are divided by the training runs' median total first, so that their unit does not matter; a column that is
    the same in all training runs is zero everywhere, since they tell nothing of its effect.

    Attributes:
        kinds: any of `shares`, `tokens` (log(1 + 100 x)) and `total` (its logarithm).
        unit: the median total.
        centre: means of the columns.
        scale: standard deviations, infinite for constant columns.
    """

    kinds: tuple[str, ...]
    unit: float
    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, tokens_RK: np.ndarray, *kinds: str) -> Features:
        """Return the columns' means and scales in these runs."""
        unit = float(np.median(as_tokens(tokens_RK)[1])) or 1.0
        raw = cls(kinds, unit, np.zeros(1), np.ones(1))(tokens_RK)
        scale = raw.std(axis=0)
        return cls(kinds, unit, raw.mean(axis=0), np.where(scale > 1e-9 * np.abs(raw).max(axis=0), scale, np.inf))

    def __call__(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R, any) columns."""
        tokens_RK, total_R = as_tokens(tokens_RK)
        parts = {
            "shares": tokens_RK / np.maximum(total_R, 1e-300)[:, None],
            "tokens": np.log1p(100 * tokens_RK / self.unit),
            "total": np.log1p(100 * total_R / self.unit)[:, None],
        }
        return (np.concatenate([parts[kind] for kind in self.kinds], axis=1) - self.centre) / self.scale
