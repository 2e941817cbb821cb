"""The two designs, and the plan that chooses within what the data hold."""

import numpy as np
import pytest

from mixlaw.core.errors import DesignError
from mixlaw.design import design_runs, perturbation_design, space_filling_design

DOMAINS = ["instruction", "math", "code"]


def matrix(design):
    return np.array([[tokens[d] for d in DOMAINS] for _, tokens in design], float)


def test_the_perturbation_design_is_algorithm_1():
    runs = dict(perturbation_design(DOMAINS, 660_000))
    assert len(runs) == 1 + 4 * 3
    assert runs["base"] == dict.fromkeys(DOMAINS, 660_000)
    assert [runs[f"math-{r}"]["math"] for r in ("third", "half", "x2", "x3")] == [
        220_000,
        330_000,
        1_320_000,
        1_980_000,
    ]
    assert all(runs[f"math-{r}"][d] == 660_000 for r in ("third", "x3") for d in ("instruction", "code"))


def test_in_the_perturbation_design_the_others_never_move_with_a_domain():
    for name, tokens in perturbation_design(DOMAINS, 1000)[1:]:
        assert sum(n != 1000 for n in tokens.values()) == 1, name


@pytest.mark.parametrize("K", [1, 2, 3, 8, 40])
def test_the_space_filling_design_stays_in_its_range_and_fills_it(K):
    domains = [f"d{i}" for i in range(K)]
    design = space_filling_design(domains, 90_000, 1 + 4 * K)
    assert len(design) == 1 + 4 * K and len({name for name, _ in design}) == len(design)
    tokens = np.array([[run[d] for d in domains] for _, run in design[1:]])
    assert tokens.min() >= 30_000 and tokens.max() <= 270_000
    # Every domain spans its whole range: the exponent is only as well determined as the range is wide.
    assert np.all(np.ptp(np.log(tokens), axis=0) > 0.99 * np.log(9))


def test_the_totals_move_in_the_space_filling_design():
    totals = matrix(space_filling_design(DOMAINS, 90_000, 13)).sum(axis=1)
    assert totals.max() / totals.min() > 2
    assert len(set(totals)) == 13


def test_a_domains_tokens_are_independent_of_the_others_in_the_space_filling_design():
    logs = np.log(matrix(space_filling_design(DOMAINS, 90_000, 13))[1:])
    correlation = np.corrcoef(logs.T) - np.eye(3)
    assert np.abs(correlation).max() < 0.5


def test_the_same_seed_gives_the_same_design_and_another_gives_another():
    one, again, other = (space_filling_design(DOMAINS, 90_000, 13, seed) for seed in (0, 0, 1))
    assert one == again and one != other


def test_caps_bound_the_space_filling_design_and_keep_its_width():
    tokens = matrix(space_filling_design(DOMAINS, 90_000, 13, caps=[50_000, 1e9, 1e9]))
    assert tokens[:, 0].max() <= 50_000
    assert tokens[1:, 0].max() / tokens[1:, 0].min() > 8.9


def test_auto_is_the_space_filling_design():
    available = dict.fromkeys(DOMAINS, 10_000_000)
    auto, _ = design_runs("auto", available, 20_000_000, base_tokens=100_000)
    chosen, _ = design_runs("space_filling", available, 20_000_000, base_tokens=100_000)
    assert auto == chosen and len(auto) == 13


@pytest.mark.parametrize("design", ["auto", "perturbation"])
def test_the_default_base_fits_the_data_and_the_budget(design):
    available = {"instruction": 900_000, "math": 10_000_000, "code": 10_000_000}
    runs, notes = design_runs(design, available, 300_000_000)
    assert max(run.tokens["instruction"] for run in runs) <= 900_000
    assert "base_tokens" in notes[0]
    runs, _ = design_runs(design, dict.fromkeys(DOMAINS, 10**9), 30_000_000)
    assert runs[0].tokens["math"] == 1_000_000  # a tenth of a domain's equal share


def test_the_published_design_refuses_a_domain_that_is_too_small_and_names_it():
    available = {"instruction": 10**6, "math": 100_000, "code": 10**6}
    with pytest.raises(DesignError, match=r"'math' has 100k training tokens.*Lower plan.base_tokens to 33.3k"):
        design_runs("perturbation", available, 10**7, base_tokens=100_000)


def test_the_space_filling_design_caps_a_small_domain_and_says_so():
    available = {"instruction": 10**6, "math": 100_000, "code": 10**6}
    runs, notes = design_runs("auto", available, 10**7, base_tokens=100_000)
    assert max(run.tokens["math"] for run in runs) <= 100_000
    assert any("'math' has 100k tokens" in note for note in notes)


def test_the_published_design_has_one_number_of_runs():
    with pytest.raises(DesignError, match="has 13 runs"):
        design_runs("perturbation", dict.fromkeys(DOMAINS, 10**7), 10**7, runs=20)
