"""What the law says about mixtures against one another, draw by draw, so that differences have intervals of their own.

Two mixtures' bands overlap even where one surely beats the other, because both follow the same uncertain floor. The
differences are therefore taken within each posterior draw. Shape letters: S draws, J targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlaw.core.mixture import Mixture
from mixlaw.fit.result import Fit
from mixlaw.solve.solution import Solution

LEVEL = 0.02
"""Levels of tokens this near to each other count as one: whole rows never make quite the same number."""

_BAND = (0.05, 0.95)


@dataclass(frozen=True)
class Change:
    """A relative change of a loss; negative is better.

    Attributes:
        mean: share, of the expected losses (-0.03 = 3 % lower).
        low: lower end of the 90 % interval.
        high: upper end; equal to `low` where the fit has no uncertainty.
        median: over the draws; far from `mean` where few draws make most of it.
    """

    mean: float
    low: float
    high: float
    median: float

    @property
    def has_interval(self) -> bool:
        """Whether the fit's draws differ at all."""
        return self.high - self.low > 1e-12

    @property
    def sure(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.has_interval and self.low * self.high > 0

    def to_json(self) -> dict[str, float | None]:
        """Return the JSON form; an end of an interval that does not exist is None."""
        ends = (self.low, self.high) if self.has_interval else (None, None)
        return {"mean": self.mean, "low": ends[0], "high": ends[1], "median_of_draws": self.median}


def available_of(solution: Solution, study: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Return domain -> distinct tokens there are: as the study says, else as the solution's epochs do."""
    if (study or {}).get("available_tokens"):
        return {d: float(n) for d, n in (study or {})["available_tokens"].items() if d in solution.weights}
    found: dict[str, float] = {}
    # Equal first: there every domain has tokens, and hence epochs that tell how many there are.
    for name in sorted(solution.baselines, key=lambda name: name != "equal"):
        baseline = solution.baselines[name]
        tokens = Mixture(baseline["weights"], solution.budget_tokens).tokens
        for domain, epochs in baseline.get("epochs", {}).items():
            if epochs > 0:
                found.setdefault(domain, tokens[domain] / epochs)
    return found


def losses_by_draw(fit: Fit, tokens: Mapping[str, float], available: Mapping[str, float] | None = None) -> np.ndarray:
    """Return (S, J) losses of one mixture in the draws that decisions rest on, nats; arguments as `Fit.predict`."""
    return fit.predict({domain: tokens.get(domain, 0.0) for domain in fit.domains}, available).draws[:, 0]


def mixtures(solution: Solution) -> dict[str, dict[str, int]]:
    """Return the tokens of the solution (`recommended`) and of its baselines."""
    found = {"recommended": dict(solution.tokens)}
    for name, baseline in solution.baselines.items():
        found[name] = Mixture(baseline["weights"], solution.budget_tokens).tokens
    return found


def total_changes(fit: Fit, solution: Solution) -> dict[str, Change]:
    """Return baseline -> change of the weighted total loss when the solution takes its place."""
    tokens, available = mixtures(solution), available_of(solution)
    g_J = np.array([solution.target_weights.get(target, 1.0) for target in fit.targets])
    drawn = {name: losses_by_draw(fit, t, available) @ g_J for name, t in tokens.items()}
    return {name: change_of(drawn["recommended"], drawn[name]) for name in solution.baselines}


def target_changes(fit: Fit, solution: Solution, against: str = "equal") -> dict[str, dict[str, Change]]:
    """Return mixture -> target -> change of that target's loss against a baseline."""
    tokens, available = mixtures(solution), available_of(solution)
    base_drawn = losses_by_draw(fit, tokens[against], available)
    changes: dict[str, dict[str, Change]] = {}
    for name, mixture in tokens.items():
        if name != against:
            drawn = losses_by_draw(fit, mixture, available)
            changes[name] = {target: change_of(drawn[:, j], base_drawn[:, j]) for j, target in enumerate(fit.targets)}
    return changes


def change_of(drawn_S: np.ndarray, base_S: np.ndarray) -> Change:
    """Return the change from a base, of the means over S draws and within each of them."""
    mean = float(drawn_S.mean() / base_S.mean() - 1)
    low, median, high = map(float, np.quantile(drawn_S / base_S - 1, (_BAND[0], 0.5, _BAND[1])))
    return Change(mean, min(low, mean), max(high, mean), median)


def intervals(fit: Fit) -> dict[str, dict[str, tuple[float, float]]]:
    """Return target -> parameter -> 90 % interval over the draws, widened to hold the reported value."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for target, fitted in fit.targets.items():
        values = fitted.parameters
        for name, drawn in fitted.draws.items():
            low, high = map(float, np.quantile(drawn, _BAND))
            found.setdefault(target, {})[name] = (min(low, values[name]), max(high, values[name]))
    return found


def curve(fit: Fit, target: str, own_tokens: np.ndarray, others_tokens: float) -> tuple[np.ndarray, ...]:
    """Return mean, low and high of a target's loss along its own tokens, the others' total held; nats.

    The other domains share their total as they do in the runs. A target that is no domain is shown along the total.
    """
    shares = fit.runs.tokens_RK.sum(axis=0)
    own = np.array([domain == target for domain in fit.domains], float)
    shares = shares * (1 - own)
    shares = shares / max(float(shares.sum()), 1e-300)
    along, level = (own, others_tokens * shares) if own.any() else (shares, 0.0)
    tokens_RK = own_tokens[:, None] * along + level
    found, j = fit.predict(tokens_RK), list(fit.targets).index(target)
    return found.mean[:, j], found.mean_low[:, j], found.mean_high[:, j]


def base_level(others_R: np.ndarray) -> float:
    """Return the level of the other domains' tokens that most runs share (within 2 %), the median of them."""
    positive = others_R[others_R > 0]
    if not positive.size:
        return 0.0
    near = np.abs(np.log(positive[:, None] / positive[None])) <= LEVEL
    counts = near.sum(axis=1)
    best = np.flatnonzero(counts == counts.max())
    middle = np.median(positive)
    centre = best[np.argmin(np.abs(np.log(positive[best] / middle)))]
    return float(np.median(positive[near[centre]]))
