"""Runs of a planted law, and a fit that knows it, for tests of the report."""

from __future__ import annotations

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.result import Fit
from mixlaw.laws.transfer import transfer_losses
from planted_fits import planted_fit

HOSTILE = "<img src=x onerror=alert(1)>"


def example(domains: list[str], *, spread: float = 0.02, noise: float = 0.004, seed: int = 0) -> tuple[RunTable, Fit]:
    """Return the runs of a perturbation design and their fit.

    Args:
        domains: names of domains and targets.
        spread: relative standard deviation of the posterior draws; 0 for a fit without uncertainty.
        noise: standard deviation of a measured loss, nats.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    K = len(domains)
    theta = np.column_stack(
        [generator.uniform(a, b, K) for a, b in ((0.3, 1), (0.05, 0.5), (0.5, 0.95), (0.1, 0.3), (0.4, 1))]
    )
    base = np.full(K, 660_000.0)
    steps = [np.where(np.arange(K) == i, r, 1.0) for i in range(K) for r in (1 / 3, 0.5, 2, 3)]
    tokens = np.array([base, *(base * step for step in steps)])
    own, others = tokens / 1e6, (tokens.sum(axis=1, keepdims=True) - tokens) / 1e6
    losses = np.column_stack([transfer_losses(theta[i], own[:, i], others[:, i]) for i in range(K)])
    losses = losses + noise * generator.standard_normal(losses.shape)
    names = tuple(f"run-{r}" for r in range(len(tokens)))
    runs = RunTable(names, tuple(domains), tuple(domains), tokens, losses, ("0",) * len(names))
    draws = {}
    for i, domain in enumerate(domains):
        draws[domain] = theta[i] * (1 + spread * generator.standard_normal((100, 5)))
        draws[domain][:, 2] = np.minimum(draws[domain][:, 2], 1)
    points = dict(zip(domains, theta, strict=True))
    return runs, planted_fit(
        "transfer", runs, points, draws, noise=max(noise, 1e-6), message="The law predicts held-out runs well.",
        cv_mre=0.01, cv_mre_mean=0.05, cv_spearman=0.95,
    )  # fmt: skip
