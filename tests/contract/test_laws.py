"""Every law and every regressor keeps the promises of `mixlaw.laws.base`."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.laws import find, names
from mixlaw.testing import LAW_CHECKS, REGRESSOR_CHECKS, check_law

LAWS = [name for name in names() if find(name).law is not None]
REGRESSORS = [name for name in names() if find(name).law is None]


@pytest.mark.parametrize("check", LAW_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", LAWS)
def test_laws_conform(name, check):
    check(find(name).law)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("domains", [("web", "books"), tuple(f"domain {k % 7}{k % 3}" for k in range(1, 9))], ids=len)
def test_laws_conform_for_two_and_eight_domains(name, domains, seed):
    check_law(find(name).law, domains, seed)


@pytest.mark.parametrize("check", REGRESSOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_conform(name, check):
    if name == "gbdt":
        pytest.importorskip("lightgbm")
    check(find(name).regressor)


def design(budgets: int) -> np.ndarray:
    """Return 30 mixtures of three domains at so many different budgets, in units of a typical run."""
    rng = np.random.default_rng(5)
    totals = np.geomspace(0.25, 4.0, budgets) if budgets > 1 else np.ones(1)
    return (0.02 + rng.dirichlet(np.ones(3), 30)) * np.resize(totals, 30)[:, None]


def planted(law) -> np.ndarray:
    """Return parameters a little away from the middle of what is believed before any run."""
    rng = np.random.default_rng(6)
    values = []
    for parameter in law.parameters:
        centre, sd = parameter.prior or (0.0, 0.5)
        value = centre + 0.3 * sd * rng.standard_normal()
        value = np.exp(value) if parameter.scale == "log" or parameter.prior is None else abs(value)
        values.append(value if parameter.lower >= 0 else centre + 0.3 * sd * rng.standard_normal())
    return np.array(values)


@pytest.mark.parametrize("name", [name for name in LAWS if name != "transfer"])
def test_least_squares_from_the_starts_finds_the_planted_losses(name):
    # The mean, as a constant predictor, misses by 0.05 to 0.6 nats here; found are all losses within a millionth.
    from scipy.optimize import least_squares

    law, tokens = find(name).law(("chat", "math", "code"), "math"), design(budgets=5)
    losses = law.predict(planted(law), tokens)
    lower, upper = (np.array([getattr(p, bound) for p in law.parameters]) for bound in ("lower", "upper"))
    best = np.inf
    for start in law.starts(tokens, losses, 4):
        inside = np.clip(start, lower + 1e-12, upper - 1e-12)
        found = least_squares(
            lambda theta: law.predict(theta, tokens) - losses,
            inside,
            jac=lambda theta: law.jacobian(theta, tokens),
            bounds=(lower, upper),
            x_scale="jac",
            max_nfev=2000,
        )
        best = min(best, float(np.abs(found.fun).max()))
    assert best < 1e-6


@pytest.mark.parametrize("name", [name for name in LAWS if name != "transfer"])
def test_with_the_priors_even_one_budget_determines_every_parameter(name):
    law, tokens = find(name).law(("chat", "math", "code"), "math"), design(budgets=1)
    theta = planted(law)
    scale = np.array([value if p.scale == "log" else 1.0 for value, p in zip(theta, law.parameters, strict=True)])
    prior = np.array([1 / p.prior[1] if p.prior else 0.0 for p in law.parameters])
    rows = np.vstack([law.jacobian(theta, tokens) * scale / 0.01, np.diag(prior)])
    # Parameters without a prior: the smallest singular value is that of the data, in units of a noise of 0.01 nats.
    assert np.linalg.svd(rows, compute_uv=False).min() > 0.1
