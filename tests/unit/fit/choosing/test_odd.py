"""Wrong losses and domains that no run varies are named; right tables are left in peace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import TooFewRuns
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.held_out import compare_laws
from mixlaw.fit.choosing.odd import odd_runs
from mixlaw.fit.magnitude import least, magnitudes
from planted_runs import transfer_runs
from quick_fits import few_draws


def fitted(runs: RunTable, law: str = "auto") -> Fit:
    with few_draws():
        return fit_law(runs, law=law)


def spoilt(runs: RunTable, row: int, factor: float) -> RunTable:
    losses = runs.losses_RJ.copy()
    losses[row, 0] *= factor
    return replace(runs, losses_RJ=losses)


@pytest.mark.parametrize("count", [9, 16])
@pytest.mark.parametrize("factor", [0.0, 0.7, 1.3])
def test_one_wrong_loss_is_named_with_what_was_expected(count: int, factor: float) -> None:
    fit = fitted(spoilt(transfer_runs(1, count=count), 4, factor), "pairwise")
    (said,) = [text for text in fit.warnings if "far from what the other runs" in text]
    assert said.startswith("a: r4 has ")


@pytest.mark.parametrize("seed", range(3))
def test_right_runs_are_not(seed: int) -> None:
    assert not [
        text for text in fitted(transfer_runs(seed), "pairwise").warnings if "far from what the other runs" in text
    ]


def test_a_tail_of_errors_is_the_laws_fault_and_no_runs() -> None:
    losses = np.full(40, 2.0)
    errors = np.r_[np.full(30, 0.01), 0.1 * 1.3 ** np.arange(10)]
    assert odd_runs(losses + errors, losses).size == 0
    errors[-1] = 3.0
    assert odd_runs(losses + errors, losses).tolist() == [39]


def test_a_loss_of_nothing_neither_decides_on_the_law_nor_on_the_floor() -> None:
    right = transfer_runs(1)
    asked = right.tokens_RK[:5]
    moved = (
        fitted(spoilt(right, 4, 0.0), "pairwise").predict(asked).mean - fitted(right, "pairwise").predict(asked).mean
    )
    assert np.abs(moved[:4]).max() < 0.05
    assert least(np.array([0.0, 1e-9, 0.5, 2.0])) == 0.5 and least(np.zeros(3)) == 0.0
    sizes = magnitudes(np.array([[0.0, 2.0], [2.0, 2.0], [0.1, 2.0], [3.0, np.nan], [2.0, 2.0]]))
    assert sizes[:, 0].tolist() == [2.0, 2.0, 0.2, 3.0, 2.0] and np.isnan(sizes[3, 1])


@pytest.mark.parametrize(("tokens", "amount"), [(0.0, "no tokens in any run"), (5e4, "50k tokens in every run")])
def test_a_domain_that_no_run_varies_is_named(tokens: float, amount: str) -> None:
    runs = transfer_runs(0)
    runs = replace(runs, targets=("a", "b"), losses_RJ=runs.losses_RJ[:, :2], tokens_RK=runs.tokens_RK * [1, 1, 0])
    runs.tokens_RK[:, 2] = tokens
    assert any(
        f"'c' has {amount}, so the runs cannot tell what it is worth" in text
        for text in fitted(runs, "pairwise").warnings
    )


def of_the_base_model_alone() -> RunTable:
    runs = transfer_runs(0)
    losses = np.column_stack([np.vstack([runs.losses_RJ, [3.0, 3.0, 3.0]]), np.full(17, np.nan)])
    losses[16, 3] = 2.5
    tokens = np.vstack([runs.tokens_RK, np.zeros(3)])
    return RunTable((*runs.runs, "base"), runs.domains, (*runs.domains, "general"), tokens, losses)


@pytest.mark.parametrize("law", ["auto", "pairwise", "ridge", "gp"])
def test_a_target_of_the_base_model_alone_is_refused(law: str) -> None:
    with pytest.raises(TooFewRuns, match="'general' was measured at ") as caught:
        fitted(of_the_base_model_alone(), law)
    assert "delete its column" in caught.value.hint


def test_and_no_comparison_of_laws_breaks_on_it() -> None:
    rows = {row.name: row for row in compare_laws(of_the_base_model_alone(), ["ridge", "gp"])}
    assert all("'general' was measured at " in rows[name].note for name in ("ridge", "gp"))
