"""A Gaussian process: runs with similar tokens have similar losses, and how similar is learnt.

    L(x) = m + f(x) + noise                              f ~ GP(0, k)
    k(x, y) = s^2 (1 + u + u^2 / 3) exp(-u)              u^2 = 5 sum_d (x_d - y_d)^2 / l_d^2

x are the standardised logarithms of each domain's tokens; the Matern kernel of smoothness 5/2 has one length l_d per
domain, so that a domain without effect gets a long one. The lengths, s and the noise maximise the marginal likelihood
times weak priors, by L-BFGS-B with the analytic gradient from a few fixed starts; m is the generalised least-squares
mean. Far from all runs the prediction returns to m.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, Eqs. 2.25, 4.17 and 5.9; on mixtures as
in ADMIRE-BayesOpt, 2025.
Differs: one process per target and no acquisition; priors on the hyperparameters, since studies have few runs.

Shape letters: R runs, Q queries, D columns, H hyperparameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws._shares import Features

_PRIORS = {"length": (np.log(3.0), 1.0), "signal": (0.0, 1.0), "noise": (np.log(0.1), 1.5)}
"""Means and standard deviations of the logarithms of each length, of the standard deviation of f and of the noise;
columns and losses are standardised. Weak. No data."""

_BOUNDS = {"length": (np.log(0.05), np.log(1e3)), "signal": (np.log(0.05), np.log(20.0)), "noise": (np.log(1e-3), 0.7)}
"""Bounds of the same logarithms. No data."""

_STARTS = ((1.0, 0.1), (4.0, 0.1), (4.0, 0.5), (0.4, 0.02))
"""Length and noise of the starting points. No data."""


@dataclass(frozen=True)
class GaussianProcessPredictor:
    """A fitted Gaussian process.

    Attributes:
        features: columns from tokens.
        points_RD: the training runs' columns.
        hyper_H: logarithms of the lengths, of the standard deviation of f and of the noise.
        weights_R: inverse covariance times centred losses.
        centre: mean of the process, nats.
        scale: nats per unit of the standardised losses.
    """

    features: Features
    points_RD: np.ndarray
    hyper_H: np.ndarray
    weights_R: np.ndarray
    centre: float
    scale: float

    def predict(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (R,) losses, nats (see `Predictor.predict`)."""
        covariance, _ = _kernel(self.features(tokens_RK), self.points_RD, self.hyper_H)
        return self.centre + self.scale * (covariance @ self.weights_R)


class GaussianProcess:
    """A Gaussian process with a Matern 5/2 kernel on log tokens; far from all runs it returns to their mean loss."""

    name = "gp"

    def fit(self, tokens_RK: np.ndarray, losses_R: np.ndarray, seed: int) -> GaussianProcessPredictor:
        """Return the fitted predictor; nothing in it is random (see `Regressor.fit`)."""
        from scipy.optimize import minimize

        losses_R = np.asarray(losses_R, dtype=np.float64)
        features = Features.of(tokens_RK, "tokens")
        points_RD = features(tokens_RK)
        middle = float(losses_R.mean())
        scale = float(np.sqrt(np.mean((losses_R - middle) ** 2)))
        scale = scale if scale > 1e-12 * float(np.abs(losses_R).max()) else 1.0
        values_R = (losses_R - middle) / scale
        D = points_RD.shape[1]
        bounds = [_BOUNDS["length"]] * D + [_BOUNDS["signal"], _BOUNDS["noise"]]
        best = None
        for length, noise in _STARTS:
            start = np.log(np.array([length] * D + [1.0, noise]))
            found = minimize(_objective, start, (points_RD, values_R), "L-BFGS-B", jac=True, bounds=bounds)
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        _, weights_R, mean, _ = _solve(best.x, points_RD, values_R)
        return GaussianProcessPredictor(features, points_RD, best.x, weights_R, middle + scale * mean, scale)


def _kernel(x_QD: np.ndarray, y_RD: np.ndarray, hyper_H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (Q, R) covariances and (D, Q, R) derivatives by the logarithm of each length."""
    lengths, variance = np.exp(hyper_H[:-2]), np.exp(2 * hyper_H[-2])
    squares_DQR = ((x_QD[:, None, :] - y_RD[None]) / lengths).transpose(2, 0, 1) ** 2
    u = np.sqrt(5 * squares_DQR.sum(axis=0))
    decay = variance * np.exp(-u)
    return decay * (1 + u + u**2 / 3), 5 / 3 * decay * (1 + u) * squares_DQR


def _solve(
    hyper_H: np.ndarray, points_RD: np.ndarray, values_R: np.ndarray
) -> tuple[float, np.ndarray, float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return the negative log likelihood, inverse covariance times centred values, the mean, and what gradients need.

    The noise is at least a thousandth, so that the factorisation cannot fail even when runs coincide.
    """
    from scipy.linalg import cho_solve, cholesky

    smooth, by_lengths = _kernel(points_RD, points_RD, hyper_H)
    factor = cholesky(smooth + (np.exp(2 * hyper_H[-1]) + 1e-9) * np.eye(len(values_R)), lower=True)
    inverse = cho_solve((factor, True), np.eye(len(values_R)))
    mean = float(inverse.sum(axis=0) @ values_R / inverse.sum())
    weights_R = inverse @ (values_R - mean)
    cost = 0.5 * float((values_R - mean) @ weights_R) + float(np.log(np.diag(factor)).sum())
    return cost, weights_R, mean, (smooth, by_lengths, inverse)


def _objective(hyper_H: np.ndarray, points_RD: np.ndarray, values_R: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the negative log posterior of the hyperparameters and its gradient.

    The mean is at its optimum, so that its change with the hyperparameters does not matter to first order.
    """
    cost, weights_R, _, (smooth, by_lengths, inverse) = _solve(hyper_H, points_RD, values_R)
    # dcost = 1/2 tr((inverse - weights weights') dK)
    slope = 0.5 * (inverse - np.outer(weights_R, weights_R))
    noise = np.exp(2 * hyper_H[-1])
    gradient = np.array([*(slope * by_lengths).sum(axis=(1, 2)), 2 * (slope * smooth).sum(), 2 * noise * slope.trace()])
    priors = np.array([_PRIORS["length"]] * points_RD.shape[1] + [_PRIORS["signal"], _PRIORS["noise"]])
    away = (hyper_H - priors[:, 0]) / priors[:, 1]
    return cost + 0.5 * float(away @ away), gradient + away / priors[:, 1]
