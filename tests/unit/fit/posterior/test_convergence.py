"""What draws are worth: chains of which the answer is known, and the two switches of `enough`."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.fit.posterior.convergence import Convergence, convergence


def chains(m: int, n: int, correlation: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return (m, n, 1) autoregressive chains of standard normals, each state so correlated with the one before."""
    rng = np.random.default_rng(seed)
    states = [rng.standard_normal(m)]
    for _ in range(n - 1):
        states.append(correlation * states[-1] + np.sqrt(1 - correlation**2) * rng.standard_normal(m))
    return np.stack(states, axis=1)[..., None]


@pytest.mark.parametrize(
    ("effective", "rhat", "enough"), [(200, 1.049, True), (199.9, 1.0, False), (200, 1.05, False), (1e6, 1.06, False)]
)
def test_two_hundred_draws_and_chains_that_agree_within_a_twentieth_are_enough(effective, rhat, enough) -> None:
    assert Convergence(effective, rhat).enough is enough


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, -0.5])
def test_correlated_draws_are_worth_what_their_autocorrelation_says(correlation: float) -> None:
    found = convergence(chains(8, 1500, correlation))
    # The sum of all autocorrelations of such a chain is (1 + c) / (1 - c).
    assert found.effective == pytest.approx(12_000 * (1 - correlation) / (1 + correlation), rel=0.12)
    assert found.rhat == pytest.approx(1, abs=0.02)


def test_draws_are_never_worth_much_more_than_there_are() -> None:
    alternating = chains(8, 1000, -0.99)
    assert convergence(alternating).effective <= 8000 * np.log10(8000) + 1e-6


def test_chains_about_different_middles_disagree() -> None:
    drawn = chains(8, 500)
    drawn[4:] += 1.0
    # Means half a standard deviation off either way: the square root of 1 + 4/3 * 1/4, a little less by ranks.
    assert convergence(drawn).rhat == pytest.approx(1.14, abs=0.03)
    assert convergence(chains(8, 500)).rhat < 1.02


def test_chains_of_different_width_disagree_though_their_middles_agree() -> None:
    drawn = chains(8, 500)
    drawn[4:] *= 4.0
    assert convergence(drawn).rhat > 1.2
    assert convergence(drawn + 50.0).rhat == pytest.approx(convergence(drawn).rhat)


def test_a_chain_that_drifts_disagrees_with_itself() -> None:
    drawn = chains(4, 500) + np.linspace(-1.5, 1.5, 500)[:, None]
    assert convergence(drawn).rhat > 1.2
    assert convergence(drawn).effective < 100


def test_the_worst_coordinate_counts_and_one_that_never_moves_does_not() -> None:
    good, slow, wide = chains(8, 500), chains(8, 500, 0.9, seed=1), chains(8, 500, seed=2)
    wide[4:] += 1.0
    alone = [convergence(part) for part in (good, slow, wide)]
    together = convergence(np.concatenate([good, slow, wide, np.full_like(good, 3.0)], axis=-1))
    assert together.effective == pytest.approx(min(part.effective for part in alone))
    assert together.rhat == pytest.approx(max(part.rhat for part in alone))


def test_heavy_tails_do_not_hide_what_the_draws_are_worth() -> None:
    drawn = chains(8, 1000, 0.5)
    assert convergence(np.sinh(4 * drawn)).effective == pytest.approx(convergence(drawn).effective, rel=1e-9)


def test_chains_that_never_move_are_worth_all_their_draws() -> None:
    assert convergence(np.ones((3, 10, 2))) == Convergence(30.0, 1.0)


def test_json_round_trip() -> None:
    found = Convergence(123.5, 1.02)
    assert found.to_json() == {"effective_draws": 123.5, "rhat": 1.02}
    assert Convergence.from_json(found.to_json()) == found
