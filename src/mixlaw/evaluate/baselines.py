"""The mixtures that a solution is compared with, as weights in training tokens.

| name | shares |
|---|---|
| `equal` | 1 / K |
| `equal_rows` | the same number of conversations of every domain: w_i in proportion to its tokens per row |
| `natural` | in proportion to the available tokens U_i |
| `unimax` | as equal as a limit on epochs allows: domains fill up from the smallest (Chung 2023, arXiv 2304.09151) |
| `temperature_0.5` | w_i in proportion to U_i^0.5 (multilingual BERT's exponential smoothing) |
| `grid-...` | all shares in whole eighths, none of them 0: 21 mixtures of three domains (Li 2025, section 5.2) |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import comb

from mixlaw.core.errors import ConfigError

GRID_STEPS = 8
_MOST_GRID_POINTS = 200


def baselines(
    available_tokens: Mapping[str, float],
    rows: Mapping[str, int],
    budget_tokens: float,
    max_epochs: float | None,
) -> dict[str, dict[str, float]]:
    """Return name -> {domain: share} of the usual mixtures.

    Args:
        available_tokens: domain -> U_i.
        rows: domain -> conversations.
        budget_tokens: N.
        max_epochs: limit of UniMax; None for 1, its authors' choice where data are plenty.
    """
    return {
        "equal": _shares(dict.fromkeys(available_tokens, 1.0)),
        "equal_rows": _shares({name: u / rows[name] for name, u in available_tokens.items()}),
        "natural": _shares(available_tokens),
        "unimax": unimax(available_tokens, budget_tokens, max_epochs or 1.0),
        "temperature_0.5": _shares({name: u**0.5 for name, u in available_tokens.items()}),
    }


def unimax(available_tokens: Mapping[str, float], budget_tokens: float, max_epochs: float) -> dict[str, float]:
    """Return the most equal shares in which no domain is passed more than `max_epochs` times.

    From the smallest domain up, each gets the smaller of an equal part of what is left and `max_epochs * U_i`. Where
    the budget exceeds what all of them supply, shares are in proportion to the supplies.

    Source: Chung et al. 2023, arXiv 2304.09151, algorithm 1.
    """
    left, given = float(budget_tokens), {}
    order = sorted(available_tokens, key=lambda name: (available_tokens[name], name))
    for place, name in enumerate(order):
        given[name] = min(left / (len(order) - place), max_epochs * available_tokens[name])
        left -= given[name]
    return _shares({name: given[name] for name in available_tokens})


def grid(domains: list[str], steps: int = GRID_STEPS) -> dict[str, dict[str, float]]:
    """Return the mixtures whose shares are whole multiples of 1 / steps, each at least one.

    Raises:
        ConfigError: there is one domain, or there are so many that the grid has more than 200 points.
    """
    count = comb(steps - 1, len(domains) - 1)
    if len(domains) < 2 or not 1 <= count <= _MOST_GRID_POINTS:
        raise ConfigError(
            f"--grid: {len(domains)} domains have {count} mixtures in steps of 1/{steps}; between 2 domains and "
            f"{_MOST_GRID_POINTS} mixtures can be trained.",
            "Leave out --grid.",
        )
    return {
        "grid-" + "-".join(map(str, parts)): {name: part / steps for name, part in zip(domains, parts, strict=True)}
        for parts in _compositions(steps, len(domains))
    }


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    for bars in combinations(range(1, total), parts - 1):
        yield tuple(b - a for a, b in zip((0, *bars), (*bars, total), strict=True))


def _shares(amounts: Mapping[str, float]) -> dict[str, float]:
    total = sum(amounts.values())
    return {name: amount / total for name, amount in amounts.items()}
