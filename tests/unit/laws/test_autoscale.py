"""Hand-computed values of `autoscale`."""

import numpy as np
import pytest

from mixlaw.core.errors import FitError
from mixlaw.laws.autoscale import Autoscale

LAW = Autoscale(("chat", "math"), "chat")


def test_equivalent_tokens_add_to_the_own_ones():
    # E = 1, C = 0.6, N_eq = 1, b = 1/2: 3 own tokens give 1 + 0.6 / sqrt(4), none give 1 + 0.6.
    losses = LAW.predict(np.array([1.0, 0.6, 1.0, 0.5]), np.array([[3.0, 2.0], [0.0, 2.0]]))
    assert losses == pytest.approx([1.3, 1.6], rel=1e-5)


def test_other_domains_tokens_do_not_matter():
    theta = np.array([1.0, 0.6, 1.0, 0.5])
    losses = LAW.predict(theta, np.array([[3.0, 0.0], [3.0, 100.0]]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_no_tokens_and_no_equivalents_count_as_a_millionth_of_the_total():
    assert LAW.predict(np.array([1.0, 0.6, 0.0, 0.5]), np.array([[0.0, 4.0]])) == pytest.approx([1 + 0.6 / 2e-3])


def test_a_target_that_is_no_domain_is_refused():
    with pytest.raises(FitError, match="'autoscale' takes the loss of a domain's own validation set"):
        Autoscale(("chat", "math"), "law")
