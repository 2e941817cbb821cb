"""Fits of every law that the report's explorer evaluates, with parameters drawn at random: nothing is fitted here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.result import Fit
from mixlaw.solve.solution import Certificate, Solution
from planted_fits import names_of, planted_fit

DRAWS = 120
AVAILABLE = {"chat": 9e6, "code": 2e6, "math": 700e3}
RANGES = {
    "C": (0.3, 1.0), "k": (0.05, 0.5), "alpha": (0.3, 0.95), "beta": (0.08, 0.35), "E": (0.4, 1.3), "n0": (0.01, 0.5),
    "a": (0.4, 1.0), "t": (0.01, 0.6), "e": (-0.1, 0.1), "h": (0.0, 0.0), "c": (0.3, 1.0), "B": (0.2, 1.0),
    "b": (0.05, 0.4), "g": (0.2, 0.9), "p": (0.5, 2.0), "N_eq": (0.05, 0.5), "D_t": (0.5, 5.0), "mean": (1.0, 2.0),
}  # fmt: skip


def planted(law: str, *, interference: bool = False, decay: float = np.inf, targets: tuple[str, ...] = ()) -> Fit:
    """Return a fit of `law` on three domains whose point and draws are random within `RANGES`.

    Args:
        law: its name.
        interference: whether h of `pairwise` is other than 0.
        decay: R* of repeated tokens.
        targets: by default the domains.
    """
    generator, domains = np.random.default_rng(7), tuple(AVAILABLE)
    ranges = RANGES | ({"h": (-0.15, 0.3)} if interference else {})
    if law == "additive":
        ranges = ranges | {"C": (1.0, 4.0)}
    points, draws, targets = {}, {}, targets or domains
    for target in targets:
        names = names_of(law, domains, target)
        low, high = np.array([ranges[name.partition("[")[0]] for name in names]).T
        values = generator.uniform(low, high, (DRAWS + 1, len(names)))
        values[1:] = values[0] + 0.1 * (values[1:] - values[0])
        points[target], draws[target] = values[0], values[1:]
    tokens = np.exp(generator.uniform(np.log(2e5), np.log(3e6), (14, 3)))
    runs = RunTable(tuple(f"run-{r}" for r in range(14)), domains, targets, tokens, np.ones((14, len(targets))))
    fit = planted_fit(law, runs, points, draws, message="")
    losses = np.column_stack([fitted.curve.losses(tokens / 1e6) for fitted in fit.targets.values()])
    return planted_fit(law, replace(runs, losses_RJ=losses), points, draws, message="", decay=decay)


def solution_of(fit: Fit, weights: dict[str, float], budget: int) -> Solution:
    """Return a solution that says these weights, without solving; the baseline is equal."""
    equal = {"weights": dict.fromkeys(weights, 1 / len(weights))}
    tokens = {domain: round(share * budget) for domain, share in weights.items()}
    return Solution(
        "optimal", budget, weights, tokens, {}, {}, {}, {"equal": equal}, 0.0, {}, Certificate(0, 0, 0), 1.0,
        objective="mean", target_weights=dict.fromkeys(fit.targets, 1.0),
    )  # fmt: skip
