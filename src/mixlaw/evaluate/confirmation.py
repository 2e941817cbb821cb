"""What confirmation runs showed: losses with intervals, differences paired by seed, and the gap to the best.

Runs of one seed share their samples' prefixes and order, so their differences are less noisy than their losses. A few
seeds tell little about the scatter of one difference, so it is estimated from the runs of all mixtures: the two-way
layout of mixtures and seeds, without interaction. With two mixtures that is the paired t-interval. Source: Scheffe
1959, The Analysis of Variance, section 4.2.

Shape letters: S seeds, J targets, M mixtures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.target_units import is_metric, perplexity_of

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
    published figure. Intervals are 90 % t-intervals over the seeds, of differences with the scatter of all mixtures
    (`difference`); `beyond_interval`: it leaves out 0. With one seed, those of differences come from
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
    perplexities = {name: _mean_perplexities(values, targets) for name, values in losses.items()}
    total_noise = math.sqrt(sum((weights.get(t, 0.0) * (noise or {}).get(t, math.nan)) ** 2 for t in targets))
    mixtures = {}
    for name, values in losses.items():
        by_target = {
            t: mean_interval(values[:, j])
            | {"perplexity": math.nan if is_metric(t) else perplexity_of(values[:, j].mean())}
            for j, t in enumerate(targets)
        }
        mixtures[name] = {
            "losses": by_target,
            "total": mean_interval(totals[name]),
            "mean_perplexity": mean_interval(perplexities[name]),
            "seeds": len(values),
        }
        if name != SOLUTION:
            mixtures[name]["minus_solution"] = difference(totals, name, SOLUTION, total_noise)
            mixtures[name]["minus_solution_by_target"] = {
                t: difference({m: v[:, j] for m, v in losses.items()}, name, SOLUTION, (noise or {}).get(t, math.nan))
                for j, t in enumerate(targets)
            }
    best = min(totals, key=lambda name: (totals[name].mean(), name))
    return {"mixtures": mixtures, "best": best, "gap_to_best": _gap(best, totals, perplexities, losses, targets)}


def _mean_perplexities(losses_SJ: np.ndarray, targets: Sequence[str]) -> np.ndarray:
    """Return each seed's mean perplexity over the targets that are no metrics; NaN where there is none to be shown."""
    places = [j for j, target in enumerate(targets) if not is_metric(target)]
    means = [np.mean([perplexity_of(row[j]) for j in places]) if places else math.nan for row in losses_SJ]
    return np.array(means, float)


def _gap(
    best: str,
    totals: Mapping[str, np.ndarray],
    perplexities: Mapping[str, np.ndarray],
    losses: Mapping[str, np.ndarray],
    targets: Sequence[str],
) -> dict[str, Any]:
    """Return how far the solution is above the best mixture, and target by target above each target's own best."""
    nats = difference(totals, SOLUTION, best)
    lowest = min(values.mean() for values in perplexities.values())
    own = {
        t: perplexity_of(losses[SOLUTION][:, j].mean() - min(values[:, j].mean() for values in losses.values())) - 1
        for j, t in enumerate(targets)
        if not is_metric(t)
    }
    return {
        "total_nats": nats,
        "total_percent": 100 * nats["mean"] / float(totals[best].mean()),
        "mean_perplexity_percent": 100 * (float(perplexities[SOLUTION].mean()) / float(lowest) - 1),
        "own_best_perplexity_percent": {t: 100 * gap for t, gap in own.items()},
    }


def limits(
    losses: Mapping[str, Mapping[str, float]],
    base: Mapping[str, float],
    floor: Mapping[str, float],
    no_worse: Mapping[str, float],
    reference: str | Mapping[str, float],
    foretold: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return how the solution's measured losses stand to the limits that it was solved with.

    Args:
        losses: mixture -> target -> mean loss, nats; `solution` among them.
        base: target -> the base model's loss, nats, as far as it was measured.
        floor: target -> what its loss may be at the most, nats.
        no_worse: target -> percent by which its loss may exceed that of the reference.
        reference: `base`, the name of a mixture, or shares; without its losses nothing judges its limits.
        foretold: of the solution, `mixlaw.solve.Solution.limits`.

    Returns:
        One {target, reference, limit_percent, measured_percent, kept, probability_kept} each; the reference of a
        `floor` is None, its percents are of the limit. What nothing judges has None as measured_percent and kept.
    """
    named = reference if isinstance(reference, str) else "your"
    there = base if named == "base" else losses.get(named, {})
    asked = [(target, None, nats, 0.0) for target, nats in floor.items()]
    asked += [(target, named, there.get(target), percent) for target, percent in no_worse.items()]
    found, chances = [], {(one["target"], one["reference"]): one["probability_kept"] for one in foretold}
    for target, of, nats, percent in asked:
        share = losses[SOLUTION][target] / nats if nats is not None and target in losses[SOLUTION] else None
        found.append(
            {
                "target": target,
                "reference": of,
                "limit_percent": percent,
                "measured_percent": None if share is None else 100 * (share - 1),
                "kept": None if share is None else share <= 1 + percent / 100,
                "probability_kept": chances.get((target, of)),
            }
        )
    return found


def mean_interval(values_S: np.ndarray) -> dict[str, float | None]:
    """Return mean, low and high of the 90 % t-interval of a mean; one value has no interval."""
    values_S = np.asarray(values_S, float)
    count = len(values_S)
    return _interval(float(values_S.mean()), float(values_S.std(ddof=1)) if count > 1 else math.nan, count, count - 1)


def difference(values: Mapping[str, np.ndarray], first: str, second: str, noise: float = math.nan) -> dict[str, Any]:
    """Return by how much one mixture's mean is above another's, with the 90 % interval.

    Runs of one seed are a pair. The scatter is that of all mixtures after each one's mean and each seed's mean are
    taken off, with (M - 1) (S - 1) degrees of freedom, where one difference alone has S - 1; it takes mixtures to
    scatter alike.

    Args:
        values: mixture -> (S,) nats, the same seeds in the same order.
        first: a mixture.
        second: another one, or the same.
        noise: standard deviation of a run, nats, from which the interval comes where there is one seed; NaN: none.

    Returns:
        {mean, low, high, seeds_higher, beyond_interval}.
    """
    differences_S = np.asarray(values[first], float) - np.asarray(values[second], float)
    mean, seeds = float(differences_S.mean()), len(differences_S)
    if seeds == 1:
        found = _interval(mean, math.sqrt(2) * noise, 1, math.inf)
    else:
        all_MS = np.array([np.asarray(value, float) for value in values.values()])
        left_MS = all_MS - all_MS.mean(1, keepdims=True) - all_MS.mean(0) + all_MS.mean()
        freedom = max((len(all_MS) - 1) * (seeds - 1), 1)
        scatter = math.sqrt(2 * float((left_MS**2).sum()) / freedom) if first != second else 0.0
        found = _interval(mean, scatter, seeds, freedom)
    low, high = found["low"], found["high"]
    beyond = low is not None and high is not None and (low > 0 or high < 0)
    return found | {"seeds_higher": int((differences_S > 0).sum()), "beyond_interval": beyond}


def _interval(mean: float, scatter: float, count: int, freedom: float) -> dict[str, float | None]:
    """Return the 90 % t-interval of a mean of `count` values that scatter by `scatter`; none where that is NaN."""
    if math.isnan(scatter):
        return {"mean": mean, "low": None, "high": None}
    from scipy.stats import t

    half = float(t.ppf((1 + _LEVEL) / 2, freedom)) * scatter / math.sqrt(count)
    return {"mean": mean, "low": mean - half, "high": mean + half}
