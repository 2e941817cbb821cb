"""The estimator of `transfer`: what is open and why, what is at a bound, and where the walkers start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import NotIdentifiable, TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating import transfer
from mixlaw.fit.estimating.estimator import Estimated
from mixlaw.fit.estimating.transfer import TransferEstimator, require_identifiable
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.laws.transfer import transfer_losses

DOMAINS = ("a", "b", "c")
THETA = [0.6, 0.2, 0.7, 0.2, 0.8]


def table(theta: list[float] = THETA, tokens: np.ndarray | None = None, runs: int = 14, shift: float = 0.0) -> RunTable:
    """Return runs of one target, `a`."""
    if tokens is None:
        tokens = np.exp(np.random.default_rng(0).uniform(np.log(0.2), np.log(2), (runs, 3)))
    losses = transfer_losses(np.array(theta), tokens[:, 0], tokens[:, 1:].sum(axis=1)) + shift
    losses += 1e-5 * np.random.default_rng(1).standard_normal(len(losses))
    names = tuple(f"r{i}" for i in range(len(tokens)))
    return RunTable(names, DOMAINS, ("a",), tokens * 1e6, losses[:, None])


def fitted(runs: RunTable, informed: bool = True, draws: int = 0) -> Estimated:
    return TransferEstimator(informed).fit(runs, draws=draws)[0]


@pytest.mark.parametrize(
    ("theta", "shift", "names"),
    [
        (THETA, 0.0, ()),
        ([0.6, 0.0, 0.7, 0.2, 0.8], 0.0, ("k",)),
        ([0.6, 0.2, 0.7, 0.2, 0.0], -0.05, ("E",)),
        ([0.6, 0.3, 1.4, 0.2, 0.8], 0.0, ("alpha",)),
        ([0.6, 3.0, 0.9, 0.2, 0.8], 0.0, ("k", "alpha")),
    ],
)
def test_parameters_at_a_bound_are_named(theta: list[float], shift: float, names: tuple[str, ...]) -> None:
    found = fitted(table(theta, shift=shift), informed=False)
    assert found.at_bound == names
    assert found.information.rank == found.information.parameters


def test_without_draws_the_point_stands_twice() -> None:
    for found in (fitted(table(), informed=False, draws=50), fitted(table(), draws=0)):
        assert found.curve.draws_SP.shape == (2, 5)
        assert np.array_equal(found.curve.draws_SP, np.repeat(found.curve.theta_P[None], 2, axis=0))
        assert found.convergence is None


def test_exact_runs_give_the_planted_parameters_back() -> None:
    found = fitted(table(runs=24), informed=False)
    assert found.curve.theta_P == pytest.approx(THETA, rel=0.02)
    assert found.curve.scatter.sd_nats == pytest.approx(1e-5, rel=0.5)


def moving(*columns: int) -> np.ndarray:
    """Return tokens, of which some columns move and the others do not."""
    tokens = np.full((8, 3), 0.7)
    for c in columns:
        tokens[:, c] = np.random.default_rng(c).permutation(np.geomspace(0.2, 3, 8))
    return tokens


@pytest.mark.parametrize(
    ("tokens", "theta", "open_", "cause", "cure"),
    [
        (moving(0), THETA, "k, alpha", "the other domains' tokens are the same", "other domains than 'a' change"),
        (moving(1, 2), [0.6, 0.0, 0.7, 0.2, 0.8], "C.*", "its own tokens are the same", "in which 'a' changes"),
    ],
)
def test_what_runs_leave_open_is_named_with_the_cause(tokens, theta, open_: str, cause: str, cure: str) -> None:
    runs = table(theta, tokens)
    with pytest.raises(NotIdentifiable, match=f"do not determine {open_}, since {cause} in every run") as error:
        require_identifiable(runs)
    assert cure in error.value.hint
    require_identifiable(table(theta, moving(0, 1, 2)))


def test_as_many_mixtures_as_parameters_are_enough_and_one_fewer_is_not() -> None:
    fitted(table(runs=5))
    with pytest.raises(TooFewRuns, match="4 different mixtures; law 'transfer' has 5 parameters") as error:
        fitted(table(runs=4))
    assert "at least 1 more" in error.value.hint


def test_walkers_start_at_the_densest_of_the_places_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def sample(log_density, walkers_SP, rng, draws):
        seen.append((log_density, walkers_SP))
        return walkers_SP[:draws], Convergence(7.0, 1.5)

    monkeypatch.setattr(transfer, "sample", sample)
    runs = table(runs=16)
    losses = runs.losses_RJ + 0.01 * np.random.default_rng(2).standard_normal((16, 1))
    found = fitted(replace(runs, losses_RJ=losses), draws=30)
    assert found.convergence == Convergence(7.0, 1.5)
    assert found.curve.draws_SP.shape == (30, 5)
    ((log_density, walkers),) = seen
    assert walkers.shape == (100, 5)
    # a normal density of five coordinates lies 2.5 below its top on the average, 7.5 in one case of a hundred
    depth = log_density(walkers).max() - log_density(walkers)
    assert depth.max() < 7.5


def test_a_held_out_run_is_predicted_without_its_own_loss() -> None:
    runs = table(runs=16)
    broken = runs.losses_RJ.copy()
    broken[4] += 5.0
    folds = [np.arange(16) % 4 == fold for fold in range(4)]
    found = TransferEstimator().held_out(replace(runs, losses_RJ=broken), folds)
    assert found[4, 0] == pytest.approx(runs.losses_RJ[4, 0], abs=0.02)
    assert np.delete(found, 4, axis=0) == pytest.approx(np.delete(runs.losses_RJ, 4, axis=0), abs=0.05)


def test_a_run_that_did_not_measure_the_target_is_predicted_too() -> None:
    runs = table(runs=16)
    losses = runs.losses_RJ.copy()
    losses[3] = np.nan
    folds = [np.arange(16) % 4 == fold for fold in range(4)]
    found = TransferEstimator().held_out(replace(runs, losses_RJ=losses), folds)
    assert found == pytest.approx(runs.losses_RJ, abs=0.05)
