"""Beyond the runs, domains of one study gain alike from tokens of their own.

What a domain's loss falls by with a larger share of the tokens, its gain, is well known where there are runs. Far
beyond the largest it is known to within a factor of two or three, for each domain by itself; and weights that are the
best for such gains give a domain too little whose first steps showed nothing. But measured gains of the domains of one
collection differ by less than that: their logarithms have a standard deviation of .14 to .39 in public tables. So they
are taken for draws of one normal, whose mean the study's own domains tell:

    log G_j ~ N(m, tau^2)       G_j = -d L_j / d log w_j at equal shares and the total that is asked for

and the posterior draws of target j, which know nothing of the other targets, are drawn again with the probabilities

    p_s ~ exp(-r (log G_js - m_j)^2 / (2 (tau^2 + v_j)))        r = 1 - exp(-(x / 0.1)^2)

where m_j and v_j are the mean that the other targets tell and its variance, of means weighted by 1 / (var_k + tau^2),
x the distance of the total beyond the largest run in powers of e, and tau the spread that the domains show, begun at
TAU as if WORTH domains had shown it. Where the runs say what a gain is, draws hardly
differ and stay as they are. Draws that the others' gains all but exclude are kept where too few would be left: then the
runs insist.

Metrics have units of their own, and targets that are no domains, or that no equation describes, or whose loss is no
number out there, no gain of their own: they stay as they are.

Source: exchangeable parameters, Lindley and Smith 1972, J. R. Stat. Soc. B 34:1-41; the mean of the others as in
random-effects meta-analysis, DerSimonian and Laird 1986. Differs: the spread has a prior, and all is put on the draws
afterwards, by resampling (Smith and Gelfand 1992, Am. Stat. 46:84-88).

Shape letters: R mixtures, J targets, S draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mixlaw.core.target_units import is_metric
from mixlaw.fit.curve import Belief
from mixlaw.fit.estimating.regressor import RegressorLaw
from mixlaw.fit.units import MILLION
from mixlaw.laws.base import Law

if TYPE_CHECKING:
    from mixlaw.fit.result import Fit

TAU = 0.6
"""Standard deviation of the log gains of a study's domains, before they are seen. Chosen on: planted tuning worlds,
where .4 makes weights worse than .6 (docs/lab.md). In public tables least-squares slopes over the log share spread by
less: .24 to .30 in RegMix's runs (13 domains, three model sizes), .14 in the fine-tuning swarm (3), .39 in SlimPajama's
(7)."""

WORTH = 4.0
"""As how many domains that counts. No data."""

ROUNDS = 50
"""In which the spread settles. No data."""

STEP = 0.05
"""Totals are told apart by this, in powers of e: predictions and solutions of one total use the same draws. No data."""

NEAR = 0.1
"""Distance beyond the largest run from which this counts in full, in powers of e, as batches of runs do
(`mixlaw.fit.posterior.extrapolation`). No data."""

CHANGE = 0.2
"""Change of the log share by which gains are measured. No data."""

LEAST = 0.02
"""Gains below this part of the median are taken for it: of what is nearly nothing the logarithm would decide. No
data."""

FEWEST = 30
"""Independent draws that are left of a target's 200 at least. No data."""


Order = tuple[np.ndarray, ...]
"""Of each curve of a belief, (S,) places of its draws."""


def by_total(fit: Fit, totals_R: np.ndarray) -> list[tuple[np.ndarray, dict[str, Order]]]:
    """Return rows of mixtures, and what `orders_at` says of their totals.

    Args:
        fit: the fit.
        totals_R: total tokens of the mixtures.
    """
    steps_R = np.round(fit.distance(totals_R) / STEP)
    return [(np.flatnonzero(steps_R == step), orders_at(fit, float(step * STEP))) for step in np.unique(steps_R)]


def of_totals(
    belief: Belief,
    orders: Sequence[tuple[np.ndarray, Order | None]],
    tokens_RK: np.ndarray,
    distance_R: np.ndarray,
    log_sizes_R: np.ndarray | None,
) -> list[np.ndarray]:
    """Return each curve's (S / n, R) losses in the draws of one target, nats: `Belief.losses_by_draw` for each total.

    Args:
        belief: the target's, of n curves.
        orders: rows of mixtures, and the places of the draws that count at their totals; None for all as they are.
        tokens_RK: millions of tokens.
        distance_R: of the totals beyond the largest run, in powers of e.
        log_sizes_R: logarithms of model sizes, where the runs are of several.
    """
    found: list[np.ndarray] = []
    for rows, order in orders:
        sizes_R = None if log_sizes_R is None else log_sizes_R[rows]
        parts = in_order(belief, order).losses_by_draw(tokens_RK[rows], distance_R[rows], sizes_R)
        found = found or [np.empty((len(part), len(tokens_RK))) for part in parts]
        for whole_SR, part_SR in zip(found, parts, strict=True):
            whole_SR[:, rows] = part_SR
    return found


def in_order(belief: Belief, order: Order | None) -> Belief:
    """Return the belief with the draws of each curve at these places; None for all as they are."""
    if order is None:
        return belief
    curves = (curve.take(places) for curve, places in zip(belief.curves, order, strict=True))
    return replace(belief, curves=tuple(curves))


def half_as_they_were(order: Order) -> Order:
    """Return places of which half, evenly among the others, are those of the draws as they were.

    That domains gain alike is taken for likely, not seen: what is promised has to hold without it, too.
    """
    found = []
    for i, places in enumerate(order):
        counted = np.arange(i, len(places), len(order))  # of each curve, as they are drawn
        # By the golden ratio, so that evenly spaced draws are half and half, whatever their number.
        own = counted[np.arange(len(counted)) * (5**0.5 - 1) / 2 % 1 < 0.5]
        found.append(places.copy())
        found[i][own] = own
    return tuple(found)


def orders_at(fit: Fit, distance: float) -> dict[str, Order]:
    """Return target -> the places of the draws that count at a total so far beyond the largest run, in powers of e.

    Targets whose draws count as they are are left out.
    """
    x = float(np.round(distance / STEP) * STEP)
    if x <= 0 or fit.settled or len(fit.domains) < 2:
        return {}
    beliefs = {name: fit.targets[name].belief for name in fit.domains if name in fit.targets}
    beliefs = {name: belief for name, belief in beliefs.items() if _has_gain(belief, name)}
    total = fit.largest_run * np.exp(x) / MILLION
    known = {name: [_gain_S(fit, *p, total) for p in belief.drawn().parts] for name, belief in beliefs.items()}
    shared = [name for name, parts in known.items() if all(np.isfinite(part).all() for part in parts)]
    if len(shared) < 2:
        return {}
    gains = [known[name] for name in shared]
    least = LEAST * float(np.median(np.concatenate([np.concatenate(parts) for parts in gains])))
    if not least > 0:
        return {}
    logs = [[np.log(np.maximum(part, least)) for part in parts] for parts in gains]
    mean_J, variance_J = np.array([[part.mean(), part.var()] for part in map(np.concatenate, logs)]).T
    tau2 = _spread(mean_J, variance_J)
    trust_J, reach = 1 / (variance_J + tau2), 1 - np.exp(-((x / NEAR) ** 2))
    orders = {}
    for j, name in enumerate(shared):
        others_J = np.where(np.arange(len(shared)) == j, 0.0, trust_J)
        mean, width = others_J @ mean_J / others_J.sum(), (tau2 + 1 / others_J.sum()) / reach
        curves, order = beliefs[name].curves, []
        for i, (curve, part) in enumerate(zip(curves, logs[j], strict=True)):
            order.append(np.arange(len(curve.draws_SP)))
            order[i][i :: len(curves)] = order[i][i :: len(curves)][_chosen(part - mean, width)]
        orders[name] = tuple(order)
    return orders


def at_total(fit: Fit, total: float) -> Fit:
    """Return the fit whose draws are those of one total, whatever is asked: for slopes and tables over budgets."""
    beliefs = beliefs_at(fit, float(fit.distance(total)))
    targets = {name: replace(fitted, belief=beliefs[name]) for name, fitted in fit.targets.items()}
    return replace(fit, targets=targets, settled=True)


def constants() -> dict[str, float]:
    """Return the numbers above by their names, for the page that does the same."""
    named = {"tau": TAU, "worth": WORTH, "rounds": ROUNDS, "step": STEP, "near": NEAR}
    return named | {"change": CHANGE, "least": LEAST, "fewest": FEWEST}


def beliefs_at(fit: Fit, distance: float) -> dict[str, Belief]:
    """Return target -> belief at a total so far beyond the largest run, in powers of e."""
    orders = orders_at(fit, distance)
    return {name: in_order(fitted.belief, orders.get(name)) for name, fitted in fit.targets.items()}


def _spread(mean_J: np.ndarray, variance_J: np.ndarray) -> float:
    """Return tau^2, the variance of log gains of which means and variances are known."""
    tau2 = TAU**2
    for _ in range(ROUNDS):
        trust_J = 1 / (variance_J + tau2)
        off_J = tau2 * trust_J * (mean_J - trust_J @ mean_J / trust_J.sum())
        left_J = tau2 * trust_J * variance_J
        tau2 = float(WORTH * TAU**2 + np.sum(off_J**2 + left_J)) / (WORTH + len(mean_J))
    return tau2


def _has_gain(belief: Belief, name: str) -> bool:
    equations = not any(isinstance(curve.law, RegressorLaw) for curve in belief.curves)
    return equations and not is_metric(name) and all(len(curve.draws_SP) > 1 for curve in belief.curves)


def _gain_S(fit: Fit, law: Law, theta_SP: np.ndarray, total: float) -> np.ndarray:
    """Return (S,) gains of a domain's own target, nats, at equal shares of a total in millions of tokens."""
    K, own = len(fit.domains), fit.domains.index(law.target)
    shares_RK = np.ones((2, K))
    shares_RK[:, own] = np.exp([-CHANGE, CHANGE])
    shares_RK /= shares_RK.sum(axis=1, keepdims=True)
    losses_SR = law.predict(theta_SP, total * shares_RK)
    with np.errstate(invalid="ignore"):  # such a target is left out
        fall_S = losses_SR[:, 0] - losses_SR[:, 1]
    return fall_S / float(np.log(shares_RK[1, own] / shares_RK[0, own]))


def _chosen(off_S: np.ndarray, variance: float) -> np.ndarray:
    """Return (S,) places of draws, evenly by their weights under a normal of so much variance, in ascending order."""
    while True:
        log_S = -0.5 * off_S**2 / variance
        weights_S = np.exp(log_S - log_S.max())
        weights_S /= weights_S.sum()
        if 1 / np.sum(weights_S**2) >= min(FEWEST, len(off_S) / 2):
            break
        variance *= 2
    ends_S = (np.arange(len(off_S)) + 0.5) / len(off_S)
    return np.minimum(np.searchsorted(np.cumsum(weights_S), ends_S), len(off_S) - 1)
