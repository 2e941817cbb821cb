"""A fit and a budget in, the best weights out, with a certificate."""

from mixlaw.solve.constraints import Constraints
from mixlaw.solve.solution import Certificate, Solution
from mixlaw.solve.solving import solve_mixture
from mixlaw.solve.wishes import SolveWishes

__all__ = ["Certificate", "Constraints", "Solution", "SolveWishes", "solve_mixture"]
