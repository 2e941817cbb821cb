"""Factorial designs and their nearly orthogonal fractions."""

import numpy as np
import pytest

from mixlaw.core.errors import DesignError
from mixlaw.core.seeds import generator
from mixlaw.design import grid_design
from mixlaw.design.grid import nearly_orthogonal

DOMAINS = ["instruction", "math", "code"]


def matrix(design, domains=DOMAINS):
    return np.array([[tokens[d] for d in domains] for _, tokens in design], float)


def test_as_many_runs_as_cells_give_the_full_factorial_with_the_base_mixture_first():
    design = grid_design(DOMAINS, 90_000, 27)
    cells = {tuple(row) for row in matrix(design)}
    assert design[0] == ("base", dict.fromkeys(DOMAINS, 90_000))
    assert cells == {(a, b, c) for a in (3e4, 9e4, 27e4) for b in (3e4, 9e4, 27e4) for c in (3e4, 9e4, 27e4)}


def test_an_even_number_of_levels_has_the_base_mixture_as_a_centre_point():
    tokens = matrix(grid_design(DOMAINS, 10_000, 9, levels=[0.5, 2]))
    assert tokens[0].tolist() == [10_000] * 3
    assert {tuple(row) for row in tokens[1:]} == {(a, b, c) for a in (5e3, 2e4) for b in (5e3, 2e4) for c in (5e3, 2e4)}


@pytest.mark.parametrize("K, runs", [(1, 5), (2, 9), (3, 13), (8, 33), (12, 20)])
def test_a_fraction_has_different_runs_and_balanced_levels(K, runs):
    domains = [f"d{i}" for i in range(K)]
    tokens = matrix(grid_design(domains, 90_000, runs), domains)
    assert len(np.unique(tokens, axis=0)) == runs
    for column in tokens[1:].T:
        # Without the base mixture each level occurs equally often, or the middle one once less in a full factorial.
        assert np.ptp(np.unique(column, return_counts=True)[1]) <= 1


@pytest.mark.parametrize("runs, columns, levels", [(9, 4, 3), (8, 4, 2), (12, 6, 2)])
def test_the_search_finds_orthogonal_arrays_where_they_exist(runs, columns, levels):
    # Any two columns of an orthogonal array hold each pair of levels equally often.
    uneven = []
    for seed in range(8):
        array, _ = nearly_orthogonal(runs, columns, levels, generator("test", seed))
        pairs = [array[:, i] * levels + array[:, j] for i in range(columns) for j in range(i)]
        uneven.append(max(np.ptp(np.bincount(pair, minlength=levels**2)) for pair in pairs))
    assert min(uneven) == 0


def test_domains_of_a_fraction_are_nearly_uncorrelated():
    domains = [f"d{i:02d}" for i in range(10)]
    logs = np.log(matrix(grid_design(domains, 90_000, 41), domains))[1:]
    correlation = np.abs(np.corrcoef(logs.T) - np.eye(10))
    # Independent columns of 40 runs have a mean correlation of 0.13 and a largest of about 0.4.
    assert correlation.max() < 0.2 and correlation.mean() < 0.07


def test_a_small_domain_gets_a_grid_as_wide_further_down():
    tokens = matrix(grid_design(DOMAINS, 90_000, 13, caps=[1e9, 45_000, 1e9]))
    assert sorted(set(tokens[:, 1])) == [5_000, 15_000, 45_000]


def test_reordering_the_domains_changes_no_run_and_a_seed_gives_one_design():
    one, other = grid_design(DOMAINS, 90_000, 13, seed=3), grid_design(DOMAINS[::-1], 90_000, 13, seed=3)
    assert one == other == grid_design(DOMAINS, 90_000, 13, seed=3)
    assert list(one[0][1]) == DOMAINS
    assert one != grid_design(DOMAINS, 90_000, 13, seed=4)


def test_impossible_grids_are_refused():
    with pytest.raises(DesignError, match=r"plan.runs is 10; a grid of 3 levels in 2 domains has 9 mixtures.*to 9"):
        grid_design(["a", "b"], 1000, 10, levels=[0.5, 1, 2])
    with pytest.raises(DesignError, match="at least two different levels"):
        grid_design(DOMAINS, 1000, 5, levels=[2.0, 2.0])
    with pytest.raises(DesignError, match="at least two different levels, all above 0"):
        grid_design(DOMAINS, 1000, 5, levels=[0.0, 2.0])
    with pytest.raises(DesignError, match=r"mixtures differ, because they have too few tokens"):
        grid_design(DOMAINS, 2, 27, caps=[1, 1, 1])
