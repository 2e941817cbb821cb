"""Runs of a planted law `transfer`, whose truth a test can compare with."""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.laws.transfer import transfer_losses

DOMAINS = ("a", "b", "c")
THETA = np.array([[0.5, 0.2, 0.7, 0.2, 0.9], [0.7, 0.1, 0.8, 0.3, 1.1], [0.4, 0.3, 0.6, 0.15, 0.6]])


def transfer_runs(seed: int, noise: float = 0.002, count: int = 16) -> RunTable:
    rng = np.random.default_rng(seed)
    tokens = np.exp(rng.uniform(np.log(0.2e6), np.log(2e6), (count, 3)))
    own = tokens / 1e6
    others = own.sum(axis=1, keepdims=True) - own
    losses = np.column_stack([transfer_losses(THETA[i], own[:, i], others[:, i]) for i in range(3)])
    names = tuple(f"r{i}" for i in range(count))
    return RunTable(names, DOMAINS, DOMAINS, tokens, losses + noise * rng.standard_normal(losses.shape))
