"""Runs in, a fitted law out: parameters with uncertainty, a status for every target, predictions.

estimating/   from runs to the parameters of one law, for each kind of law
posterior/    how sure: draws of the parameters, whether they suffice, and what lies beyond the runs
choosing/     which law: errors on held-out mixtures
curve.py      the values that carry a fit from the sampler to the solver
result.py     `Fit`; stored.py its file
"""

from mixlaw.fit.curve import Belief, Curve
from mixlaw.fit.fitting import fit_law
from mixlaw.fit.prediction import Prediction
from mixlaw.fit.result import Fit
from mixlaw.fit.target_fit import TargetFit

__all__ = ["Belief", "Curve", "Fit", "Prediction", "TargetFit", "fit_law"]
