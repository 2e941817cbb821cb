"""Curves, beliefs and their draws: what is taken of them is theirs, in their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.fit.curve import Belief, Curve, Drawn, Scatter
from mixlaw.fit.size import at_size
from mixlaw.laws.chinchilla import Chinchilla
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.transfer import Transfer

DOMAINS = ("a", "b")
TOKENS = np.array([[1.0, 2.0], [0.5, 0.3], [4.0, 1.0]])
RNG = np.random.default_rng(0)
DRAWS = np.array([0.5, 0.2, 0.6, 0.2, 0.8]) * np.exp(0.1 * RNG.standard_normal((8, 5)))
GAMMA = np.array([0.12, 0.05, 0.02])
GAMMAS = GAMMA + 0.02 * RNG.standard_normal((8, 3))
SIZES = np.log([1.0, 0.1, 0.5])


def curve(gamma: bool = False) -> Curve:
    sized = (GAMMA, GAMMAS) if gamma else None
    return Curve(Transfer(DOMAINS, "a"), DRAWS[0], DRAWS, Scatter(0.01), sized)


def belief(*curves: Curve) -> Belief:
    return Belief(curves or (curve(),), np.linspace(-1.5, 1.5, 8))


def test_the_scatter_has_its_size_in_the_middle_and_grows_by_its_power() -> None:
    scatter = Scatter(0.02, 2.0, 1.0, 0.5)
    assert scatter.at(np.array([1.25])) == pytest.approx([0.02])
    # at the lowest loss a sixth of the middle's height, and not less below
    assert scatter.at(np.array([1.0, 0.3])) == pytest.approx([0.02 / 36, 0.02 / 36])
    assert scatter.at(np.array([1.5])) == pytest.approx([0.02 * (1.1 / 0.6) ** 2])
    assert Scatter(0.02).at(np.array([1.0, 9.0])).tolist() == [0.02, 0.02]


@pytest.mark.parametrize("gamma", [False, True])
def test_some_draws_of_a_belief_are_its_draws(gamma: bool) -> None:
    whole, rows = belief(curve(gamma)), np.array([5, 1, 6])
    some, distance = whole.take(rows), np.array([0.0, 0.5, 2.0])
    all_ = whole.losses_by_draw(TOKENS, np.zeros(3), SIZES)[0]
    assert some.losses_by_draw(TOKENS, np.zeros(3), SIZES)[0] == pytest.approx(all_[rows])
    assert some.normals_S.tolist() == whole.normals_S[rows].tolist()
    assert len(some.drawn(1.0)) == 3
    assert some.losses_by_draw(TOKENS, distance)[0].shape == (3, 3)
    assert some.curve.parameters == whole.curve.parameters
    for name, values in some.curve.draws.items():
        assert values.tolist() == whole.curve.draws[name][rows].tolist()


def test_parameters_are_named_that_of_the_size_last() -> None:
    sized = ["gamma", "gamma_E", "gamma_beta"]
    assert list(curve(True).parameters) == ["C", "k", "alpha", "beta", "E", *sized]
    assert [curve(True).parameters[name] for name in sized] == GAMMA.tolist()
    assert list(curve().draws) == ["C", "k", "alpha", "beta", "E"]


def test_losses_at_a_size_are_the_laws_with_height_floor_and_exponent_of_that_size() -> None:
    sized = curve(True)
    found = sized.losses(TOKENS, SIZES)
    for row, log_size in enumerate(SIZES):
        C, k, alpha, beta, E = DRAWS[0]
        gamma, of_floor, of_exponent = GAMMA
        theta = np.array(
            [C * np.exp(-gamma * log_size), k, alpha, beta + of_exponent * log_size, E * np.exp(-of_floor * log_size)]
        )
        assert found[row] == pytest.approx(sized.law.predict(theta, TOKENS[row : row + 1])[0])
    assert curve().losses(TOKENS, SIZES) == pytest.approx(sized.losses(TOKENS))
    by_draw = belief(sized).losses_by_draw(TOKENS, np.zeros(3), SIZES)[0]
    for row, log_size in enumerate(SIZES):
        drawn = at_size(sized.law, DRAWS, GAMMAS, float(log_size))
        assert by_draw[:, row] == pytest.approx(sized.law.predict(drawn, TOKENS[row : row + 1])[:, 0])


def test_the_curve_for_another_size_predicts_what_the_size_says() -> None:
    moved = curve(True).at_size(np.log(4.0))
    assert moved.losses(TOKENS) == pytest.approx(curve(True).losses(TOKENS, np.full(3, np.log(4.0))))
    by_draw = moved.law.predict(moved.draws_SP, TOKENS)
    assert by_draw == pytest.approx(belief(curve(True)).losses_by_draw(TOKENS, np.zeros(3), np.full(3, np.log(4.0)))[0])


def test_the_curve_for_fewer_domains_keeps_their_parameters() -> None:
    law = Pairwise(("a", "b", "c"), "a")
    theta = np.arange(1.0, 12.0) / 20
    whole = Curve(law, theta, np.stack([theta, 1.1 * theta]), Scatter(0.01))
    part = whole.of_domains(("a", "c"))
    assert part.parameters == {name: value for name, value in whole.parameters.items() if "[b]" not in name}
    assert part.draws_SP.shape == (2, 8)
    assert part.losses(TOKENS) == pytest.approx(whole.losses(TOKENS[:, [0, 0, 1]] * [1, 0, 1]))


def test_two_laws_share_the_draws_and_keep_their_order() -> None:
    other = Curve(
        Chinchilla(DOMAINS, "a"), np.array([1.0, 0.5, 0.3]), np.abs(RNG.normal(1, 0.1, (8, 3))), Scatter(0.01)
    )
    both = belief(curve(), other)
    drawn = both.drawn(0.7)
    assert [len(theta) for _, theta in drawn.parts] == [4, 4]
    each = [replace(both, curves=(one,)).drawn(0.7).predict(TOKENS) for one in both.curves]
    assert drawn.predict(TOKENS) == pytest.approx(np.vstack([each[0][0::2], each[1][1::2]]))
    parts = both.losses_by_draw(TOKENS, np.full(3, 0.7))
    assert np.vstack(parts) == pytest.approx(drawn.predict(TOKENS))
    assert drawn.gradient(TOKENS).shape == (8, 3, 2)
    some = drawn.take([1, 3, 4, 7])
    assert some.predict(TOKENS) == pytest.approx(drawn.predict(TOKENS)[[1, 3, 4, 7]])
    assert [len(theta) for _, theta in drawn.take([5]).parts] == [1]
    assert drawn.target == "a"


@pytest.mark.parametrize(("h", "convex"), [(0.0, True), (0.1, False)])
def test_draws_are_convex_where_every_law_is(h: float, convex: bool) -> None:
    steep = np.array([[0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.0, h]])
    drawn = Drawn(((Transfer(DOMAINS, "a"), DRAWS), (Pairwise(DOMAINS, "a"), steep)))
    assert drawn.convex is convex
    assert Drawn(((Pairwise(DOMAINS, "a"), steep), (Transfer(DOMAINS, "a"), DRAWS))).convex is convex
