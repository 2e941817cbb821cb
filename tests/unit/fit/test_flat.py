"""Flat coordinates: there and back, volumes, and bootstrapped spreads."""

from __future__ import annotations

import numpy as np
import pytest
from mixlaw.fit.bootstrap import bootstrap_ratios
from mixlaw.fit.flat import Flat

from mixlaw.core.errors import ConfigError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.laws.transfer import transfer_losses

DOMAINS = ("a", "b", "c")
THETA = np.array([[0.5, 0.2, 0.7, 0.2, 0.9], [0.7, 0.1, 0.8, 0.3, 1.1], [0.4, 0.3, 0.6, 0.15, 0.6]])


def planted_runs(seed: int, noise: float = 0.002, count: int = 16) -> RunTable:
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(0.2e6), np.log(2e6), (count, 3)))
    own = tokens / 1e6
    others = own.sum(axis=1, keepdims=True) - own
    losses = np.column_stack([transfer_losses(THETA[i], own[:, i], others[:, i]) for i in range(3)])
    names = tuple(f"r{i}" for i in range(count))
    return RunTable(names, DOMAINS, DOMAINS, tokens, losses + noise * rng.standard_normal(losses.shape))


def test_there_and_back() -> None:
    flat = Flat.of(np.array([0.1, 0.5, 1.0, 4.0]), 0, 2, 3)
    z = np.array([[-0.5, 7.0, -1.5, 0.9], [0.2, -3.0, -0.4, 0.1]])
    back, log_volume = flat.curve(flat.flatten(z))
    assert back == pytest.approx(z)
    assert np.isfinite(log_volume).all()


def test_the_jacobian_and_the_volume_are_those_of_the_map() -> None:
    flat = Flat.of(np.array([0.1, 0.5, 1.0, 4.0]), 0, 1, 2)
    z = np.array([-0.5, -1.5, 0.9])
    step = 1e-6 * np.eye(3)
    numeric = np.array([(flat.flatten((z + s)[None])[0] - flat.flatten((z - s)[None])[0]) / 2e-6 for s in step]).T
    assert flat.jacobian(z) == pytest.approx(numeric, abs=1e-8)
    log_volume = flat.curve(flat.flatten(z[None]))[1][0]
    assert log_volume == pytest.approx(-np.log(abs(np.linalg.det(numeric))), abs=1e-6)


def test_a_rising_curve_has_no_volume() -> None:
    flat = Flat.of(np.array([0.1, 1.0]), 0, 1, 2)
    assert flat.curve(np.array([[1.0, -1.0, 2.0]]))[1][0] == -np.inf


def test_bands_hold_the_planted_losses_far_beyond_the_runs() -> None:
    inside = []
    for seed in range(8):
        fit = fit_law(planted_runs(seed), law="transfer")
        for times in (7, 70):
            far = times * 0.66e6 * np.array([[1, 1, 1], [2, 0.5, 0.5], [0.5, 2, 0.5], [0.5, 0.5, 2]])
            own = far / 1e6
            others = own.sum(axis=1, keepdims=True) - own
            truth = np.column_stack([transfer_losses(THETA[i], own[:, i], others[:, i]) for i in range(3)])
            band = fit.predict(far)
            inside.append(np.mean((truth >= band.mean_low) & (truth <= band.mean_high)))
    assert np.mean(inside) > 0.78


@pytest.mark.parametrize(("law", "least", "most"), [("transfer", 0.6, 1.6), ("pairwise", 0.3, 1.3)])
def test_draws_and_bootstrap_agree_where_the_runs_are(law, least, most) -> None:
    ratios = bootstrap_ratios(fit_law(planted_runs(3), law=law), samples=12)
    assert ratios.shape == (3,)
    assert least < np.median(ratios) < most


def test_what_cannot_be_bootstrapped() -> None:
    runs = planted_runs(3)
    with pytest.raises(ConfigError, match="posterior"):
        bootstrap_ratios(fit_law(runs, law="ridge"))
    with pytest.raises(ConfigError, match="samples"):
        bootstrap_ratios(fit_law(runs, law="transfer"), samples=1)
