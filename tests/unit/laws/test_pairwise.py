"""Hand-computed values of `pairwise`."""

import numpy as np
import pytest

from mixlaw.laws.pairwise import Mixtures, Pairwise

LAW = Pairwise(("chat", "math"), "chat")
TOKENS = np.array([[4.0, 9.0]])


def theta(**named: float) -> np.ndarray:
    given = {"C": 2.0, "n0": 1.0, "a": 0.5, "beta": 0.5, "E": 1.0, "t[math]": 2.0} | named
    return np.array([given.get(parameter.name, 0.0) for parameter in LAW.parameters])


def test_effective_tokens_are_a_power_mean_of_what_is_known_and_of_the_tokens():
    # (1^.5 + 4^.5 + 2 * 9^.5)^2 = (1 + 2 + 6)^2
    assert LAW.effective_tokens(theta(), TOKENS) == pytest.approx([81.0])
    assert LAW.predict(theta(), TOKENS) == pytest.approx([1 + 2 / 9])
    # perfect substitutes add: 1 + 4 + 2 * 9
    assert LAW.effective_tokens(theta(a=1.0), TOKENS) == pytest.approx([23.0])
    # a source of its own exponent: 1 + 2 + 2 * 9^1
    assert LAW.effective_tokens(theta(**{"e[math]": 0.5}), TOKENS) == pytest.approx([21.0**2])


def test_interference_multiplies_by_a_power_of_one_and_the_tokens_over_the_effective_ones():
    assert LAW.predict(theta(**{"h[math]": 1.0}), TOKENS) == pytest.approx([1 + 2 / 9 * (1 + 9 / 81)])
    assert LAW.predict(theta(**{"h[math]": -2.0}), TOKENS) == pytest.approx([1 + 2 / 9 * (1 + 9 / 81) ** -2])
    # the own domain never interferes with itself, and tokens that are not there with nobody
    assert LAW.predict(theta(**{"h[math]": 1.0}), np.array([[4.0, 0.0]])) == pytest.approx([1 + 2 / 3])


def test_a_target_without_a_domain_of_its_own_has_a_worth_for_each():
    law = Pairwise(("chat", "math"), "news")
    assert [parameter.name for parameter in law.parameters[5:7]] == ["t[chat]", "t[math]"]
    values = np.array([2.0, 1.0, 0.5, 0.5, 1.0, 3.0, 2.0, 0, 0, 0, 0])
    assert law.effective_tokens(values, TOKENS) == pytest.approx([(1 + 6 + 6) ** 2])
    assert law.own is None and LAW.own == 0
    assert law.others == [0, 1] and LAW.others == [1]


def test_tokens_in_another_unit_change_only_what_has_one():
    point = theta(**{"e[math]": 0.2, "h[math]": 0.1})
    moved = LAW.rescale(point, 1000.0)
    assert LAW.predict(moved, 1000 * TOKENS) == pytest.approx(LAW.predict(point, TOKENS))
    assert moved[2:5].tolist() == point[2:5].tolist()
    assert moved[1] == 1000.0


def test_no_tokens_at_all_leave_what_the_base_model_knows():
    nothing = np.zeros((1, 2))
    assert LAW.predict(theta(), nothing) == pytest.approx([3.0])
    assert np.isfinite(LAW.gradient(theta(), np.array([[0.0, 1.0]]))).all()
    assert Mixtures.of(nothing).some_RK.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_starts_have_the_height_of_the_losses_and_differ(count):
    tokens = np.exp(np.random.default_rng(0).normal(0, 1, (15, 2)))
    losses = LAW.predict(theta(), tokens)
    starts = LAW.starts(tokens, losses, count)
    assert starts.shape == (count, 8)
    assert np.median(LAW.predict(starts, tokens), axis=1) == pytest.approx(np.full(count, np.median(losses)), rel=0.05)
    assert len(np.unique(starts[:, 3])) == count
    assert (starts[:, 4] < losses.min()).all() and (starts[:, 4] > 0).all()


def test_own_tokens_raise_a_loss_somewhere_exactly_where_interference_outweighs_the_exponent():
    least, most = np.array([[1e-9, 1e12]]), np.array([[1e-6, 1e12]])
    for h, raises in ((-0.6, True), (-0.4, False), (0.9, False)):
        values = theta(n0=0.0, **{"t[math]": 0.0, "h[math]": h})
        assert LAW.rewards_absence(values[None]) == raises
        assert (LAW.predict(values, most) > LAW.predict(values, least)) == raises
    assert list(LAW.rewards_absence(np.stack([theta(**{"h[math]": h}) for h in (-0.6, -0.4)]))) == [True, False]


def test_interference_of_many_domains_is_believed_to_be_as_small_together_as_that_of_two():
    for domains in (2, 3, 6, 40):
        law = Pairwise(tuple(f"d{i}" for i in range(domains)), "d0")
        sds = np.array([parameter.prior[1] for parameter in law.parameters[law.part("h")]])
        assert np.sqrt((sds**2).sum()) == pytest.approx(0.05 * min(domains - 1, 2) ** 0.5)
