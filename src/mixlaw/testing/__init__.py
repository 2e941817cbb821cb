"""Conformance suites that users run on their own laws, regressors, trainers, samplers, solvers and chat templates.

from mixlaw.testing import LAW_CHECKS, check_law

check_law(MyLaw)                                                    # every check, the first failure raises

@pytest.mark.parametrize("check", LAW_CHECKS, ids=lambda check: check.__name__)
def test_my_law(check):
    check(MyLaw)                                                    # or one test per check
"""

from mixlaw.testing.laws import LAW_CHECKS, check_law
from mixlaw.testing.regressors import REGRESSOR_CHECKS, check_regressor
from mixlaw.testing.samplers import SAMPLER_CHECKS, check_sampler
from mixlaw.testing.solvers import SOLVER_CHECKS, check_solver
from mixlaw.testing.templates import TEMPLATE_CHECKS, check_template, template_cases
from mixlaw.testing.trainers import TRAINER_CHECKS, check_trainer

__all__ = [
    "LAW_CHECKS",
    "REGRESSOR_CHECKS",
    "SAMPLER_CHECKS",
    "SOLVER_CHECKS",
    "TEMPLATE_CHECKS",
    "TRAINER_CHECKS",
    "check_law",
    "check_regressor",
    "check_sampler",
    "check_solver",
    "check_template",
    "check_trainer",
    "template_cases",
]
