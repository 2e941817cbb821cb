"""Checkpoints along runs: batches, what they say less, and the column that names their run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.checkpoints import EARLY, LEVEL, POINT_EARLY, TAU, Batches, repeats
from mixlaw.fit.choosing.held_out import folds
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from quick_fits import none_held_out, points_only, short_draws


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with none_held_out(), short_draws():
        yield


TOTALS = np.array([2e6, 4e6, 8e6, 16e6])


def checkpoints(mixtures: int = 10, early: float = 0.3, seed: int = 0) -> RunTable:
    """Runs of two domains with four checkpoints each; the first lies `early` nats above the law."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.1, 0.9, mixtures)
    tokens = np.array([[w * n, (1 - w) * n] for w in shares for n in TOTALS])
    losses = 1.6 + 0.5 * (tokens / 1e6) ** -0.3 + 0.003 * rng.standard_normal(tokens.shape)
    losses[::4] += early
    of = tuple(f"m{m}" for m in range(mixtures) for _ in TOTALS)
    names = tuple(f"{name}-{i}" for i, name in enumerate(of))
    return RunTable(names, ("a", "b"), ("a", "b"), tokens, losses, checkpoint_of=of)


def at_the_point(runs: RunTable, asked: np.ndarray) -> np.ndarray:
    """Return the losses of mixtures at the parameters of `pairwise`."""
    with points_only():
        return fit_law(runs, law="pairwise").predict(asked, at="point").mean


def test_checkpoints_of_one_size_and_amount_are_a_batch_and_early_ones_may_lie_further_off() -> None:
    batches = Batches.of(checkpoints())
    assert batches is not None and batches.member_RB.sum(axis=0).tolist() == [10] * 4
    assert np.sort(batches.early_B) == pytest.approx([1.0, 2**EARLY, 4**EARLY, 8**EARLY], rel=0.2)


def test_a_table_of_runs_has_no_batches() -> None:
    runs = checkpoints()
    assert Batches.of(runs.take(np.arange(0, 40, 4))) is None


def test_a_shock_of_early_checkpoints_does_not_bend_the_law() -> None:
    runs, asked = checkpoints(), np.array([[20e6, 20e6]])
    truth = 1.6 + 0.5 * 20**-0.3
    bare = RunTable(runs.runs, runs.domains, runs.targets, runs.tokens_RK, runs.losses_RJ)
    of_checkpoints, of_runs = at_the_point(runs, asked)[0], at_the_point(bare, asked)[0]
    assert np.abs(of_checkpoints - truth).max() < 0.5 * np.abs(of_runs - truth).max()


def test_rows_of_one_run_say_as_little_more_as_they_agree() -> None:
    groups = np.repeat(np.arange(50), 4)
    rng = np.random.default_rng(0)
    assert repeats(np.repeat(rng.standard_normal(50), 4), groups) == pytest.approx(4.0)
    assert repeats(rng.standard_normal(200), groups).max() < 1.6
    assert repeats(rng.standard_normal(200), None).tolist() == [1.0] * 200


def test_tables_and_fits_keep_the_run_of_a_checkpoint(tmp_path) -> None:
    runs = checkpoints(4)
    runs.to_csv(tmp_path / "runs.csv")
    assert RunTable.from_csv(tmp_path / "runs.csv").checkpoint_of == runs.checkpoint_of
    assert runs.take([5, 0]).checkpoint_of == ("m1", "m0")
    fit_law(runs, law="pairwise").save(tmp_path / "fit.json")
    assert Fit.load(tmp_path / "fit.json").runs.checkpoint_of == runs.checkpoint_of


def test_an_empty_cell_is_a_run_of_its_own() -> None:
    columns = {"run": ["x", "y"], "tokens:a": [1, 2], "loss:a": [2.0, 1.0], "checkpoint_of": ["", "r"]}
    assert RunTable.from_columns(columns).checkpoint_of == ("x", "r")


def levels(mixtures: int, shock: float, seed: int = 0) -> RunTable:
    """Runs of two domains that have ended, at four totals; those of the second lie `shock` nats above the law."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.1, 0.9, (4, mixtures))
    tokens = np.array([[w * n, (1 - w) * n] for n, row in zip(TOTALS, shares, strict=True) for w in row])
    losses = 1.6 + 0.5 * (tokens / 1e6) ** -0.3 + 0.002 * rng.standard_normal(tokens.shape)
    losses[mixtures : 2 * mixtures] += shock
    return RunTable(tuple(f"r{i}" for i in range(len(tokens))), ("a", "b"), ("a", "b"), tokens, losses)


def test_levels_of_runs_with_enough_mixtures_are_batches_and_smaller_ones_are_none() -> None:
    runs = levels(LEVEL, 0.0)
    batches = Batches.of(runs)
    assert batches is not None and not batches.checkpoints
    assert batches.member_RB.sum(axis=0).tolist() == [LEVEL] * 4 and batches.early_B.tolist() == [1.0] * 4
    assert Batches.of(levels(LEVEL - 1, 0.0)) is None
    alone = np.r_[0:LEVEL, LEVEL : 2 * LEVEL - 1]
    assert Batches.of(runs.take(alone)) is None


def test_levels_are_of_one_model_size_and_one_total() -> None:
    runs = levels(2 * LEVEL, 0.0)
    params = np.tile([1e8, 2e8], len(runs) // 2)
    batches = Batches.of(replace(runs, params_R=params))
    assert batches is not None and batches.member_RB.sum(axis=0).tolist() == [LEVEL] * 8


def test_a_shock_that_a_level_shares_is_told_from_the_law_and_believed_of_others() -> None:
    calm, shaken = ([one.shock for one in PairwiseEstimator(False).fit(levels(10, s), 0, 0)] for s in (0.0, 0.05))
    assert all(before is not None and before < 1.5 * TAU for before in calm)
    assert all(after is not None and after > 3 * TAU for after in shaken)
    asked = np.array([[3e6, 3e6]])
    truth = 1.6 + 0.5 * 3**-0.3
    found = [one.curve.losses(asked / 1e6)[0] for one in PairwiseEstimator(False).fit(levels(10, 0.05), 0, 0)]
    assert np.abs(np.array(found) - truth).max() < 0.02
    few = PairwiseEstimator(False).fit(levels(4, 0.05), 0, 0)
    assert [one.shock for one in few] == [None, None]


@pytest.mark.parametrize("drift", [0.03, 0.05])
def test_a_drift_from_level_to_level_is_not_taken_for_the_slope(drift: float) -> None:
    runs = levels(10, 0.0)
    doublings_R = np.log2(runs.totals_R / runs.totals_R.min()).round()
    drifted = replace(runs, losses_RJ=runs.losses_RJ + drift * doublings_R[:, None])
    for one, calm in zip(*(PairwiseEstimator(False).fit(table, 0, 0) for table in (drifted, runs)), strict=True):
        assert one.shock is not None and one.shock > 5 * TAU
        # Mixtures of one level tell the slope; over levels alone the losses would have one of .38 to .71.
        assert one.curve.parameters["beta"] == pytest.approx(calm.curve.parameters["beta"], abs=0.02)


def test_intervals_at_totals_of_the_runs_hold_a_shock_where_shocks_were_fitted() -> None:
    shaken = fit_law(levels(10, 0.05), law="pairwise")
    beyond = shaken.targets["a"].belief.beyond
    assert beyond.inside == beyond.shock > 3 * TAU
    found = shaken.predict(np.array([[1e6, 3e6]]))
    assert (found.high - found.low)[0, 0] / 2 > 1.4 * beyond.shock * found.mean[0, 0]


def points(mixtures: int = 10, early: float = 0.0, run_sd: float = 0.0, seed: int = 0) -> RunTable:
    """Runs of different totals with points at a quarter and a half, which lie `early` nats off; runs share `run_sd`."""
    rng = np.random.default_rng(seed)
    shares, totals = rng.uniform(0.1, 0.9, mixtures), rng.uniform(4e6, 12e6, mixtures)
    parts = (0.25, 0.5, 1.0)
    tokens = np.array([[w * n * p, (1 - w) * n * p] for w, n in zip(shares, totals, strict=True) for p in parts])
    losses = 1.6 + 0.5 * (tokens / 1e6) ** -0.3 + 0.002 * rng.standard_normal(tokens.shape)
    losses += np.repeat(run_sd * rng.standard_normal((mixtures, 2)), 3, axis=0)
    losses[::3] += early
    losses[1::3] += early / 2
    names = tuple(f"m{m}@{p:g}" if p < 1 else f"m{m}" for m in range(mixtures) for p in parts)
    of, kinds = tuple(f"m{m}" for m in range(mixtures) for _ in parts), ("point", "point", "true") * mixtures
    return RunTable(names, ("a", "b"), ("a", "b"), tokens, losses, checkpoint_of=of, fidelity=kinds)


def test_points_at_one_share_of_their_runs_are_a_batch_whatever_the_totals() -> None:
    batches = Batches.of(points())
    assert batches is not None and batches.member_RB.sum(axis=0).tolist() == [10, 10]
    assert np.sort(batches.early_B) == pytest.approx([2**POINT_EARLY, 4**POINT_EARLY])
    assert not batches.member_RB[2::3].any()


def test_a_shock_of_points_moves_the_law_of_ended_runs_little() -> None:
    asked, truth = np.array([[20e6, 20e6]]), 1.6 + 0.5 * 20**-0.3
    shocked = at_the_point(points(16, early=0.1), asked)[0]
    of_runs = at_the_point(replace(points(16, early=0.1), checkpoint_of=(), fidelity=()), asked)[0]
    assert np.abs(shocked - truth).max() < 0.5 * np.abs(of_runs - truth).max()


def test_points_without_a_shock_of_their_run_tell_more_than_its_end_alone() -> None:
    asked, truth, errors = np.array([[20e6, 20e6], [5e6, 30e6]]), [], []
    for seed in range(4):
        runs = points(9, seed=seed)
        truth = 1.6 + 0.5 * (asked / 1e6) ** -0.3
        with_points, without = (at_the_point(r, asked) for r in (runs, runs.take(~runs.point_R)))
        errors.append([np.abs(with_points - truth).mean(), np.abs(without - truth).mean()])
    assert np.mean(errors, axis=0)[0] < 0.8 * np.mean(errors, axis=0)[1]


def test_points_are_held_out_with_their_run() -> None:
    runs = points()
    for held in folds(runs):
        assert {name.partition("@")[0] for name in np.array(runs.runs)[held]}.isdisjoint(
            name.partition("@")[0] for name in np.array(runs.runs)[~held]
        )


def test_a_stored_fit_of_points_predicts_the_same(tmp_path) -> None:
    fitted = fit_law(points(8), law="pairwise")
    fitted.save(tmp_path / "fit.json")
    again = Fit.load(tmp_path / "fit.json")
    assert again.runs.fidelity == fitted.runs.fidelity
    asked = np.array([[20e6, 20e6]])
    assert again.predict(asked).mean == pytest.approx(fitted.predict(asked).mean)


@pytest.mark.parametrize("lengths", [[1e6, 4e6], [5e5, 1e6, 2e6, 4e6]])
def test_checkpoints_of_runs_of_unlike_lengths_do_not_bend_the_law(lengths: list[float]) -> None:
    # What is unfinished lies as high at one share of a short run as of a long one, and ended runs as long beside it.
    rng = np.random.default_rng(0)
    shares = np.tile([0.25, 0.5, 1.0], 16)
    first = rng.uniform(0.1, 0.9, 16).repeat(3)
    totals = np.resize(lengths, 16).repeat(3) * shares
    tokens = np.column_stack([first, 1 - first]) * totals[:, None]
    truth = 1.6 + 0.5 * ((tokens + 0.1 * tokens[:, ::-1]) / 1e6 + 0.05) ** -0.3
    losses = truth + np.select([shares < 0.3, shares < 0.6], [0.1, 0.06], 0.0)[:, None]
    of = tuple(f"m{m}" for m in range(16) for _ in range(3))
    names = tuple(f"{name}-{i}" for i, name in enumerate(of))
    noisy = losses + 0.003 * rng.standard_normal(losses.shape)
    runs = RunTable(names, ("a", "b"), ("a", "b"), tokens, noisy, checkpoint_of=of)
    ended = shares == 1.0
    off = at_the_point(runs, tokens[ended]) - truth[ended]
    assert np.sqrt((off**2).mean()) < 0.006
