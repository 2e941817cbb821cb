"""Hand-computed values of `exponential`."""

import numpy as np
import pytest

from mixlaw.laws.exponential import Exponential

LAW = Exponential(("chat", "math"), "anything")


def test_pure_mixtures_have_the_reducible_loss_of_their_domain_and_half_and_half_the_geometric_mean():
    theta = np.array([1.0, np.log(0.9), np.log(0.4)])
    tokens = np.array([[3.0, 0.0], [0.0, 5.0], [2.0, 2.0]])
    assert LAW.predict(theta, tokens) == pytest.approx([1.9, 1.4, 1.6], rel=1e-14)


def test_the_total_does_not_matter():
    theta = np.array([1.0, 0.3, -0.7])
    tokens = np.array([[1.0, 3.0], [50.0, 150.0]])
    assert np.ptp(LAW.predict(theta, tokens)) < 1e-15
    assert np.abs((LAW.gradient(theta, tokens) * tokens).sum(axis=1)).max() < 1e-15


def test_it_is_the_published_law_with_k_inside_the_exponents():
    c, k, t = 0.8, 0.5, np.array([0.2, -1.3])
    tokens = np.random.default_rng(0).uniform(size=(6, 2))
    published = c + k * np.exp(tokens / tokens.sum(axis=1, keepdims=True) @ t)
    assert LAW.predict(np.array([c, *(t + np.log(k))]), tokens) == pytest.approx(published, rel=1e-14)


def test_the_information_matrix_is_not_singular():
    tokens = 0.1 + np.random.default_rng(0).uniform(size=(12, 2))
    jacobian = LAW.jacobian(np.array([1.0, 0.3, -1.0]), tokens)
    assert np.linalg.cond(jacobian.T @ jacobian) < 1e6


def test_it_is_convex_in_the_weights_and_tokens_can_do_harm():
    theta = np.array([[1.0, 0.3, -0.7], [0.5, -2.0, 1.0]])
    assert LAW.convex(theta)
    assert not LAW.falling(theta)
    first, second = np.random.default_rng(0).dirichlet(np.ones(2), (2, 50))
    ends = (LAW.predict(theta, first) + LAW.predict(theta, second)) / 2
    assert (ends - LAW.predict(theta, (first + second) / 2)).min() > -1e-12
