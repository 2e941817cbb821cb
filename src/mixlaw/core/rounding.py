"""Numbers that a remedy names: in three digits, rounded to the side on which the remedy works when it is followed."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

_DIGITS = 3
"""Digits of a named number. No data."""

_ROUNDING = 1e-12
"""By which part a number may be off from one of three digits and still be that one: rounding of floats. No data."""


def up(value: float) -> float:
    """Return the smallest number of three digits that is not below a positive value."""
    return _to_digits(value * (1 - _ROUNDING), ROUND_CEILING)


def down(value: float) -> float:
    """Return the largest number of three digits that is not above a positive value."""
    return _to_digits(value * (1 + _ROUNDING), ROUND_FLOOR)


def shown(value: float) -> str:
    """Return a number of at most three digits as people write it: 0.0123, 12.5, 40100."""
    return f"{value:.10g}".replace("e+", "e")


def _to_digits(value: float, rounding: str) -> float:
    exact = Decimal(value)
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1), rounding=rounding))
