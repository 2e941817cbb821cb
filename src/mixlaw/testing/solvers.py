"""What must hold of a solver, one function per property; each raises AssertionError with the size of the deviation.

A solver is called as `mixlaw.solve.solve_mixture` is, with a fit, a budget and fields of `SolveWishes` by name, and
returns a `Solution`. It is asked about two fits of three domains: one whose losses depend on one weight each, and one
whose losses depend on all.

Shape letters: K domains, R mixtures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Protocol

import numpy as np

from mixlaw.core.errors import ConfigError, Infeasible
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.solve.solution import Solution
from mixlaw.testing._comparison import claim_small, claim_that

_DOMAINS = ("math", "chat", "code")
_BUDGET = 8_000_000
_OTHERS = 4000
_SAME = 1e-6
"""Of a weight."""

_LOSS = 1e-7
"""Nats of the total loss, of about 4."""


class Solver(Protocol):
    """What is checked."""

    def __call__(self, fit: Fit, budget_tokens: float, **named: Any) -> Solution: ...


class SolverCheck(Protocol):
    """One property of a solver."""

    __name__: str

    def __call__(self, solve: Solver, seed: int = 0) -> None: ...


def check_solver(solve: Solver, seed: int = 0) -> None:
    """Run every check on a solver; some seconds.

    Args:
        solve: (fit, budget in tokens, fields of `SolveWishes` by name) -> `Solution`.
        seed: seed of the mixtures that it is compared with.

    Raises:
        AssertionError: a property does not hold; the message names the property and the deviation.
    """
    for check in SOLVER_CHECKS:
        check(solve, seed)


def weights_are_a_mixture(solve: Solver, seed: int = 0) -> None:
    """Every domain has a share, none is negative, they sum to 1; whole tokens sum to the budget."""
    for law, fit in _fits():
        found = solve(fit, _BUDGET)
        _claim(set(found.weights) == set(fit.domains), law, f"gives every domain a share, gave {sorted(found.weights)}")
        weights_K = _weights(fit, found)
        _claim(bool((weights_K >= 0).all()), law, "gives no negative share")
        _small(weights_K.sum() - 1, law, "has shares that sum to 1", 1e-9)
        _claim(sum(found.tokens.values()) == _BUDGET, law, "spends the whole budget")


def no_other_mixture_is_better(solve: Solver, seed: int = 0) -> None:
    """None of 4,000 mixtures, half of them near the weights, has a smaller expected loss."""
    for law, fit in _fits():
        found = solve(fit, _BUDGET)
        better = _total(fit, found.weights) - _lowest(fit, found, seed)
        _claim(better <= _LOSS, law, f"has the smallest expected loss; another mixture is {better:.2g} nats better")


def the_certificate_is_right(solve: Solver, seed: int = 0) -> None:
    """The gap is small and at least what any other mixture gains, and no condition is violated visibly."""
    for law, fit in _fits():
        found = solve(fit, _BUDGET)
        proof = found.certificate
        gained = _total(fit, found.weights) - _lowest(fit, found, seed)
        _claim(proof.kind in ("global", "stationary"), law, f"says what it proves, said '{proof.kind}'")
        _claim(gained - _LOSS <= proof.gap <= 1e-6, law, f"bounds the gap; it says {proof.gap:.2g} nats")
        _claim(proof.kkt_residual <= 1e-4, law, f"meets the conditions; it says {proof.kkt_residual:.2g}")
        slopes = np.array([_slope(fit, found.weights, domain) for domain in fit.domains])
        inside = _weights(fit, found) > 1e-3
        _small(np.ptp(slopes[inside]) / np.abs(slopes).max(), law, "gains the same with each domain's tokens", 1e-3)


def what_is_said_is_what_the_fit_predicts(solve: Solver, seed: int = 0) -> None:
    """Losses and their total are those of the fit at the tokens; no regret is negative."""
    for law, fit in _fits():
        found = solve(fit, _BUDGET)
        mean_J = fit.predict({d: float(n) for d, n in found.tokens.items()}).mean[0]
        said = np.array([found.predicted[target]["mean"] for target in fit.targets])
        _small(said - mean_J, law, "predicts what the fit does", 1e-6)
        _small(found.total_loss - mean_J.sum(), law, "says the total of the predicted losses", 1e-6)
        regret = found.expected_regret
        _claim(0 <= regret["mean"] <= regret["p95"], law, f"has a regret that is no gain, said {dict(regret)}")


def bounds_and_groups_are_kept_to(solve: Solver, seed: int = 0) -> None:
    """Bounds that cut the optimum off hold, cost something, and no mixture within them is better."""
    for law, fit in _fits():
        free = solve(fit, _BUDGET)
        first, second = sorted(free.weights, key=lambda name: -free.weights[name])[:2]
        cut = 0.8 * free.weights[first]
        for wishes in ({"max": {first: cut}}, {"min": {second: free.weights[second] + 0.1}}):
            bound = solve(fit, _BUDGET, **wishes)
            (name, limit), *_ = next(iter(wishes.values())).items()
            _small(bound.weights[name] - limit, law, f"goes to the bound {wishes} that cuts the optimum off", _SAME)
            _claim(_total(fit, bound.weights) > _total(fit, free.weights), law, "loses something by a bound")
        both = free.weights[first] + free.weights[second]
        grouped = solve(fit, _BUDGET, groups=[f"{first} + {second} <= {0.8 * both:.6f}"])
        over = grouped.weights[first] + grouped.weights[second] - 0.8 * both
        _claim(over <= 2 * _SAME, law, f"keeps to a group's limit, but is over by {over:.2g}")


def degenerate_problems_have_their_only_answer(solve: Solver, seed: int = 0) -> None:
    """Bounds that leave one mixture give it; a domain forced to 1 takes all; a budget of one token has an answer."""
    for law, fit in _fits():
        only = dict(zip(fit.domains, (0.5, 0.2, 0.3), strict=True))
        found = solve(fit, _BUDGET, min=only, max=only)
        _small(_weights(fit, found) - list(only.values()), law, "gives the only mixture that the bounds allow", _SAME)
        alone = solve(fit, _BUDGET, min={fit.domains[1]: 1.0})
        _small(_weights(fit, alone) - [0, 1, 0], law, "gives a domain all where it must have all", _SAME)
        _small(_weights(fit, solve(fit, 1)).sum() - 1, law, "has an answer for one token", 1e-9)


def what_cannot_be_met_is_refused(solve: Solver, seed: int = 0) -> None:
    """Bounds that no mixture meets raise Infeasible, unknown domains or no budget raise ConfigError: never a number."""
    most = dict.fromkeys(_DOMAINS, 0.3)
    asked = (
        (Infeasible, _BUDGET, {"max": most}),
        (Infeasible, _BUDGET, {"min": {"math": 0.7, "code": 0.6}}),
        (Infeasible, _BUDGET, {"available": dict.fromkeys(_DOMAINS, 1_000_000), "max_epochs": 2.0}),
        (ConfigError, _BUDGET, {"max": {"no such domain": 0.5}}),
        (ConfigError, 0, {}),
    )
    for law, fit in _fits():
        for error, budget, wishes in asked:
            try:
                found: object = solve(fit, budget, **wishes)
            except error:
                continue
            _claim(False, law, f"refuses {wishes} at {budget} tokens with {error.__name__}, gave {found!r}")


def the_order_of_domains_does_not_matter(solve: Solver, seed: int = 0) -> None:
    """A fit of the same runs with the domains in another order has the same weights, but for the draws' last digits."""
    for law, fit in _fits():
        here = solve(fit, _BUDGET)
        there = solve(_fit(law, turned=True), _BUDGET)
        away = [here.weights[name] - there.weights[name] for name in fit.domains]
        _small(np.array(away), law, "gives the same weights in another order of domains", 0.02)


SOLVER_CHECKS: tuple[SolverCheck, ...] = (
    weights_are_a_mixture,
    no_other_mixture_is_better,
    the_certificate_is_right,
    what_is_said_is_what_the_fit_predicts,
    bounds_and_groups_are_kept_to,
    degenerate_problems_have_their_only_answer,
    what_cannot_be_met_is_refused,
    the_order_of_domains_does_not_matter,
)
"""Every check, for `pytest.mark.parametrize`; each takes what `check_solver` takes."""


@cache
def _fit(law: str, turned: bool = False) -> Fit:
    """Return a fit of a law to 24 runs of three domains that help each other, each by another amount."""
    rng = np.random.default_rng(20)
    tokens_RK = np.exp(rng.uniform(np.log(0.3), np.log(3.0), (24, 3)))
    effective_RJ = tokens_RK @ np.array([[1, 0.02, 0.1], [0.05, 1, 0.05], [0.2, 0.02, 1]])
    losses_RJ = np.array([0.4, 0.9, 0.5]) * effective_RJ ** -np.array([0.15, 0.2, 0.3]) + np.array([0.5, 1.0, 0.3])
    losses_RJ += 0.002 * rng.standard_normal(losses_RJ.shape)
    names = tuple(f"run {r}" for r in range(24))
    order = [2, 0, 1] if turned else [0, 1, 2]
    domains = tuple(_DOMAINS[k] for k in order)
    return fit_law(RunTable(names, domains, domains, tokens_RK[:, order] * 1e6, losses_RJ[:, order]), law)


def _fits() -> Iterator[tuple[str, Fit]]:
    for law in ("transfer", "pairwise"):
        yield law, _fit(law)


def _weights(fit: Fit, found: Solution) -> np.ndarray:
    return np.array([found.weights[name] for name in fit.domains])


def _total(fit: Fit, weights: Mapping[str, float]) -> float:
    return float(fit.predict({name: _BUDGET * share for name, share in weights.items()}).mean.sum())


def _lowest(fit: Fit, found: Solution, seed: int) -> float:
    """Return the smallest expected loss of random mixtures, half of them near the weights that were found."""
    rng = np.random.default_rng(seed)
    mixtures_RK = rng.dirichlet(np.ones(len(fit.domains)), _OTHERS)
    near = 10.0 ** rng.uniform(-3, -0.5, (_OTHERS // 2, 1))
    mixtures_RK[::2] = (1 - near) * _weights(fit, found) + near * mixtures_RK[::2]
    return float(fit.predict(_BUDGET * mixtures_RK).mean.sum(axis=1).min())


def _slope(fit: Fit, weights: Mapping[str, float], domain: str) -> float:
    """Return how fast the total loss changes with a domain's tokens, nats per budget."""
    step = 1e-4
    moved = [dict(weights) | {domain: weights[domain] + sign * step} for sign in (1, -1)]
    return (_total(fit, moved[0]) - _total(fit, moved[1])) / (2 * step)


def _claim(holds: bool, law: str, claim: str) -> None:
    claim_that(bool(holds), f"solver, asked about a fit of '{law}',", claim)


def _small(away: Any, law: str, claim: str, tolerance: float) -> None:
    claim_small(np.asarray(away), f"solver, asked about a fit of '{law}',", claim, tolerance)
