"""Hand-computed values of `additive` and `additive_joint`."""

import numpy as np
import pytest

from mixlaw.laws.additive import Additive, AdditiveJoint

DOMAINS = ("chat", "math")
LAW, JOINT = Additive(DOMAINS, "anything"), AdditiveJoint(DOMAINS, "anything")
TOKENS = np.array([[3.0, 1.0], [0.0, 4.0]])


def test_the_terms_add_up():
    # E = 1, C = (2, 1), g = 1/2, B = 0.8, b = 1.
    # Shares 3/4, 1/4: 1 / (2 sqrt(3/4) + 1/2); all math: 1 / 1; both plus 0.8 / 4.
    losses = LAW.predict(np.array([1.0, 2.0, 1.0, 0.5, 0.8, 1.0]), TOKENS)
    assert losses == pytest.approx([1 + 1 / (np.sqrt(3) + 0.5) + 0.2, 1 + 1 + 0.2], rel=2e-3)  # 2 sqrt(1e-6) = .002
    assert losses[1] == pytest.approx(1 + 1 / (2e-3 + 1) + 0.2, rel=1e-6)


def test_the_best_mixture_is_the_same_at_every_budget_only_without_the_joint_term():
    shares = np.stack([np.linspace(0.01, 0.99, 99), 1 - np.linspace(0.01, 0.99, 99)], axis=1)
    joint, additive = np.array([1, 2, 2, 0.5, 0.2, 2.0, 1, 0.5]), np.array([1, 2, 1, 0.5, 0.8, 0.5])
    best = [
        [int(np.argmin(law.predict(theta, budget * shares))) for budget in (3.0, 30.0, 3000.0)]
        for law, theta in ((LAW, additive), (JOINT, joint))
    ]
    assert len(set(best[0])) == 1
    # Chat has the smaller coefficient: the fewer the tokens, the more of it.
    assert best[1][0] > best[1][1] > best[1][2]


def test_joint_with_equal_coefficients_is_additive():
    additive = LAW.predict(np.array([1.0, 2.0, 1.0, 0.5, 0.8, 0.7]), TOKENS)
    for p in (0.3, 1.0, 4.0):
        joint = JOINT.predict(np.array([1.0, 2.0, 1.0, 0.5, 0.8, 0.8, p, 0.7]), TOKENS)
        assert joint == pytest.approx(additive, rel=1e-5)


@pytest.mark.parametrize(("p", "mean"), [(1.0, 0.75), (2.0, 0.75**2), (0.5, np.sqrt(0.75))])
def test_the_coefficient_is_a_power_mean(p, mean):
    # B = (1, 0) with shares 3/4, 1/4: (3/4)^p. The difference to no token term at all is that over D = 4, b = 1.
    theta = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 0.0, p, 1.0])
    without = np.array([1.0, 2.0, 1.0, 0.5, 0.0, 0.0, p, 1.0])
    difference = (JOINT.predict(theta, TOKENS) - JOINT.predict(without, TOKENS))[0]
    assert 4 * difference == pytest.approx(mean, rel=1e-5)


def test_coefficients_of_very_different_size_do_not_overflow():
    theta = np.array([1.0, 2.0, 1.0, 0.5, 1e-40, 1e40, 0.1, 0.5])
    assert np.isfinite(JOINT.predict(theta, TOKENS)).all()
    assert np.isfinite(JOINT.jacobian(theta, TOKENS)).all()
