"""The runs in which one domain alone moves: found in a perturbation design, and missed in any other."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.errors import FitError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.estimating.own_curve import own_curve_rows

DOMAINS = ("a", "b", "c")
FACTORS = (1 / 3, 1 / 2, 2.0, 3.0)


def table(tokens: np.ndarray) -> RunTable:
    names = tuple(f"r{i}" for i in range(len(tokens)))
    return RunTable(names, DOMAINS, DOMAINS, np.asarray(tokens, float), np.ones((len(tokens), 3)))


def design() -> np.ndarray:
    """The base mixture in the middle, each domain perturbed in turn, largest first."""
    base = np.array([3e5, 6e5, 9e5])
    rows = [base * np.where(np.arange(3) == i, factor, 1) for i in range(3) for factor in FACTORS[::-1]]
    return np.array([*rows[:5], base, *rows[5:]])


@pytest.mark.parametrize("i", range(3))
def test_a_domains_own_runs_are_found_in_the_order_of_its_tokens(i: int) -> None:
    tokens = design()
    rows = own_curve_rows(table(tokens), DOMAINS[i])
    assert len(rows) == 5
    assert tokens[rows, i].tolist() == sorted(tokens[rows, i].tolist())
    assert np.ptp(np.delete(tokens[rows], i, axis=1), axis=0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("off", "rows"), [(1.019, 5), (1.021, 4), (0.981, 5), (0.979, 4)])
def test_a_domain_that_is_off_by_less_than_two_percent_has_not_moved(off: float, rows: int) -> None:
    tokens = design()
    tokens[0, 1] *= off  # of the run in which `a` has most
    assert len(own_curve_rows(table(tokens), "a")) == rows


def test_runs_in_which_all_domains_move_hold_no_such_curve() -> None:
    tokens = np.exp(np.random.default_rng(0).normal(0, 1, (12, 3))) * 1e6
    with pytest.raises(FitError, match="Only 1 runs change 'b'") as error:
        own_curve_rows(table(tokens), "b")
    assert "perturbation" in error.value.hint


@pytest.mark.parametrize(("kept", "found"), [(2, True), (1, False)])
def test_three_runs_are_a_curve_and_two_are_not(kept: int, found: bool) -> None:
    tokens = np.array([*design()[:kept], design()[5], *design()[6:]])
    if found:
        assert len(own_curve_rows(table(tokens), "a")) == 3
    else:
        with pytest.raises(FitError, match="Only 2 runs"):
            own_curve_rows(table(tokens), "a")


def test_domains_without_tokens_in_the_base_mixture_count_as_standing_still() -> None:
    tokens = design()
    tokens[:, 2] = 0.0
    assert len(own_curve_rows(table(tokens[:9]), "a")) == 5
