"""The package's sampler and solver keep their promises, and the suites notice ones that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.posterior.ensemble import sample
from mixlaw.solve import solve_mixture
from mixlaw.testing import SAMPLER_CHECKS, SOLVER_CHECKS


@pytest.mark.parametrize("check", SAMPLER_CHECKS, ids=lambda check: check.__name__)
def test_the_sampler_conforms(check):
    check(sample)


@pytest.mark.parametrize("check", SOLVER_CHECKS, ids=lambda check: check.__name__)
def test_the_solver_conforms(check):
    check(solve_mixture)


def _boasting(*asked):
    """Say of every draw that it is independent."""
    draws_SP, _ = sample(*asked)
    return draws_SP, Convergence(float(len(draws_SP)), 1.0)


def _still(log_density, walkers_SP, rng, draws):
    """Draw from where the walkers began."""
    return walkers_SP[rng.integers(len(walkers_SP), size=draws)], Convergence(float(draws), 1.0)


def _narrow(log_density, walkers_SP, rng, draws):
    """Sample the density to the power of 1.3."""
    return sample(lambda x: 1.3 * log_density(x), walkers_SP, rng, draws)


def _outside(*asked):
    draws_SP, said = sample(*asked)
    return draws_SP - 0.01, said


def _random(log_density, walkers_SP, rng, draws):
    return sample(log_density, walkers_SP, np.random.default_rng(), draws)


BAD_SAMPLERS = {
    "the_effective_number_is_that_of_independent_draws": _boasting,
    "what_is_not_reached_is_said": _still,
    "a_normal_has_its_mean_and_covariance": _narrow,
    "a_curved_ridge_is_followed_to_its_ends": _still,
    "a_wall_is_kept_to": _outside,
    "the_same_generator_gives_the_same_draws": _random,
}


@pytest.mark.parametrize("check", SAMPLER_CHECKS, ids=lambda check: check.__name__)
def test_a_sampler_that_breaks_a_promise_is_found_out(check):
    with pytest.raises(AssertionError, match="The sampler"):
        check(BAD_SAMPLERS[check.__name__])


def _moved(fit, budget, **named):
    """Move two hundredths of the budget from the last domain to the first."""
    found = solve_mixture(fit, budget, **named)
    (first, a), *_, (last, b) = found.weights.items()
    return replace(found, weights={**found.weights, first: a + 0.02, last: b - 0.02})


def _sure(fit, budget, **named):
    found = solve_mixture(fit, budget, **named)
    return replace(found, certificate=replace(found.certificate, gap=1e-3))


def _lax(fit, budget, **named):
    """Forget all that is asked."""
    return solve_mixture(fit, max(budget, 1))


def _more(fit, budget, **named):
    found = solve_mixture(fit, budget, **named)
    return replace(found, weights={name: 1.1 * share for name, share in found.weights.items()})


def _flattering(fit, budget, **named):
    found = solve_mixture(fit, budget, **named)
    return replace(found, total_loss=found.total_loss - 0.01)


def _by_order(fit, budget, **named):
    found = solve_mixture(fit, budget, **named)
    return replace(found, weights=dict(zip(fit.domains, sorted(found.weights.values()), strict=True)))


BAD_SOLVERS = {
    "weights_are_a_mixture": _more,
    "no_other_mixture_is_better": _moved,
    "the_certificate_is_right": _sure,
    "what_is_said_is_what_the_fit_predicts": _flattering,
    "bounds_and_groups_are_kept_to": _lax,
    "degenerate_problems_have_their_only_answer": _lax,
    "what_cannot_be_met_is_refused": _lax,
    "the_order_of_domains_does_not_matter": _by_order,
}


@pytest.mark.parametrize("check", SOLVER_CHECKS, ids=lambda check: check.__name__)
def test_a_solver_that_breaks_a_promise_is_found_out(check):
    with pytest.raises(AssertionError, match="The solver"):
        check(BAD_SOLVERS[check.__name__])
