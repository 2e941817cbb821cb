"""Numbers as a reader wants them: sensible digits, a true minus sign, units beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mixlaw.core.target_units import perplexity_of

MISSING = "–"
"""What stands for a number that does not exist."""


def _minus(text: str) -> str:
    return text.replace("-", "−")


def nats(value: float | None, digits: int = 4) -> str:
    """Return a loss in nats with four decimals."""
    return MISSING if value is None or not math.isfinite(value) else _minus(f"{value:.{digits}f}")


def perplexity(loss_nats: float | None) -> str:
    """Return exp(loss) in four significant digits."""
    return significant(math.nan if loss_nats is None else perplexity_of(loss_nats), 4)


def decimals(value: float | None) -> str:
    """Return two decimals, or three digits where these would be long."""
    return f"{value:.2f}" if value is not None and abs(value) < 1e5 else significant(value)


def percent(share: float | None, digits: int = 1, sign: bool = False) -> str:
    """Return a share as a percentage; a small but positive one is never shown as 0."""
    if share is None or not math.isfinite(share):
        return MISSING
    value = 100 * share
    if not sign and 0 < value < 0.5 * 10**-digits:
        return f"<{10**-digits:g} %"
    text = f"{value:+.{digits}f}" if sign and round(value, digits) else f"{abs(value) if sign else value:.{digits}f}"
    return _minus(text) + " %"


def percent_interval(low: float, high: float, digits: int = 1, sign: bool = False) -> str:
    """Return `2.1 to 3.6 %`."""
    first = percent(low, digits, sign).removesuffix(" %")
    return f"{first} to {percent(high, digits, sign)}"


def digits_for(*shares: float) -> int:
    """Return the decimals that percentages of these shares need: one, or two where all are below 1 %."""
    return 1 if max(abs(share) for share in shares) >= 0.01 else 2


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number in so many significant digits; very small and very large ones as 3.1×10⁻⁵."""
    if value is None or not math.isfinite(value):
        return MISSING
    if abs(value) < 1e-12:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 <= exponent < max(digits, 6):
        return _minus(f"{value:.{max(digits - 1 - exponent, 0)}f}")
    mantissa = value / 10.0**exponent
    power = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return _minus(f"{mantissa:.{digits - 1}f}") + "×10" + power


def whole(value: float) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", "\u202f")


def whole_percents(weights: Mapping[str, float]) -> dict[str, int]:
    """Return shares as whole percentages that sum to 100 (largest remainders take the odd ones)."""
    floors = {name: math.floor(100 * share) for name, share in weights.items()}
    left = 100 - sum(floors.values())
    for name in sorted(weights, key=lambda n: (floors[n] - 100 * weights[n], n))[: max(left, 0)]:
        floors[name] += 1
    return floors


def listed(items: Sequence[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def shortened(text: str, length: int) -> str:
    """Return the text, cut in the middle with an ellipsis where it is longer than `length`."""
    if len(text) <= length:
        return text
    tail = max((length - 1) // 3, 1)
    return text[: length - 1 - tail] + "…" + text[-tail:]
