"""Laws on held-out mixtures: the table of laws, folds, and laws that do not apply."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from law_runs import DOMAINS, TRANSFER, run_table
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import compare_laws, errors_of, folds, held_out, spearman
from mixlaw.laws.transfer import Transfer


def test_laws_side_by_side_put_the_true_one_before_the_mean() -> None:
    rows = compare_laws(run_table(Transfer, TRANSFER, 16, 0.002), ["transfer", "chinchilla", "ridge"])
    names = [row.name for row in rows]
    assert names[0] == "transfer"
    assert "mean" in names
    assert all(row.seconds > 0 for row in rows)


def test_a_law_that_does_not_apply_says_why() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    other = RunTable(runs.runs, DOMAINS, ("x", "y", "z"), runs.tokens_RK, runs.losses_RJ)
    row = held_out(other, "transfer")
    assert np.isnan(row.mre)
    assert "x" in row.note


def test_folds_hold_each_run_once_and_keep_replicates_together() -> None:
    runs = run_table(Transfer, TRANSFER, 15, 0.002)
    double = runs.take(np.repeat(np.arange(15), 2))
    parts = folds(double)
    assert np.array_equal(np.sum(parts, axis=0), np.ones(30))
    assert all(np.array_equal(part[::2], part[1::2]) for part in parts)


def table(tokens: np.ndarray, losses: np.ndarray, targets: tuple[str, ...] = DOMAINS) -> RunTable:
    return RunTable(tuple(f"r{i}" for i in range(len(tokens))), DOMAINS, targets, tokens, losses)


@pytest.mark.parametrize(("mixtures", "count"), [(1, 0), (2, 2), (4, 4), (10, 10), (25, 10)])
def test_there_are_as_many_folds_as_mixtures_and_at_most_ten(mixtures: int, count: int) -> None:
    tokens = np.repeat(np.outer(np.arange(1, mixtures + 1), np.ones(3)) * 1e6, 2, axis=0)
    parts = folds(table(tokens, np.ones_like(tokens)))
    assert len(parts) == count
    assert all(part.any() and not part.all() for part in parts)


def test_every_fold_has_small_and_large_mixtures() -> None:
    order = np.random.default_rng(0).permutation(30)
    tokens = np.outer(order + 1.0, np.ones(3)) * 1e6
    for part in folds(table(tokens, np.ones_like(tokens))):
        assert sorted(order[part] // 10) == [0, 1, 2]


def test_the_figures_of_a_row_are_those_of_its_predictions() -> None:
    rng = np.random.default_rng(0)
    tokens, losses = np.exp(rng.normal(0, 1, (12, 3))) * 1e6, 2 + rng.random((12, 3))
    losses[4, 1] = np.nan
    row = held_out(table(tokens, losses), "ridge")
    known = np.isfinite(losses)
    away = (row.predicted_RJ - losses)[known]
    assert row.mre == pytest.approx(np.mean(np.abs(away) / losses[known]))
    assert row.bias == pytest.approx(away.mean())
    spread = sum(((losses[known[:, j], j] - losses[known[:, j], j].mean()) ** 2).sum() for j in range(3))
    assert row.r2 == pytest.approx(1 - (away**2).sum() / spread)
    ranks = [spearmanr(row.predicted_RJ[known[:, j], j], losses[known[:, j], j])[0] for j in range(3)]
    assert row.spearman == pytest.approx(np.mean(ranks))
    assert np.isfinite(row.predicted_RJ).all()
    assert row.note == ""


class Wild:
    """Predicts three times the largest loss, less than nothing, and no number, in turn."""

    name = "wild"

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> Wild:
        return self

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        return np.where(tokens_RK[:, 0] < 2.5, 9.0, np.where(tokens_RK[:, 0] < 4.5, -1.0, np.nan))


def test_held_out_predictions_end_at_twice_the_largest_loss_and_at_nothing() -> None:
    tokens = np.outer(np.arange(1, 7), np.ones(3)) * 1e6
    row = held_out(table(tokens, np.full((6, 3), 2.0) + np.arange(6)[:, None] / 10), Wild)
    assert row.predicted_RJ[:, 0].tolist() == [5.0, 5.0, 0.0, 0.0, 5.0, 5.0]


def test_a_law_of_one_size_is_refused_runs_of_several_with_the_sizes() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    sized = replace(runs, params_R=np.tile([1e8, 1e9], 8))
    note = held_out(sized, "transfer").note
    assert "1e+08 to 1e+09 parameters" in note
    assert "'transfer' can use only one size" in note
    assert held_out(sized, "pairwise").note == ""
    assert held_out(replace(runs, params_R=np.full(16, 1e9)), "transfer").note == ""


def test_laws_that_do_not_apply_come_last_and_the_others_by_their_error() -> None:
    runs = run_table(Transfer, TRANSFER, 16, 0.002)
    other = RunTable(runs.runs, DOMAINS, ("x", "y", "z"), runs.tokens_RK, runs.losses_RJ)
    rows = compare_laws(other, ["transfer", "mean", "chinchilla", "bivariate"])
    assert [row.name for row in rows[2:]] == ["transfer", "bivariate"]
    assert rows[0].mre < rows[1].mre
    assert {row.name for row in compare_laws(runs, ["ridge"])} == {"ridge", "mean"}


TOKENS = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])


def test_errors_by_hand() -> None:
    losses, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 2.4, 4.4])
    found = errors_of(predicted, losses, TOKENS)
    assert found.mre == pytest.approx((0.5 + 0 + 0.2 + 0.1) / 4)
    # the mean of other mixtures: 3.5 for both runs of the first, then 7/3 and 2
    assert found.mre_mean == pytest.approx((2.5 + 0.75 + (2 / 3) / 3 + 0.5) / 4)
    assert found.spearman == pytest.approx(1)
    assert found.r2 == pytest.approx(1 - (0.25 + 0.36 + 0.16) / 5)


def test_runs_without_a_loss_or_a_prediction_are_left_out() -> None:
    nan, extra = float("nan"), np.vstack([TOKENS, [[9.0, 1.0], [8.0, 1.0]]])
    losses, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 2.4, 4.4])
    found = errors_of(np.append(predicted, [nan, 5.0]), np.append(losses, [7.0, nan]), extra)
    assert found == errors_of(predicted, losses, TOKENS)


def test_two_runs_say_nothing_and_three_do() -> None:
    losses = np.array([1.0, 2.0, 3.0])
    assert np.isnan(errors_of(losses[:2], losses[:2], TOKENS[:2])).all()
    assert errors_of(losses, losses, TOKENS[:3]).mre == 0


def test_constant_losses_have_neither_rank_correlation_nor_explained_variance() -> None:
    found = errors_of(np.array([1.0, 2.0, 3.0]), np.ones(3), TOKENS[:3])
    assert np.isnan(found.spearman) and np.isnan(found.r2)
    assert found.mre == pytest.approx(1)


def test_rank_correlations_are_scipys_with_ties_and_without() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 20).astype(float), rng.standard_normal(20)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
