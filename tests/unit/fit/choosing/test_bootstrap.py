"""The posterior's spread against that of fits to losses drawn anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.fit import fit_law
from mixlaw.fit.choosing.bootstrap import bootstrap_ratios
from planted_fits import planted_fit
from planted_runs import transfer_runs


@pytest.mark.parametrize(("law", "least", "most"), [("transfer", 0.6, 1.6), ("pairwise", 0.3, 1.3)])
def test_draws_and_bootstrap_agree_where_the_runs_are(law, least, most) -> None:
    ratios = bootstrap_ratios(fit_law(transfer_runs(3), law=law), samples=12)
    assert ratios.shape == (3,)
    assert least < np.median(ratios) < most


def test_what_cannot_be_bootstrapped() -> None:
    runs = transfer_runs(3)
    with pytest.raises(ConfigError, match="posterior"):
        bootstrap_ratios(fit_law(runs, law="ridge"))
    with pytest.raises(ConfigError, match="samples"):
        bootstrap_ratios(fit_law(runs, law="transfer"), samples=1)


@pytest.mark.parametrize("procedure", ["own_curve", "published"])
def test_a_fit_of_single_curves_has_no_posterior_to_check(procedure: str) -> None:
    point, runs = [0.5, 0.2, 0.6, 0.2, 0.8], transfer_runs(3)
    draws = dict.fromkeys(runs.targets, np.array([point, point]))
    planted = planted_fit("transfer", runs, dict.fromkeys(runs.targets, point), draws, procedure=procedure)
    with pytest.raises(ConfigError, match="joint fit"):
        bootstrap_ratios(planted)
    with pytest.raises(ConfigError, match="one model size"):
        sized = replace(runs, params_R=np.tile([1e8, 1e9], 8))
        bootstrap_ratios(replace(planted, procedure="joint", runs=sized))
