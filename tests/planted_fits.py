"""Fits whose parameters and draws are given: for tests of what is made of a fit, where nothing is to be fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Belief, Curve, Scatter
from mixlaw.fit.posterior.extrapolation import standard_normals
from mixlaw.fit.result import Fit
from mixlaw.fit.target_fit import TargetFit
from mixlaw.laws import find

Point = Mapping[str, float] | Sequence[float] | np.ndarray
"""A target's parameters: by name, or in the order of the law's."""


def names_of(law: Any, domains: Sequence[str], target: str) -> list[str]:
    """Return the names of a law's parameters."""
    made = find(law).law
    assert made is not None
    return [parameter.name for parameter in made(tuple(domains), target).parameters]


def two_runs(domains: Sequence[str], targets: Sequence[str], loss: float = 2.0) -> RunTable:
    """Return two runs of a million tokens a domain, with one and the same loss."""
    tokens, losses = np.full((2, len(domains)), 1e6), np.full((2, len(targets)), loss)
    return RunTable(("x", "y"), tuple(domains), tuple(targets), tokens, losses)


def planted_fit(
    law: Any,
    runs: RunTable,
    points: Mapping[str, Point],
    draws: Mapping[str, np.ndarray],
    *,
    noise: float = 0.01,
    procedure: str = "joint",
    decay: float = float("inf"),
    **judged: Any,
) -> Fit:
    """Return a fit that says what it is told.

    Args:
        law: a law, as `mixlaw.laws.find` takes it.
        runs: whose domains and targets it has.
        points: target -> its parameters, tokens in millions.
        draws: target -> (S, P) draws of them, in the order of the law's.
        noise: standard deviation of a run's loss, nats.
        procedure: what the fit says of itself.
        decay: R* of repeated tokens.
        judged: fields of every `TargetFit`, such as `status`.
    """
    kind, targets = find(law), {}
    assert kind.law is not None
    said = {"status": "converged", "message": "planted", **judged}
    for j, target in enumerate(runs.targets):
        made, point = kind.law(runs.domains, target), points[target]
        if isinstance(point, Mapping):
            point = [point[parameter.name] for parameter in made.parameters]
        curve = Curve(made, np.array(point, float), np.array(draws[target], float), Scatter(noise))
        belief = Belief((curve,), standard_normals(runs.losses_RJ, j, len(curve.draws_SP)))
        targets[target] = TargetFit(belief, **said)
    return Fit(kind.name, procedure, runs.domains, targets, runs, decay=decay)
