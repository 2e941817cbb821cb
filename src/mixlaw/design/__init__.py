"""Which mixtures to train, so that the law can be fitted."""

from mixlaw.design.dirichlet import dirichlet_design
from mixlaw.design.extend import Extension, extend_design
from mixlaw.design.grid import grid_design
from mixlaw.design.knowledge import Knowledge
from mixlaw.design.optimal import optimal_design
from mixlaw.design.perturbation import perturbation_design
from mixlaw.design.planning import DESIGNS, PlannedRun, Task, Wishes, design_runs, register
from mixlaw.design.simplex_lattice import simplex_lattice_design
from mixlaw.design.space_filling import space_filling_design

__all__ = [
    "DESIGNS",
    "Extension",
    "Knowledge",
    "PlannedRun",
    "Task",
    "Wishes",
    "design_runs",
    "dirichlet_design",
    "extend_design",
    "grid_design",
    "optimal_design",
    "perturbation_design",
    "register",
    "simplex_lattice_design",
    "space_filling_design",
]
