"""Designs in shares: the simplex lattice and the Dirichlet one."""

import numpy as np
import pytest

from mixlaw.core.errors import DesignError
from mixlaw.design import dirichlet_design, simplex_lattice_design
from mixlaw.design.ranges import within_caps

DOMAINS = ["instruction", "math", "code"]


def matrix(design, domains=DOMAINS):
    return np.array([[tokens[d] for d in domains] for _, tokens in design], float)


def shares(design):
    tokens = matrix(design)
    return tokens / tokens.sum(axis=1, keepdims=True)


def test_the_lattice_of_three_domains_and_degree_two_is_scheffes():
    design = simplex_lattice_design(DOMAINS, [600_000], 7)
    found = {tuple(row) for row in np.round(shares(design), 3)}
    assert found == {
        (0.333, 0.333, 0.333),
        *[(1, 0, 0), (0, 1, 0), (0, 0, 1)],
        *[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    }
    assert design[0][0] == "base"


def test_a_cut_lattice_keeps_the_pure_mixtures_at_every_total():
    design = simplex_lattice_design(DOMAINS, [3e5, 1.2e6], 7)
    tokens = matrix(design)
    pure = tokens[(tokens > 0).sum(axis=1) == 1]
    assert sorted(pure.sum(axis=1)) == [3e5] * 3 + [1.2e6] * 3
    assert tokens[0].tolist() == [2e5] * 3


@pytest.mark.parametrize("K, runs", [(2, 30), (3, 60), (9, 37), (40, 161)])
def test_the_lattice_has_the_runs_asked_for_and_no_two_alike(K, runs):
    domains = [f"d{i:02d}" for i in range(K)]
    tokens = matrix(simplex_lattice_design(domains, [4e6, 1e6], runs), domains)
    assert tokens.shape == (runs, K) and len(np.unique(tokens, axis=0)) == runs
    assert np.all(tokens >= 0) and set(np.round(tokens[1:].sum(axis=1), -3)) <= {1e6, 4e6}


def test_the_full_lattice_is_symmetric_in_the_domains():
    rows = {tuple(row) for row in matrix(simplex_lattice_design(DOMAINS, [6e5], 7))}
    for order in ([1, 2, 0], [1, 0, 2]):
        assert {tuple(row) for row in matrix(simplex_lattice_design(DOMAINS, [6e5], 7))[:, order]} == rows
    assert simplex_lattice_design(DOMAINS, [6e5], 5) == simplex_lattice_design(DOMAINS[::-1], [6e5], 5)


def test_a_least_share_holds_in_every_run():
    for design in (
        simplex_lattice_design(DOMAINS, [3e5, 1.2e6], 13, min_share=0.1),
        dirichlet_design(DOMAINS, (3e5, 1.2e6), 13, min_share=0.1),
    ):
        assert shares(design).min() >= 0.1 - 1e-4


def test_what_a_small_domain_lacks_goes_to_the_others_and_the_total_stays():
    caps = np.array([100.0, np.inf, np.inf])
    rows = within_caps(np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0.2, 0.8]]), np.full(3, 1000.0), caps)
    assert rows.tolist() == [[100, 450, 450], [100, 900, 0], [0, 200, 800]]
    assert within_caps(np.array([[0.5, 0.5]]), np.array([1000.0]), np.array([100.0, 200.0])).tolist() == [[100, 200]]


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_random_totals_meet_random_caps(seed):
    rng = np.random.default_rng(seed)
    caps = np.round(np.exp(rng.uniform(0, 12, 6)))
    weights, totals = rng.dirichlet(np.full(6, 0.3), 30), np.exp(rng.uniform(0, 14, 30))
    tokens = within_caps(weights, totals, caps)
    assert np.all(tokens <= caps) and np.all(tokens >= 0)
    assert np.allclose(tokens.sum(axis=1), np.minimum(totals, caps.sum()))


@pytest.mark.parametrize("make", [simplex_lattice_design, dirichlet_design])
def test_caps_bound_the_shares(make):
    kwargs = {"seed": 1} if make is dirichlet_design else {}
    tokens = matrix(make(DOMAINS, (3e5, 1.2e6), 13, caps=[50_000, 4e5, 1e9], **kwargs))
    assert np.all(tokens <= [50_000, 4e5, 1e9]) and len(np.unique(tokens, axis=0)) == 13


def test_the_dirichlet_design_reaches_from_the_prior_to_single_domains():
    tokens = matrix(dirichlet_design(DOMAINS, (1e6, 1e6), 400, caps=[1e8, 4e8, 16e8]))
    w = tokens / 1e6
    assert np.allclose(w[0], [1 / 21, 4 / 21, 16 / 21], atol=1e-6)
    # The temperature of a half turns the prior 1 : 4 : 16 into 1 : 2 : 4; the mean of 400 shares has an error of 0.02.
    assert np.allclose(w[1:].mean(axis=0), [1 / 7, 2 / 7, 4 / 7], atol=0.07)
    assert (w.max(axis=1) > 0.99).mean() > 0.1 and (w.min(axis=1) > 0.05).mean() > 0.1
    assert np.all((w == 0) | (w > 1.9e-4))


def test_dirichlet_totals_are_log_uniform_in_their_range():
    totals = matrix(dirichlet_design(DOMAINS, (1e5, 1e7), 300)).sum(axis=1)[1:]
    assert totals.min() >= 1e5 - 2 and totals.max() <= 1e7 + 2
    assert abs(np.log(totals / 1e6).mean()) < 0.3  # of a range of 4.6; the error of the mean is 0.08


def test_reordering_the_domains_changes_no_dirichlet_run_and_a_seed_gives_one_design():
    caps = dict(zip(DOMAINS, [1e6, 2e6, 9e6], strict=True))
    one = dirichlet_design(DOMAINS, (1e5, 1e6), 13, 5, list(caps.values()))
    other = dirichlet_design(DOMAINS[::-1], (1e5, 1e6), 13, 5, [caps[d] for d in DOMAINS[::-1]])
    assert one == other and one != dirichlet_design(DOMAINS, (1e5, 1e6), 13, 6, list(caps.values()))


def test_impossible_shares_are_refused():
    with pytest.raises(DesignError, match=r"plan.min_share is 0.4.*Lower it below 0.333"):
        simplex_lattice_design(DOMAINS, [1e6], 7, min_share=0.4)
    with pytest.raises(DesignError, match="must be at least 1 token"):
        simplex_lattice_design(DOMAINS, [0.2], 7)
    with pytest.raises(DesignError, match=r"1 domain at 2 totals has 3 different mixtures.*Lower plan.runs to 3"):
        simplex_lattice_design(["a"], [1e5, 1e6], 5)
    with pytest.raises(DesignError, match="the fewest and the most tokens of a run"):
        dirichlet_design(DOMAINS, (1e6, 1e5), 5)
    with pytest.raises(DesignError, match=r"only 1 different mixtures were drawn"):
        dirichlet_design(["a"], (1e6, 1e6), 5)
    with pytest.raises(DesignError, match=r"The prior share of 'math' is 0"):
        dirichlet_design(DOMAINS, (1e5, 1e6), 5, prior={"instruction": 1, "math": 0, "code": 1})
