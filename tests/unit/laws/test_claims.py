"""What laws claim of themselves holds and is claimed: convexity, falling, priors, and which parameter is what."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.laws import find, names
from mixlaw.laws.base import places

DOMAINS = ("a", "b", "c")
# parameters of a typical law of each kind, and whether its loss is convex in the weights and falls with all tokens
CLAIMS = [
    ("mean", [2.0], True, True),
    ("chinchilla", [1.2, 0.8, 0.4], True, True),
    ("autoscale", [1.2, 0.8, 0.3, 0.4], True, True),
    ("bivariate", [0.3, 0.8, 0.4, 1.2], True, False),
    ("rectified", [0.9, 0.8, 0.3, 0.4], True, True),
    ("exponential", [0.9, 0.2, -0.7, 0.5], True, False),
    ("transfer", [0.8, 0.15, 0.7, 0.2, 0.9], True, True),
    ("additive", [0.9, 2.0, 1.0, 0.6, 1.0, 0.6, 0.4], True, False),
    ("additive", [0.9, 2.0, 1.0, 0.6, 1.01, 0.6, 0.4], False, False),
    ("additive_joint", [0.9, 2.0, 1.0, 0.6, 0.5, 1.2, 0.2, 0.1, 1.0, 0.4], True, False),
    ("additive_joint", [0.9, 2.0, 1.0, 0.6, 0.5, 1.2, 0.2, 0.1, 0.99, 0.4], False, False),
    ("additive_joint", [0.9, 2.0, 1.0, 0.6, 1.1, 1.2, 0.2, 0.1, 1.0, 0.4], False, False),
    ("pairwise", [0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.1, 0.4, -0.6, 0, 0], True, True),
    ("pairwise", [0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.1, 0.41, 0.0, 0, 0], False, True),
    ("pairwise", [0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.1, 0.0, -0.61, 0, 0], False, False),
    ("pairwise", [0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.1, 0.0, 0.0, 0, 0.01], False, False),
]


@pytest.mark.parametrize(("name", "theta", "convex", "falling"), CLAIMS)
def test_what_a_law_claims_is_so_and_it_claims_all_that_it_can(
    name: str, theta: list, convex: bool, falling: bool
) -> None:
    law, theta_SP = find(name).law(DOMAINS, "a"), np.array([theta])
    assert law.convex(theta_SP) is convex
    assert law.falling(theta_SP) is falling
    # one draw that is not is enough
    usual = np.array(next(part for other, part, *_ in CLAIMS if other == name))
    assert law.convex(np.stack([usual, theta])) is convex
    first, second = np.random.default_rng(0).dirichlet(np.full(3, 0.5), (2, 300))
    if convex:
        ends, middle = (law.predict(theta_SP, first) + law.predict(theta_SP, second)) / 2, (first + second) / 2
        assert (ends - law.predict(theta_SP, middle)).min() > -1e-9
    if falling:
        assert law.gradient(theta_SP, 0.01 + first).max() <= 0


@pytest.mark.parametrize("name", [name for name in names() if find(name).law is not None])
def test_the_roles_of_parameters_are_what_they_do(name: str) -> None:
    law = find(name).law(DOMAINS, "a")
    theta = np.array(next(part for other, part, *_ in CLAIMS if other == name), float)
    tokens = np.exp(np.random.default_rng(1).normal(0, 0.5, (6, 3)))
    losses = law.predict(theta, tokens)
    for place in places(law, "floor"):
        raised = theta + 0.1 * (np.arange(len(theta)) == place)
        assert law.predict(raised, tokens) == pytest.approx(losses + 0.1)
    amplitudes = places(law, "amplitude")
    if len(amplitudes):
        half, none = theta.copy(), theta.copy()
        half[amplitudes] /= 2
        none[amplitudes] = 0
        assert law.predict(half, tokens) == pytest.approx((losses + law.predict(none, tokens)) / 2)
    assert len(places(law, "exponent")) <= 1
    for place, parameter in enumerate(law.parameters):
        assert parameter.lower <= theta[place] <= parameter.upper
        if parameter.scale == "log":
            assert parameter.lower >= 0
        assert (parameter.source in DOMAINS) is ("[" in parameter.name)


def prior(law: str, name: str) -> tuple[float, float]:
    """Return the median and the end one standard deviation above it."""
    parameter = next(p for p in find(law).law(DOMAINS, "a").parameters if p.name == name)
    mean, sd = parameter.prior
    return (float(np.exp(mean)), float(np.exp(mean + sd))) if parameter.scale == "log" else (mean, mean + sd)


@pytest.mark.parametrize(
    ("law", "name", "median", "above"),
    [
        # exponents around .2, as published ones are
        ("chinchilla", "b", 0.2, 0.4),
        ("transfer", "beta", 0.2, 0.4),
        ("transfer", "k", 0.0, 0.3),
        # a token of another domain is worth a twentieth of an own one, give or take a factor of six
        ("pairwise", "t[b]", 0.05, 0.293),
        ("pairwise", "beta", 0.1, 0.177),
        ("pairwise", "n0", 0.005, 0.061),
        ("pairwise", "a", 0.65, 0.87),
        ("pairwise", "e[b]", 0.0, 0.05),
        ("pairwise", "h[c]", 0.0, 0.05),
        ("additive", "C[b]", 1.0, 7.39),
        ("additive", "g", 0.5, 1.36),
        ("additive_joint", "p", 1.0, np.exp(0.5)),
        ("autoscale", "N_eq", 0.1, 0.74),
        ("bivariate", "a", 0.1, 0.6),
        ("exponential", "t[a]", 0.0, 1.5),
    ],
)
def test_priors_say_what_is_believed_before_any_run(law: str, name: str, median: float, above: float) -> None:
    assert prior(law, name) == pytest.approx((median, above), rel=0.02, abs=1e-9)
