"""What is particular to each regressor."""

import sys

import numpy as np
import pytest

from mixlaw.core.errors import MissingExtra
from mixlaw.laws.gbdt import MANY_RUNS, Gbdt
from mixlaw.laws.gp import GaussianProcess, _objective
from mixlaw.laws.ridge import Ridge


def runs(count, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    tokens = (0.02 + rng.dirichlet(np.ones(3), count)) * np.exp(rng.normal(0, 0.7, (count, 1)))
    return tokens, 0.8 + 0.5 * (0.05 + tokens[:, 1]) ** -0.3 + noise * rng.standard_normal(count)


def test_ridge_recovers_a_loss_linear_in_its_columns():
    tokens, _ = runs(20)
    losses = 2.0 - 0.3 * np.log1p(100 * tokens[:, 1] / np.median(tokens.sum(axis=1)))
    predictor = Ridge().fit(tokens, losses, 0)
    assert np.abs(predictor.predict(tokens) - losses).max() < 1e-3  # the mean misses by 0.5


def test_ridge_predicts_the_mean_of_pure_noise():
    tokens, _ = runs(20)
    losses = 1 + 0.1 * np.random.default_rng(3).standard_normal(20)
    assert np.std(Ridge().fit(tokens, losses, 0).predict(tokens)) < 0.05


def test_ridge_leave_one_out_errors_are_those_of_refitting():
    tokens, losses = runs(12, noise=0.05)
    features = Ridge().fit(tokens, losses, 0).features(tokens)
    penalty = 3.0
    left, sizes, _ = np.linalg.svd(features, full_matrices=False)
    shrink = sizes**2 / (sizes**2 + penalty)
    residuals = losses - losses.mean() - left @ (shrink * (left.T @ (losses - losses.mean())))
    quick = residuals / (1 - 1 / 12 - left**2 @ shrink)
    matrix = np.column_stack([np.ones(12), features])
    held = np.diag([0.0] + [penalty] * features.shape[1])
    for r in range(12):
        rest = np.arange(12) != r
        solved = np.linalg.solve(matrix[rest].T @ matrix[rest] + held, matrix[rest].T @ losses[rest])
        assert losses[r] - matrix[r] @ solved == pytest.approx(quick[r], rel=1e-8)


def test_the_gradient_of_the_marginal_likelihood_is_exact():
    rng = np.random.default_rng(0)
    points, values = rng.standard_normal((12, 3)), rng.standard_normal(12)
    hyper = np.array([0.2, 0.9, -0.4, 0.1, -1.5])
    _, gradient = _objective(hyper, points, values)
    for h in range(5):
        step = 1e-5 * np.eye(5)[h]
        numeric = (_objective(hyper + step, points, values)[0] - _objective(hyper - step, points, values)[0]) / 2e-5
        assert gradient[h] == pytest.approx(numeric, rel=1e-6, abs=1e-8)


def test_the_process_interpolates_and_returns_to_its_mean_far_away():
    tokens, losses = runs(30, noise=1e-4)
    predictor = GaussianProcess().fit(tokens, losses, 0)
    assert np.abs(predictor.predict(tokens) - losses).max() < 0.01  # the mean misses by 0.4
    assert predictor.predict(1e30 * tokens) == pytest.approx(predictor.centre, abs=0.05)


def test_trees_learn_from_a_dozen_runs():
    pytest.importorskip("lightgbm")
    tokens, losses = runs(12)
    predicted = Gbdt().fit(tokens, losses, 0).predict(tokens)
    assert np.ptp(predicted) > 0.5 * np.ptp(losses)  # RegMix's settings predict one constant here


def test_trees_have_the_published_settings_for_many_runs():
    pytest.importorskip("lightgbm")
    tokens, losses = runs(MANY_RUNS + 100, noise=0.01)
    predictor = Gbdt().fit(tokens, losses, 0)
    assert {"learning_rate": 0.01, "num_leaves": 31}.items() <= predictor.booster.params.items()
    fresh, truth = runs(200, seed=1)
    error = np.sqrt(np.mean((predictor.predict(fresh) - truth) ** 2))
    assert error < 0.4 * truth.std()


def test_without_lightgbm_the_trees_name_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    tokens, losses = runs(12)
    with pytest.raises(MissingExtra, match=r'pip install "mixlaw\[laws\]"'):
        Gbdt().fit(tokens, losses, 0)


def test_the_module_does_not_import_lightgbm():
    import subprocess

    code = "import sys, mixlaw.laws.gbdt; sys.exit('lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
