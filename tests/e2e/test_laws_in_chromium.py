"""The laws of the page's script against the laws of the package: mean and band at 150 random mixtures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from chromium import NEEDED, browser
from mixlaw.fit.posterior.extrapolation import Beyond
from mixlaw.report.explorer import evaluated, explorer_data, explorer_fit
from mixlaw.report.page import TEMPLATES
from quick_fits import few_draws, few_folds
from report_fits import AVAILABLE, planted, solution_of

__all__ = ["browser"]
pytestmark = NEEDED

MIXTURES = 150
CASES = {
    **{law: {} for law in sorted(evaluated())},
    "pairwise with interference": {"interference": True},
    "pairwise with interference and repetition": {"interference": True, "decay": 4.0},
    "pairwise of targets that are no domains": {"targets": ("helpfulness", "math")},
    "transfer with repetition": {"decay": 2.5},
}


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.evaluate((TEMPLATES / "law.js").read_text(encoding="utf-8").replace("const mixlaw", "globalThis.mixlaw"))
    yield page
    page.close()


def difference(page, fit) -> float:
    """Return the largest relative difference of mean, low and high at the mixtures."""
    solution = solution_of(fit, {"chat": 0.5, "code": 0.3, "math": 0.2}, 20_000_000)
    data = explorer_data(fit, fit.runs, solution, [], {"available_tokens": AVAILABLE})
    generator = np.random.default_rng(3)
    weights = generator.dirichlet([0.5, 0.5, 0.5], MIXTURES)
    weights[:20] = np.eye(3)[np.arange(20) % 3]  # all of one domain, none of the others
    tokens = weights * np.exp(generator.uniform(np.log(1e5), np.log(1e10), (MIXTURES, 1)))
    code = "([data, tokens]) => { const m = mixlaw.model(JSON.parse(data)); return tokens.map((t) => m.predict(t)); }"
    answers = page.evaluate(code, [json.dumps(data), tokens.tolist()])
    found = np.array([[[a["mean"], a["low"], a["high"]] for a in row] for row in answers])
    available = AVAILABLE if np.isfinite(fit.decay) else None
    expected = explorer_fit(fit, solution).predict(tokens, available)
    expected = np.stack([expected.mean, expected.mean_low, expected.mean_high], axis=-1)
    assert found.shape == (MIXTURES, len(fit.targets), 3)
    assert np.ptp(expected[..., 0]) > 0.1 or fit.law == "mean"
    return float(np.max(np.abs(found / expected - 1)))


@pytest.mark.parametrize("case", CASES)
def test_the_script_says_what_the_law_says(page, case):
    """Errors a constant would make: tens of per cent. The largest seen is 4e-16."""
    assert difference(page, planted(case.split()[0], **CASES[case])) < 1e-9


def test_the_draws_of_both_laws_answer_where_decisions_hedge(page):
    fit = planted("transfer")
    other, targets = planted("pairwise", interference=True), {}
    for name, fitted in fit.targets.items():
        curves = (fitted.curve, other.targets[name].curve)
        targets[name] = replace(fitted, belief=replace(fitted.belief, curves=curves))
    assert difference(page, replace(fit, targets=targets)) < 1e-9


def test_a_drift_of_whole_losses_is_in_the_page_too(page):
    fit = planted("pairwise")
    drifts = zip(fit.targets.items(), (0.02, 0.05, 0.1), strict=True)
    targets = {n: replace(t, belief=replace(t.belief, beyond=Beyond(whole=whole))) for (n, t), whole in drifts}
    assert difference(page, replace(fit, targets=targets)) < 1e-9


def test_fits_of_real_runs_agree_too(page, fitted_for_real):
    assert difference(page, fitted_for_real) < 1e-9


@pytest.fixture(scope="module", params=["transfer", "pairwise"])
def fitted_for_real(request):
    from mixlaw.fit import fit_law

    with few_draws(), few_folds(2):
        return fit_law(planted("transfer").runs, law=request.param)
