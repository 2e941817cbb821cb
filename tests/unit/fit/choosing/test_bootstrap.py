"""The posterior's spread against that of fits to losses drawn anew."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.fit import fit_law
from mixlaw.fit.choosing.bootstrap import bootstrap_ratios
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
