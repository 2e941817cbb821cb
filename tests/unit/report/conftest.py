from __future__ import annotations

import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit.result import Fit
from mixlaw.solve.solution import Solution
from mixlaw.solve.solving import solve_mixture
from report_examples import example


@pytest.fixture(scope="session")
def material() -> tuple[RunTable, Fit, Solution]:
    runs, fit = example(["chat", "code", "math"])
    return runs, fit, solve_mixture(fit, 4e6, available={"chat": 12e6, "code": 3e6, "math": 5e6})
