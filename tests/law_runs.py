"""Runs of three domains by any law, each target with the same parameters."""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable

DOMAINS = ("a", "b", "c")


def run_table(law: type, theta: np.ndarray, runs: int, noise: float, seed: int = 0) -> RunTable:
    mixtures = np.exp(np.random.default_rng(seed).normal(0, 0.7, (runs, 3)))
    losses = np.column_stack([law(DOMAINS, d).predict(np.asarray(theta), mixtures) for d in DOMAINS])
    losses += noise * np.random.default_rng(seed + 1).standard_normal(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(runs)), DOMAINS, DOMAINS, mixtures * 1e6, losses)


TRANSFER = np.array([0.8, 0.15, 0.7, 0.2, 0.9])
# b helps everybody ten times more than c does, and interferes.
UNEVEN = np.array([0.9, 0.05, 0.6, 0.2, 0.8, 0.3, 0.02, 0.0, 0.0, 0.1, 0.0])
