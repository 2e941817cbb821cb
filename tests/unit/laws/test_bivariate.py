"""Hand-computed values of `bivariate`."""

import numpy as np
import pytest

from mixlaw.core.errors import FitError
from mixlaw.laws.bivariate import Bivariate

LAW = Bivariate(("chat", "math"), "math")
THETA = np.array([0.5, 0.6, 1.0, 0.2])


def test_a_quarter_of_the_own_domain_doubles_the_loss_of_all_of_it():
    # a = 1/2, B = 0.6, b = 1, C = 0.2: at 4 tokens B / S + C = 0.35; a share of 1/4 makes it (1/4)^-1/2 = 2 times that.
    losses = LAW.predict(THETA, np.array([[3.0, 1.0], [0.0, 4.0]]))
    assert losses == pytest.approx([0.70, 0.35], rel=1e-5)  # shares are raised by 1e-6


def test_only_the_own_share_and_the_total_matter():
    law = Bivariate(("chat", "math", "code"), "math")
    losses = law.predict(THETA, np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 2.0]]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-15)


def test_without_the_own_domain_the_share_is_a_millionth():
    assert LAW.predict(THETA, np.array([[4.0, 0.0]])) == pytest.approx([0.35 * 1000], rel=1e-12)


def test_a_target_that_is_no_domain_is_refused_with_a_remedy():
    with pytest.raises(FitError, match=r"'law' is not one of the domains chat, math.*Name a domain"):
        Bivariate(("chat", "math"), "law")
