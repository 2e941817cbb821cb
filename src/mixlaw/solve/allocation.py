"""Splits a budget among domains whose losses are separate and convex: exactly, with a proof.

    minimise  sum_i f_i(w_i)    subject to  sum_i w_i = 1,  lower_i <= w_i <= upper_i

Each f_i is convex, so its marginal gain -f_i'(w) falls as w grows. For a common price lambda of a unit of weight,
every domain buys until its gain has fallen to the price: w_i(lambda), one scalar equation a domain. The sum of the
w_i(lambda) falls as the price rises; the price at which it is 1 gives the optimum. So K-dimensional optimisation
becomes root finding in one dimension, with a vectorised root finding inside. Both are Newton's method kept inside a
bracket that only ever shrinks, so neither can diverge.

Many problems of the same size are solved at once: shape letters K domains, B problems.

Source: the multiplier search is classical for resource allocation (Patriksson 2008, EJOR 185:1-46, section 3.1);
that mixing is of this form follows from Li, Liu, Xing 2025, arXiv 2508.11953, appendices B and C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

_MAX_PRICES, _MAX_WEIGHT_STEPS, _REFINEMENTS = 200, 100, 20
"""Largest numbers of prices, of steps to the weights at a price, and of steps near the optimum. No data."""

_ROUNDING = 1e-15
"""A weight this close to a bound counts as being at it. No data."""


class SeparableObjective(Protocol):
    """K convex functions of one weight each, for B problems."""

    def value(self, weights_KB: np.ndarray) -> np.ndarray:
        """Return f_i(w_i), shape (K, B)."""
        ...

    def slope(self, weights_KB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return f_i'(w_i) and f_i''(w_i), both (K, B)."""
        ...


@dataclass(frozen=True)
class Allocation:
    """The optimum of B problems.

    Attributes:
        weights_KB: the optimal weights.
        multiplier_B: lambda, the common marginal gain.
        kkt_residual_B: largest violation of the optimality conditions, relative to the price
            (or, where that is near zero, to the change of gain over a weight).
        gap_B: an upper bound on objective minus optimum, from the dual: convexity puts f_i above its tangent, so
            min over w of f_i(w) + lambda w is at least the tangent's minimum over the bounds.
    """

    weights_KB: np.ndarray
    multiplier_B: np.ndarray
    kkt_residual_B: np.ndarray
    gap_B: np.ndarray


def allocate(objective: SeparableObjective, lower_K: np.ndarray, upper_K: np.ndarray, problems: int = 1) -> Allocation:
    """Return the exact minimum of B separable convex problems over the same box and the simplex.

    Args:
        objective: f_i with derivatives.
        lower_K: smallest weights, >= 0, with a sum of at most 1.
        upper_K: largest weights, with a sum of at least 1; the caller has checked both.
        problems: B.
    """
    lower = np.broadcast_to(lower_K[:, None], (len(lower_K), problems))
    upper = np.broadcast_to(upper_K[:, None], lower.shape)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        weights, price = _clear_market(objective, lower, upper)
        return _certify(objective, weights, price, lower, upper)


def refine(objective: SeparableObjective, start_KB: np.ndarray, lower_K: np.ndarray, upper_K: np.ndarray) -> Allocation:
    """Return what a few of Newton's steps from near the optimum reach, with its certificate, in a fraction of the time.

    Each step minimises the quadratic model exactly over the box and the simplex, no weight moving by more than a factor
    of three. Where that was not enough, `gap_B` says so; `allocate` always is.
    """
    lower, upper = (np.broadcast_to(edge[:, None], start_KB.shape) for edge in (lower_K, upper_K))
    weights, price = start_KB, np.zeros(start_KB.shape[1])
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for _ in range(_REFINEMENTS):
            slope, curvature = objective.slope(weights)
            stiff = 1 / np.maximum(curvature, 1e-300)
            low = np.maximum(lower, weights / 3)
            high = np.minimum(upper, 3 * weights + 0.1 / len(weights))
            moved, price = _cheapest_quadratic(weights - slope * stiff, stiff, low, high, price)
            change = np.abs(moved - weights).max()
            weights = moved
            if not change > 1e-9:
                break
        price = np.where(np.isfinite(price), price, 0.0)
        return _certify(objective, weights, price, lower, upper)


def _cheapest_quadratic(
    centre: np.ndarray, stiff: np.ndarray, low: np.ndarray, high: np.ndarray, price: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return clip(centre - price stiff, low, high) with the price, for each problem, at which the sum is 1."""
    cheap, dear = np.full_like(price, -np.inf), np.full_like(price, np.inf)
    for _ in range(_MAX_PRICES):
        weights = np.clip(centre - price * stiff, low, high)
        excess = weights.sum(axis=0) - 1
        if np.all(np.abs(excess) <= 1e-14):
            break
        cheap, dear = np.where(excess >= 0, price, cheap), np.where(excess <= 0, price, dear)
        yielding = np.where((weights > low) & (weights < high), stiff, 0.0).sum(axis=0)
        newton = price + excess / np.maximum(yielding, 1e-300)
        inside = (newton > cheap) & (newton < dear) & (yielding > 0)
        size = 2 * np.abs(price) + 1e-6
        middle = np.where(np.isinf(dear), price + size, np.where(np.isinf(cheap), price - size, (cheap + dear) / 2))
        following = np.where(inside, newton, middle)
        if np.all(following == price):
            break
        price = np.where(np.abs(excess) <= 1e-14, price, following)
    return weights, price


def _clear_market(objective: SeparableObjective, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and the price at which they sum to one."""
    room = np.maximum(upper - lower, 0)
    share = np.clip((1 - lower.sum(axis=0)) / np.maximum(room.sum(axis=0), 1e-300), 0, 1)
    weights = lower + room * share
    at_lower, at_upper = (np.nan_to_num(_gain(objective, edge)[0], nan=np.inf) for edge in (lower, upper))
    market = _Market(objective, lower, upper, at_lower, at_upper)
    gain, _ = _gain(objective, weights)
    free = (room > 0) & np.isfinite(gain)
    price = np.where(free, gain, 0).sum(axis=0) / np.maximum(free.sum(axis=0), 1)
    # cheap: a price at which the weights sum to one or more; dear: to one or less.
    cheap, dear = at_upper.min(axis=0), at_lower.max(axis=0)
    w_cheap, w_dear = upper, lower
    for _ in range(_MAX_PRICES):
        weights, curvature = market.buy(price, weights)
        excess = weights.sum(axis=0) - 1
        over = excess >= 0
        w_cheap, w_dear = np.where(over, weights, w_cheap), np.where(over, w_dear, weights)
        cheap, dear = np.where(over, price, cheap), np.where(over, dear, price)
        narrow = dear - cheap <= 4e-16 * np.maximum(np.abs(dear), np.abs(cheap))
        if np.all((np.abs(excess) <= 1e-15) | narrow):
            break
        inside = (weights > lower) & (weights < upper)
        yielding = np.where(inside, 1 / np.maximum(curvature, 1e-300), 0).sum(axis=0)
        price = _next_price(price, excess, yielding, cheap, dear)
    # What is left of the budget is split between the two sides of the bracket: exact also where a flat f_i makes
    # the demand jump.
    sum_cheap, sum_dear = w_cheap.sum(axis=0), w_dear.sum(axis=0)
    spread = sum_cheap - sum_dear
    part = np.where(spread > 0, (1 - sum_dear) / np.where(spread > 0, spread, 1), 1.0)
    weights = w_dear + np.clip(part, 0, 1) * (w_cheap - w_dear)
    # The split rounds: a weight within rounding of its bound is at its bound.
    weights = np.where(np.abs(weights - lower) <= _ROUNDING, lower, weights)
    return np.where(np.abs(weights - upper) <= _ROUNDING, upper, weights), price


def _next_price(
    price: np.ndarray, excess: np.ndarray, yielding: np.ndarray, cheap: np.ndarray, dear: np.ndarray
) -> np.ndarray:
    """Return Newton's price, or a bisection where that leaves the bracket.

    Demand is nearly linear in 1 / price where gains are nearly reciprocal in the weight, so Newton works on that.
    """
    step = excess / np.where(yielding > 0, yielding, np.nan)
    newton = np.where((price > 0) & (step < price), price / (1 - step / np.where(price > 0, price, 1)), price + step)
    both = (cheap > 0) & np.isfinite(dear)
    middle = np.where(both, np.sqrt(np.maximum(cheap, 0)) * np.sqrt(np.where(both, dear, 1)), (cheap + dear) / 2)
    size = np.maximum(np.abs(price), 1e-12)
    middle = np.where(np.isinf(dear) & np.isfinite(cheap), cheap + 4 * size, middle)
    middle = np.where(np.isinf(cheap) & np.isfinite(dear), dear - 4 * size, middle)
    middle = np.where(np.isinf(cheap) & np.isinf(dear), price + np.sign(excess) * size, middle)
    return np.where((newton > cheap) & (newton < dear), newton, middle)


@dataclass(frozen=True)
class _Market:
    """The domains as buyers of weight; gains at the bounds are known beforehand."""

    objective: SeparableObjective
    lower: np.ndarray
    upper: np.ndarray
    at_lower: np.ndarray
    at_upper: np.ndarray

    def buy(self, price: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return w_i(price): where the gain has fallen to the price, or the bound that stops it; and f_i'' there."""
        idle, full = self.at_lower <= price, self.at_upper >= price
        settled = idle | full
        low, high = self.lower, self.upper
        weights = np.where(full, high, np.where(idle, low, start))
        outside = ~settled & ((weights <= low) | (weights >= high))
        weights = np.where(outside, low + (high - low) / 8, weights)
        curvature = np.ones_like(weights)
        for step in range(_MAX_WEIGHT_STEPS):
            gain, curvature = _gain(self.objective, weights)
            short = gain > price  # worth more than it costs: buy more
            low, high = np.where(short, weights, low), np.where(short, high, weights)
            slope = np.maximum(curvature, 1e-300)
            newton = weights + (gain - price) / slope * np.where((gain > 0) & (price > 0), gain / price, 1.0)
            middle = np.where(low > 0, np.sqrt(np.maximum(low, 0) * high), high / 8)
            still = np.abs(newton - weights) <= 4e-16 * np.abs(weights)
            # Where a weight nears 1 the curvature has a pole, and Newton can stand still far from the price.
            near = np.abs(gain - price) <= 1e-9 * np.maximum(np.abs(gain), np.abs(price))
            settled = settled | (gain == price) | still & near | (high - low <= 4e-16 * high)
            good = (newton > low) & (newton < high) & ~(still & ~near)
            if step % 5 == 4:  # halve now and then, whatever Newton says: the bracket must shrink
                good &= near
            if settled.all():
                break
            weights = np.where(settled, weights, np.where(good, newton, middle))
        return weights, curvature


def _gain(objective: SeparableObjective, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slope, curvature = objective.slope(weights)
    return -slope, curvature


def _certify(
    objective: SeparableObjective, weights: np.ndarray, price: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> Allocation:
    gain, curvature = _gain(objective, weights)
    excess = gain - price  # > 0: the domain should grow, < 0: shrink
    violation = np.where(weights < upper, np.maximum(excess, 0), 0) + np.where(
        weights > lower, np.maximum(-excess, 0), 0
    )
    # The price itself can be zero: then the change of gain over a domain's whole weight is the yardstick.
    inside = (weights > lower) & (weights < upper)
    scale = np.maximum(np.abs(price), np.where(inside, weights * curvature, 0).max(axis=0))
    scale = np.maximum(scale, np.finfo(float).tiny)
    tangent = np.where(excess > 0, excess * (upper - weights), -excess * (weights - lower))
    tangent = np.where((upper - lower) > 0, tangent, 0.0)
    return Allocation(weights, price, violation.max(axis=0) / scale, tangent.sum(axis=0))
