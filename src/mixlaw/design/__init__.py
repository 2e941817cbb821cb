"""Which mixtures to train, so that the law can be fitted."""

from mixlaw.design.perturbation import perturbation_design
from mixlaw.design.planning import PlannedRun, design_runs
from mixlaw.design.space_filling import space_filling_design

__all__ = ["PlannedRun", "design_runs", "perturbation_design", "space_filling_design"]
