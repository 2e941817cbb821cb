"""The information of runs in scale-free coordinates, draws from priors, and a posterior as runs come and go."""

import numpy as np
import pytest

from mixlaw.design.information import information, known, prior_draws, prior_precision
from mixlaw.design.knowledge import laws_for
from mixlaw.design.posterior import Posterior
from mixlaw.laws import find, names

DOMAINS = ("a", "b", "c")
LAWS = [name for name in names() if find(name).law]
TOKENS = np.random.default_rng(0).uniform(0.05, 1.0, (12, 3))


def law_for(name, target, domains=DOMAINS):
    return laws_for(name, domains, [target])[0]


@pytest.mark.parametrize("name", LAWS)
def test_the_factors_are_the_derivatives_by_the_coordinates(name):
    law = law_for(name, "a")
    theta = prior_draws(law, 3, seed=1)
    factors = information(law, theta, TOKENS, noise_nats=0.01)
    for p, parameter in enumerate(law.parameters):
        step = np.zeros(len(law.parameters))
        step[p] = 1e-6
        log = parameter.scale == "log"
        up, down = (theta * np.exp(s * step) if log else theta + s * step for s in (1, -1))
        numeric = (law.predict(up, TOKENS) - law.predict(down, TOKENS)) / 2e-6 / 0.01
        assert np.allclose(factors[..., p], numeric, rtol=1e-4, atol=1e-4 * np.abs(numeric).max() + 1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_draws_lie_within_the_bounds_and_follow_the_prior(name):
    law = law_for(name, "a")
    theta = prior_draws(law, 200)
    for p, parameter in enumerate(law.parameters):
        assert np.all((theta[:, p] >= parameter.lower) & (theta[:, p] <= parameter.upper)), parameter.name
        if parameter.prior is not None and parameter.scale == "log" and parameter.lower == 0:
            mean, sd = parameter.prior
            assert abs(np.log(theta[:, p]).mean() - mean) < 0.05 * sd  # plain random draws: an error of 0.07 sd


def test_a_bounded_parameter_without_a_prior_is_believed_uniform_over_its_bounds():
    law = law_for("transfer", "a")
    alpha = [parameter.name for parameter in law.parameters].index("alpha")
    drawn = np.sort(prior_draws(law, 100)[:, alpha])
    # One draw in each hundredth. A normal belief around 1, cut off there, has two thirds of its draws above one half.
    assert np.all(np.floor(100 * drawn) == np.arange(100))
    assert np.isclose(prior_precision(law)[alpha], 12)


def test_a_prior_that_a_bound_cuts_in_half_is_drawn_from_its_upper_half():
    law = law_for("transfer", "a")
    k = [parameter.name for parameter in law.parameters].index("k")
    drawn = prior_draws(law, 1000)[:, k]
    # Half-normal: a median of .674 sd. Clipped to the bound instead, half of the draws would be 0.
    assert drawn.min() > 0 and np.isclose(np.median(drawn), 0.674 * 0.3, rtol=0.01)


def test_draws_follow_the_names_and_the_unit():
    one, other = law_for("pairwise", "a"), law_for("pairwise", "a", DOMAINS[::-1])
    columns = [[p.name for p in other.parameters].index(p.name) for p in one.parameters]
    assert np.array_equal(prior_draws(one, 8), prior_draws(other, 8)[:, columns])
    scaled = prior_draws(one, 8, tokens_scale=5e6)
    assert np.allclose(one.predict(scaled, 5e6 * TOKENS), one.predict(prior_draws(one, 8), TOKENS))
    assert not np.array_equal(prior_draws(one, 8), prior_draws(one, 8, seed=1))


def test_information_is_the_same_in_any_unit_of_tokens_up_to_a_change_of_coordinates():
    # log C moves with the unit by an amount that depends on other parameters: the determinant stays. k has a unit.
    law = law_for("transfer", "a")
    theta = prior_draws(law, 4)
    u, v = information(law, theta, TOKENS), information(law, law.rescale(theta, 1e6), 1e6 * TOKENS)
    dets = [np.linalg.slogdet(np.swapaxes(x, 1, 2) @ x)[1] for x in (u, v)]
    assert np.allclose(dets[0] - dets[1], 2 * (1 - theta[:, 2]) * np.log(1e6), atol=1e-3)


def test_a_posterior_updated_run_by_run_is_the_one_computed_at_once():
    law = law_for("pairwise", "b")
    theta = prior_draws(law, 4)
    factors = information(law, theta, TOKENS)
    start = known(law, factors[:, :0])
    assert np.allclose(start, np.diag(prior_precision(law)))
    one, other = Posterior(factors, start), Posterior(factors, start)
    gain, before = one.gain(), one.log_det()
    one.add(4)
    assert np.isclose(one.log_det() - before, gain[4])
    for n in (2, 7, 9):
        one.add(n)
    one.add(7, -1)
    other.restart([2, 4, 9])
    assert np.allclose(one.covariance_SPP, other.covariance_SPP, rtol=1e-5, atol=1e-9)
    assert np.allclose(one.leverage_SN, other.leverage_SN, rtol=1e-5, atol=1e-7)
    after = other.leverage_after(np.arange(12))[:, 5]
    other.add(5)
    assert np.allclose(after, other.leverage_SN.max(axis=1), rtol=1e-5)
