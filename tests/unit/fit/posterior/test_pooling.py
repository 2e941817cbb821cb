"""Targets tell each other what is usual: the open ones learn, the clear ones keep what their own runs say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.fit.curve import Curve, Scatter
from mixlaw.fit.posterior.pooling import pooled
from mixlaw.laws.transfer import Transfer

PRIOR = (float(np.log(0.2)), 0.7)


def target(beta: float, sd: float, floor: float, width: float, seed: int, draws: int = 800) -> Curve:
    """A target whose exponent is known to a relative sd, and whose floor to within a width of nats."""
    rng = np.random.default_rng(seed)
    point = np.array([0.5, 0.2, 0.6, beta, floor])
    values = np.repeat(point[None], draws, axis=0)
    values[:, 3] = beta * np.exp(sd * rng.standard_normal(draws))
    values[:, 4] = floor + width * (rng.random(draws) - 0.5)
    return Curve(Transfer(("a",), "a"), point, values, Scatter(0.01))


def shared(targets: dict[str, Curve], losses_J: np.ndarray) -> dict[str, Curve]:
    """Return the pooled curves, 200 draws each."""
    curves = [replace(curve, law=Transfer((name,), name)) for name, curve in targets.items()]
    return dict(zip(targets, pooled(curves, losses_J, PRIOR, 200), strict=True))


def spread(curve: Curve, name: str) -> float:
    return float(np.std(np.log(curve.draws[name])))


def test_an_open_target_learns_from_clear_ones() -> None:
    targets = {f"d{i}": target(0.2, 0.03, 1.0, 0.05, i) for i in range(5)} | {"open": target(0.35, 0.6, 1.0, 1.0, 9)}
    told = shared(targets, np.full(6, 2.0))
    assert spread(told["open"], "beta") < 0.7 * spread(targets["open"], "beta")
    assert abs(np.median(np.log(told["open"].draws["beta"] / 0.2))) < 0.3
    assert told["open"].parameters == targets["open"].parameters


def test_a_clear_target_that_lies_apart_stays_there() -> None:
    targets = {f"d{i}": target(0.2, 0.05, 1.0, 0.05, i) for i in range(5)} | {"apart": target(0.9, 0.05, 1.0, 0.05, 9)}
    told = shared(targets, np.full(6, 2.0))
    assert abs(np.log(np.median(told["apart"].draws["beta"]) / 0.9)) < 0.05
    assert len(told["apart"].draws["E"]) == 200


def test_the_order_of_the_targets_changes_nothing() -> None:
    targets = {f"d{i}": target(0.1 + 0.05 * i, 0.3, 1.0, 0.5, i) for i in range(4)}
    losses = np.array([1.8, 2.0, 2.2, 2.4])
    told = shared(targets, losses)
    turned = shared(dict(reversed(targets.items())), losses[::-1])
    for name in targets:
        np.testing.assert_array_equal(told[name].draws["beta"], turned[name].draws["beta"])


def test_a_target_alone_and_a_metric_keep_their_draws() -> None:
    alone = {"a": target(0.2, 0.3, 1.0, 0.5, 0)}
    kept = shared(alone, np.array([2.0]))["a"].draws["beta"]
    np.testing.assert_array_equal(kept, alone["a"].draws["beta"][1::4])
    both = alone | {"b": target(0.2, 0.3, 1.0, 0.5, 1), "metric:m": target(0.2, 0.3, 1.0, 0.5, 2)}
    told = shared(both, np.full(3, 2.0))
    np.testing.assert_array_equal(told["metric:m"].draws["E"], both["metric:m"].draws["E"][1::4])
