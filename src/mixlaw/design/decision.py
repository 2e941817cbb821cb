"""Runs chosen for the decision: those that shrink the expected regret of the recommended mixture.

Near the recommended weights w* the total loss of a law with coordinates z has the slope g(z) along the simplex, zero
where w* is its optimum. A law whose slope is not zero has its optimum elsewhere, and w* costs

    regret(z) = 1/2 g(z)' H^-1 g(z)          H the curvature of the expected total loss at w*

With posterior covariance M_s^-1 around draw s (`mixlaw.design.information`) its expectation is

    1/2 sum_s tr(A_s M_s^-1 A_s')            A_s = H^-1/2 dg/dz at draw s

summed over targets, and one more run at x takes |A_s M_s^-1 u|^2 / (2 (1 + u' M_s^-1 u)) away. So runs are not spent on
parameters that do not matter for the weights at the budget.

That trusts w* and the law as they are believed now, and a few noisy runs can have them wrong. So a run is valued by the
geometric mean of what it takes from the expected regret and of what it adds to log det M, which asks for every
parameter: it must be worth something to both.

Source: optimality for a function of the parameters: Chaloner, Verdinelli 1995, Statist. Sci. 10:273-304, section 2
(psi(d) with loss in the quantity of interest); the quadratic form is the second-order expansion of the regret. The
product of two criteria: compound designs, Atkinson, Donev, Tobias 2007, Optimum Experimental Designs, with SAS, ch. 21.

Shape letters: S draws, N candidates, K domains, P parameters, F free directions of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixlaw.design.knowledge import Choice, Knowledge, Runs
from mixlaw.design.posterior import Posterior, Posteriors
from mixlaw.laws.base import Law

_SHARE_STEP = 1e-3
"""Step of a weight over which derivatives along the simplex are taken. No data."""

_LEAST_CURVATURE = 1e-6
"""Smallest curvature of a direction of the weights, nats per unit share squared. No data."""

_LEAST_OF_LARGEST = 1e-2
"""Smallest curvature of a direction of the weights, as a part of the largest. No data."""

_NO_WEIGHT = 1e-6
"""A domain with a smaller recommended share is assumed to stay without weight. No data."""


@dataclass(frozen=True)
class Decision:
    """What is to be decided, and from what.

    Attributes:
        choice: candidates, with the draws of each law's parameters and what is known before new runs.
        importance_J: g_j, weight in the objective of each law's target.
        weights_K: the recommended shares, in the order of the laws' domains.
        budget_tokens: N at which they will be used.
    """

    choice: Choice
    importance_J: np.ndarray
    weights_K: np.ndarray
    budget_tokens: float

    def regret_factors(self) -> list[np.ndarray]:
        """Return A of each law, (S, F, P)."""
        laws, draws = self.choice.knowledge.laws, self.choice.draws
        parts = [
            g * _slope_change(law, theta, self._tokens_K, self._basis_KF)
            for g, law, theta in zip(self.importance_J, laws, draws, strict=True)
        ]
        return [self._root_FF @ part for part in parts]

    def bend(self, drift: float) -> float:
        """Return the expected regret, nats an e-fold squared, of curves that bend beyond the largest run.

        A curve whose part that tokens lower is off by a factor 1 + drift z x, z standard normal and x the distance of
        the budget from the largest run in e-folds, has another slope along the simplex: 1/2 (drift x)^2 |H^-1/2 g|^2,
        summed over the laws and averaged over draws, is the regret. Returned is that of x = 1.
        """
        laws, draws, total = self.choice.knowledge.laws, self.choice.draws, float(self._tokens_K.sum())
        found = 0.0
        for g, share, law, theta in zip(self.importance_J, self.choice.posteriors().shares, laws, draws, strict=True):
            slopes_SF = g * law.gradient(theta, self._tokens_K[None])[:, 0] @ self._basis_KF * total
            found += share * float((np.nan_to_num(slopes_SF @ self._root_FF) ** 2).sum(axis=1).mean())
        return 0.5 * drift**2 * found

    @cached_property
    def _basis_KF(self) -> np.ndarray:
        return _directions(self.weights_K)

    @cached_property
    def _tokens_K(self) -> np.ndarray:
        return self.weights_K * self.budget_tokens / self.choice.unit

    @cached_property
    def _root_FF(self) -> np.ndarray:
        """H^-1/2."""
        laws, draws = self.choice.knowledge.laws, self.choice.draws
        shares = self.choice.posteriors().shares
        curvatures = [
            g * share * _curvature(law, theta, self._tokens_K, self._basis_KF)
            for g, share, law, theta in zip(self.importance_J, shares, laws, draws, strict=True)
        ]
        curvature_FF = np.sum(curvatures, axis=0)
        values, vectors = np.linalg.eigh(0.5 * (curvature_FF + curvature_FF.T))
        # A direction without curvature would have infinite regret for any slope: it is held to a little of the others'.
        values = np.maximum(values, max(_LEAST_CURVATURE, _LEAST_OF_LARGEST * float(values.max(initial=0.0))))
        return (vectors / np.sqrt(values)) @ vectors.T


def expected_regret(posteriors: Posteriors, regret_factors: Sequence[np.ndarray]) -> float:
    """Return the expected regret with what the posteriors know, nats; the factors are those of the decision."""
    traces = [
        share * np.einsum("sfp,spq,sfq->s", A, part.covariance_SPP, A).mean()
        for share, A, part in zip(posteriors.shares, regret_factors, posteriors.parts, strict=True)
    ]
    return float(0.5 * np.sum(traces))


def next_runs(
    decision: Decision,
    count: int,
    most_tokens: float = np.inf,
    runs_left: int | None = None,
    evaluation_tokens: float = 0.0,
    drift: float = 0.0,
) -> tuple[list[dict[str, int]], list[float]]:
    """Return up to `count` mixtures chosen one by one, and the expected regret (nats) before them and after each.

    Args:
        decision: what is to be decided.
        count: how many runs at most.
        most_tokens: of all of them together, evaluations included.
        runs_left: how many runs there may still be, these included. What a run costs is then the share that it takes
            of the tokens that are left plus the share of the runs, so that neither is spent long before the other;
            None: its tokens.
        evaluation_tokens: training tokens that cost as much as the evaluation of a run.
        drift: by which part a curve may be off an e-fold beyond the largest run (`Decision.bend`); 0: only the
            parameters count.
    """
    choice = decision.choice
    posteriors, factors = choice.posteriors(), decision.regret_factors()
    cost_N = choice.tokens_NK.sum(axis=1) + float(evaluation_tokens)
    far_N = beyond(choice.tokens_NK.sum(axis=1), decision.budget_tokens)
    bend, far = decision.bend(drift) if drift else 0.0, largest_distance(decision)
    mixtures, regret, left = [], [expected_regret(posteriors, factors) + bend * far**2], most_tokens
    for _ in range(count):
        gains = [s * _gain(p, A) for s, p, A in zip(posteriors.shares, posteriors.parts, factors, strict=True)]
        gain_N = np.sum(gains, axis=0) + bend * (far**2 - np.minimum(far_N, far) ** 2)
        gain_N = np.sqrt(gain_N * posteriors.gain())
        price_N = cost_N
        if runs_left is not None and np.isfinite(left) and left > 0:
            price_N = cost_N / left + 1 / max(runs_left - len(mixtures), 1)
        value_N = np.where(cost_N <= left, gain_N / price_N, -np.inf)
        best = int(np.argmax(value_N))
        if not np.isfinite(value_N[best]):
            break
        posteriors.add(best)
        left -= cost_N[best]
        far = min(far, float(far_N[best]))
        mixtures.append(choice.mixture(best))
        regret.append(expected_regret(posteriors, factors) + bend * far**2)
    return mixtures, regret


def beyond(totals_N: np.ndarray, budget_tokens: float) -> np.ndarray:
    """Return how far a budget lies beyond runs of so many tokens, in e-folds; 0 where it does not."""
    return np.log(np.maximum(budget_tokens / np.maximum(totals_N, 1.0), 1.0))


def largest_distance(decision: Decision) -> float:
    """Return how far the budget lies beyond the largest finished run, in e-folds; beyond one token where none is."""
    totals = [sum(run.values()) for run in decision.choice.knowledge.done]
    return float(beyond(np.array([max(totals, default=1.0)]), decision.budget_tokens)[0])


def decision_for(
    knowledge: Knowledge,
    weights: Mapping[str, float],
    budget_tokens: float,
    *,
    importance: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    candidates: Runs | None = None,
) -> Decision:
    """Return what is to be decided, from a fit's draws, or from the laws' priors before any run.

    Args:
        knowledge: the laws, what is believed of them, and the runs that exist.
        weights: domain -> recommended share.
        budget_tokens: N.
        importance: target -> g_j; None: 1 each.
        caps: domain -> most tokens of it.
        candidates: the mixtures to choose from; None: those around the base tokens.
    """
    choice = Choice.of(knowledge, caps, candidates=candidates)
    g = np.array([1.0 if importance is None else importance.get(law.target, 0.0) for law in knowledge.laws])
    shares = np.array([weights[domain] for domain in knowledge.laws[0].domains], float)
    return Decision(choice, g, shares / shares.sum(), budget_tokens)


def regret_curve(knowledge: Knowledge, mixtures: Runs, budget_tokens: float) -> list[float]:
    """Return the expected regret at the budget (nats) after none, one, ... all of the mixtures, before any is trained.

    The weights in question are the equal ones.

    Args:
        knowledge: the laws and what is believed of them.
        mixtures: domain -> tokens, in the order in which they are trained.
        budget_tokens: N.
    """
    equal = dict.fromkeys(knowledge.laws[0].domains, 1.0)
    decision = decision_for(knowledge, equal, budget_tokens, candidates=mixtures)
    posteriors, factors = decision.choice.posteriors(), decision.regret_factors()
    curve = [expected_regret(posteriors, factors)]
    for n in range(len(mixtures)):
        posteriors.add(n)
        curve.append(expected_regret(posteriors, factors))
    return curve


def _gain(posterior: Posterior, A_SFP: np.ndarray) -> np.ndarray:
    """Return (N,) what one more run at each candidate takes from the expected regret, nats."""
    moved_SFN = A_SFP @ posterior.covariance_SPP @ np.swapaxes(posterior.factors_SNP, 1, 2)
    return 0.5 * ((moved_SFN**2).sum(axis=1) / (1 + posterior.leverage_SN)).mean(axis=0)


def _directions(weights_K: np.ndarray) -> np.ndarray:
    """Return (K, F) orthonormal directions along the simplex; domains without weight stay without it."""
    free = np.flatnonzero(weights_K > _NO_WEIGHT)
    if len(free) < 2:
        free = np.arange(len(weights_K))
    centred = np.eye(len(free)) - 1 / len(free)
    basis = np.linalg.svd(centred)[0][:, : len(free) - 1]
    whole = np.zeros((len(weights_K), len(free) - 1))
    whole[free] = basis
    return whole


def _slope_change(law: Law, theta_SP: np.ndarray, tokens_K: np.ndarray, basis_KF: np.ndarray) -> np.ndarray:
    """Return (S, F, P) derivatives by the coordinates of the loss's slope along each direction, per unit share."""
    total = float(tokens_K.sum())
    log_P = np.array([parameter.scale == "log" for parameter in law.parameters])
    scale = np.where(log_P, theta_SP, 1.0)
    ahead, behind = (np.maximum(tokens_K + sign * _SHARE_STEP * total * basis_KF.T, 0.0) for sign in (1, -1))
    change = law.jacobian(theta_SP, ahead) - law.jacobian(theta_SP, behind)
    return np.nan_to_num(change / (2 * _SHARE_STEP) * scale[:, None, :])


def _curvature(law: Law, theta_SP: np.ndarray, tokens_K: np.ndarray, basis_KF: np.ndarray) -> np.ndarray:
    """Return (F, F) second derivatives of the mean loss over the draws, per unit share squared."""
    total = float(tokens_K.sum())
    ahead, behind = (np.maximum(tokens_K + sign * _SHARE_STEP * total * basis_KF.T, 0.0) for sign in (1, -1))
    change = (law.gradient(theta_SP, ahead) - law.gradient(theta_SP, behind)).mean(axis=0)
    return np.nan_to_num(change @ basis_KF * total / (2 * _SHARE_STEP))
