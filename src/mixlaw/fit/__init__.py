"""Runs in, a fitted law out: parameters with uncertainty, a status for every target, predictions."""

from mixlaw.fit.fitting import fit_law
from mixlaw.fit.result import Fit, Prediction, TargetFit

__all__ = ["Fit", "Prediction", "TargetFit", "fit_law"]
