"""What confirmation runs showed: losses with intervals, differences paired by seed, and the gap to the best.

Runs of one seed share their samples' prefixes and order, so their differences are less noisy than their losses.

Shape letters: S seeds, J targets, M mixtures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

_LEVEL = 0.9
SOLUTION = "solution"


def summarise(
    losses: Mapping[str, np.ndarray],
    targets: Sequence[str],
    weights: Mapping[str, float],
    noise: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return the comparison of mixtures, as JSON values.

    `total` is sum_j g_j L_j, what the solution minimises. `mean_perplexity` is the mean over targets of exp(L_j), the
    published figure. Intervals are 90 % t-intervals over the seeds. With one seed, those of differences come from
    `noise`: the difference of two runs scatters by sqrt(2) times that of a run. The best mixture is chosen by the same
    runs, so the gap to it is on average too large by about the noise of a mean.

    Args:
        losses: mixture -> (S, J) nats, the same seeds in the same order for all; `solution` among them.
        targets: J names.
        weights: target -> g_j.
        noise: target -> standard deviation of a run's loss, nats, as the fit knows it; for one seed only.

    Returns:
        {mixtures: {name: {losses: {target: {mean, low, high, perplexity}}, total, mean_perplexity, seeds,
        minus_solution, minus_solution_by_target}}, best, gap_to_best}.
    """
    g_J = np.array([weights.get(target, 0.0) for target in targets])
    totals = {name: values @ g_J for name, values in losses.items()}
    perplexities = {name: np.exp(values).mean(axis=1) for name, values in losses.items()}
    total_noise = math.sqrt(sum((weights.get(t, 0.0) * (noise or {}).get(t, math.nan)) ** 2 for t in targets))
    mixtures = {}
    for name, values in losses.items():
        by_target = {
            t: mean_interval(values[:, j]) | {"perplexity": math.exp(values[:, j].mean())}
            for j, t in enumerate(targets)
        }
        mixtures[name] = {
            "losses": by_target,
            "total": mean_interval(totals[name]),
            "mean_perplexity": mean_interval(perplexities[name]),
            "seeds": len(values),
        }
        if name != SOLUTION:
            mixtures[name]["minus_solution"] = _difference(totals[name], totals[SOLUTION], total_noise)
            mixtures[name]["minus_solution_by_target"] = {
                t: _difference(values[:, j], losses[SOLUTION][:, j], (noise or {}).get(t, math.nan))
                for j, t in enumerate(targets)
            }
    best = min(totals, key=lambda name: (totals[name].mean(), name))
    return {"mixtures": mixtures, "best": best, "gap_to_best": _gap(best, totals, perplexities, losses, targets)}


def _gap(
    best: str,
    totals: Mapping[str, np.ndarray],
    perplexities: Mapping[str, np.ndarray],
    losses: Mapping[str, np.ndarray],
    targets: Sequence[str],
) -> dict[str, Any]:
    """Return how far the solution is above the best mixture, and target by target above each target's own best."""
    nats = _difference(totals[SOLUTION], totals[best])
    lowest = min(values.mean() for values in perplexities.values())
    own = [
        math.exp(losses[SOLUTION][:, j].mean() - min(values[:, j].mean() for values in losses.values())) - 1
        for j in range(len(targets))
    ]
    return {
        "total_nats": nats,
        "total_percent": 100 * nats["mean"] / float(totals[best].mean()),
        "mean_perplexity_percent": 100 * (float(perplexities[SOLUTION].mean()) / float(lowest) - 1),
        "own_best_perplexity_percent": {t: 100 * gap for t, gap in zip(targets, own, strict=True)},
    }


def mean_interval(values_S: np.ndarray) -> dict[str, float | None]:
    """Return mean, low and high of the 90 % t-interval of a mean; one value has no interval."""
    values_S = np.asarray(values_S, float)
    mean = float(values_S.mean())
    if len(values_S) < 2:
        return {"mean": mean, "low": None, "high": None}
    from scipy.stats import t

    half = float(t.ppf((1 + _LEVEL) / 2, len(values_S) - 1) * values_S.std(ddof=1) / math.sqrt(len(values_S)))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _difference(first_S: np.ndarray, second_S: np.ndarray, noise: float = math.nan) -> dict[str, Any]:
    """Return the interval of a difference: over the seeds, or with one seed from the scatter of a run, nats."""
    difference = np.asarray(first_S) - np.asarray(second_S)
    found = mean_interval(difference)
    if len(difference) == 1 and math.isfinite(noise):
        half, mean = NormalDist().inv_cdf((1 + _LEVEL) / 2) * math.sqrt(2) * noise, float(difference[0])
        found |= {"low": mean - half, "high": mean + half}
    return found | {"seeds_higher": int((difference > 0).sum())}
