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


def matern(x, y, lengths):
    u = np.sqrt(5 * (((x[:, None] - y[None]) / lengths) ** 2).sum(axis=2))
    return (1 + u + u**2 / 3) * np.exp(-u)


def test_the_process_has_the_documented_kernel_and_posterior_mean():
    tokens, losses = runs(15, noise=0.02)
    predictor = GaussianProcess().fit(tokens, losses, 0)
    lengths, signal, noise = (
        np.exp(predictor.hyper_H[:-2]),
        np.exp(predictor.hyper_H[-2]),
        np.exp(predictor.hyper_H[-1]),
    )
    points, fresh = predictor.features(tokens), predictor.features(1.3 * tokens[:4])
    covariance = signal**2 * matern(points, points, lengths) + (noise**2 + 1e-9) * np.eye(15)
    values = (losses - losses.mean()) / losses.std()
    inverse = np.linalg.inv(covariance)
    middle = inverse.sum(axis=0) @ values / inverse.sum()
    mean = middle + signal**2 * matern(fresh, points, lengths) @ inverse @ (values - middle)
    assert predictor.predict(1.3 * tokens[:4]) == pytest.approx(losses.mean() + losses.std() * mean)


def test_the_cost_of_hyperparameters_is_the_likelihood_times_the_priors():
    from scipy.stats import multivariate_normal, norm

    rng = np.random.default_rng(0)
    points, values = rng.standard_normal((8, 2)), rng.standard_normal(8)

    def by_definition(hyper):
        lengths, signal, noise = np.exp(hyper[:2]), np.exp(hyper[2]), np.exp(hyper[3])
        covariance = signal**2 * matern(points, points, lengths) + (noise**2 + 1e-9) * np.eye(8)
        inverse = np.linalg.inv(covariance)
        middle = inverse.sum(axis=0) @ values / inverse.sum()
        prior = norm.logpdf(hyper, [np.log(3), np.log(3), 0, np.log(0.1)], [1, 1, 1, 1.5]).sum()
        return -multivariate_normal(np.full(8, middle), covariance).logpdf(values) - prior

    first, second = np.array([0.2, 0.9, 0.1, -1.5]), np.array([-0.5, 1.5, 0.4, -0.7])
    found = _objective(first, points, values)[0] - _objective(second, points, values)[0]
    assert found == pytest.approx(by_definition(first) - by_definition(second), rel=1e-6)


def test_losses_that_are_all_alike_are_predicted_by_the_process():
    tokens, _ = runs(10)
    assert GaussianProcess().fit(tokens, np.full(10, 2.0), 0).predict(tokens) == pytest.approx(np.full(10, 2.0))


def test_the_penalty_of_ridge_has_the_smallest_error_of_runs_left_out():
    tokens, losses = runs(14, noise=0.1)
    predictor = Ridge().fit(tokens, losses, 0)
    features = predictor.features(tokens)

    def error(penalty):
        held, misses = np.diag([0.0] + [14 * penalty] * features.shape[1]), []
        matrix = np.column_stack([np.ones(14), features])
        for r in range(14):
            rest = np.arange(14) != r
            solved = np.linalg.solve(matrix[rest].T @ matrix[rest] + held, matrix[rest].T @ losses[rest])
            misses.append(losses[r] - matrix[r] @ solved)
        return np.mean(np.square(misses))

    assert 1e-5 < predictor.penalty < 1e5
    best = error(predictor.penalty)
    assert all(best <= error(predictor.penalty * 10**step) for step in (-1, -0.25, 0.25, 1))
    full = np.linalg.solve(
        features.T @ features + 14 * predictor.penalty * np.eye(7), features.T @ (losses - losses.mean())
    )
    assert predictor.coefficients == pytest.approx(full)


@pytest.mark.parametrize(("count", "split"), [(3, False), (4, True)])
def test_trees_of_too_few_runs_predict_their_mean(count, split):
    pytest.importorskip("lightgbm")
    tokens, losses = runs(count)
    predictor = Gbdt().fit(tokens, losses, 0)
    assert (predictor.booster is not None) is split
    if not split:
        assert predictor.predict(tokens).tolist() == [losses.mean()] * 3
    assert Gbdt().fit(tokens, np.full(count, 2.0), 0).predict(tokens).tolist() == [2.0] * count


def test_trees_do_not_depend_on_the_order_of_the_runs():
    pytest.importorskip("lightgbm")
    tokens, losses = runs(20, noise=0.05)
    order = np.random.default_rng(5).permutation(20)
    shuffled = Gbdt().fit(tokens[order], losses[order], 0).predict(tokens)
    assert shuffled.tolist() == Gbdt().fit(tokens, losses, 0).predict(tokens).tolist()
