"""Hand-computed values of `chinchilla`."""

import numpy as np
import pytest

from mixlaw.laws.chinchilla import Chinchilla

LAW = Chinchilla(("chat", "math"), "anything")


def test_four_times_the_tokens_halve_the_reducible_loss_at_an_exponent_of_a_half():
    losses = LAW.predict(np.array([1.5, 0.8, 0.5]), np.array([[1.0, 0.0], [1.0, 3.0], [2.0, 2.0]]))
    assert losses == pytest.approx([2.3, 1.9, 1.9], rel=1e-15)


def test_a_token_is_worth_the_same_in_every_domain():
    gradient = LAW.gradient(np.array([1.5, 0.8, 0.5]), np.array([[1.0, 3.0]]))
    assert gradient == pytest.approx(np.full((1, 2), -0.05), rel=1e-14)  # -0.8 / 2 * 4^-1.5


def test_the_published_data_term():
    # Hoffmann et al. 2022, E = 1.69, B = 410.7, b = 0.28, tokens counted singly; 1e9 tokens: 1.69 + 410.7 / 331.1.
    single = np.array([1.69, 410.7, 0.28])
    assert LAW.predict(single, np.array([[1e9, 0.0]])) == pytest.approx([2.9303], abs=1e-4)
    assert LAW.predict(LAW.rescale(single, 1e-9), np.array([[1.0, 0.0]])) == pytest.approx([2.9303], abs=1e-4)
