"""A target that no law follows: a regressor in the law's place, within the range of the runs' tokens only.

    L(w, N) = m(N) R(w, N) + (1 - m(N)) L_law(w, N)       m(N) = 1 within the runs' totals, 0 from a tenth beyond them

R is refitted from the runs wherever it is needed. Its draws are a delete-group jackknife: it is fitted without each of
g folds of mixtures, and member i is R + sqrt(g - 1) (R_i - mean of them), so that the members' variance is the
jackknife's, and their mean is R. A parameter of the curve says which member a draw has; 0 is R itself.

Source: the jackknife by groups: Efron and Stein 1981, Ann. Statist. 9:586-596; Shao and Wu 1989, Ann. Statist.
17:1176-1197. Differs: deviations are taken from the members' mean, not from R.

Shape letters: R runs or mixtures, K domains, P parameters, S draws, M members.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixlaw.core.runtable import RunTable
from mixlaw.fit.curve import Curve
from mixlaw.fit.estimating.regressor import RegressorLaw, of_folds, scatter_of
from mixlaw.laws import LawKind
from mixlaw.laws.base import Law, Parameter
from mixlaw.laws.repetition import Repeated

MEMBER = "member"
"""Name of the parameter that says which of the regressor's members a draw has."""

_EDGE = 0.1
"""Distance beyond the runs' totals, in powers of e, at which the law has taken over: as for shocks
(`mixlaw.fit.posterior.extrapolation`). No data."""

_STEP = 1e-4
"""Step of a central derivative by tokens, over a mixture's total. For precision. No data."""


@dataclass(frozen=True)
class Inside:
    """A regressor within the range of the runs' totals, and a law beyond.

    Attributes:
        law: the law; its parameters come first.
        regressor: fitted to the target's runs, tokens in millions.
    """

    law: Law
    regressor: RegressorLaw

    @property
    def name(self) -> str:
        """The law's."""
        return self.law.name

    @property
    def domains(self) -> tuple[str, ...]:
        """The law's."""
        return self.law.domains

    @property
    def target(self) -> str:
        """The law's."""
        return self.law.target

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The law's, and which member."""
        return (*self.law.parameters, Parameter(MEMBER, "1", 0.0, np.inf, source="runs"))

    @cached_property
    def members(self) -> tuple[RegressorLaw, ...]:
        """The regressor without each fold of mixtures."""
        return tuple(rest for _, rest in of_folds(self.regressor))

    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R) losses, nats (see `Law.predict`)."""
        losses = self.law.predict(theta_P[..., :-1], tokens_RK)
        within_R, _ = self._within(tokens_RK)
        if not within_R.any():
            return losses
        return losses + within_R * (self._of_members(tokens_RK)[_member(theta_P)] - losses)

    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, P) derivatives by each parameter; 0 by the member."""
        within_R, _ = self._within(tokens_RK)
        of_law = self.law.jacobian(theta_P[..., :-1], tokens_RK) * (1 - within_R)[:, None]
        return np.concatenate([of_law, np.zeros((*of_law.shape[:-1], 1))], axis=-1)

    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (..., R, K) derivatives by tokens; the regressor's by central differences."""
        of_law = self.law.gradient(theta_P[..., :-1], tokens_RK)
        within_R, slope_R = self._within(tokens_RK)
        if not within_R.any():
            return of_law
        member = _member(theta_P)
        between = self._of_members(tokens_RK)[member] - self.law.predict(theta_P[..., :-1], tokens_RK)
        slopes = self._slopes(tokens_RK)[member]
        return of_law + within_R[:, None] * (slopes - of_law) + (slope_R * between)[..., None]

    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        """Return the parameters of the law rescaled; the regressor knows tokens in millions only."""
        return np.concatenate([self.law.rescale(theta_P[..., :-1], factor), theta_P[..., -1:]], axis=-1)

    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        """Return the law's starting points, with the regressor itself."""
        found = np.atleast_2d(self.law.starts(tokens_RK, losses_R, count))
        return np.concatenate([found, np.zeros((len(found), 1))], axis=1)

    def _within(self, tokens_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (R,) how much the regressor counts, and the derivatives by the total."""
        known_R, total_R = self.regressor.tokens_RK.sum(axis=1), np.maximum(tokens_RK.sum(axis=1), 1e-300)
        log_R, low, high = np.log(total_R), np.log(known_R.min()), np.log(known_R.max())
        u_R = np.clip(np.maximum(log_R - high, low - log_R) / _EDGE, 0.0, 1.0)
        slope_R = np.where(log_R > high, -1.0, 1.0) * 6 * u_R * (1 - u_R) / _EDGE / total_R
        return 1 - u_R**2 * (3 - 2 * u_R), slope_R

    def _of_members(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (1 + M, R) losses: the regressor's, then its members'."""
        middle_R, count = self.regressor.predictor.predict(tokens_RK), len(self.members)
        if not count:
            return middle_R[None]
        each_MR = np.array([one.predictor.predict(tokens_RK) for one in self.members])
        away_MR = np.sqrt(count - 1) * (each_MR - each_MR.mean(axis=0))
        return np.vstack([middle_R, middle_R + away_MR])

    def _slopes(self, tokens_RK: np.ndarray) -> np.ndarray:
        """Return (1 + M, R, K) derivatives of `_of_members` by tokens; one-sided where there are none."""
        R, K = tokens_RK.shape
        step_RK = np.repeat(_STEP * tokens_RK.sum(axis=1)[:, None], K, axis=1)
        less_RK = np.minimum(step_RK, tokens_RK)
        eye_KK = np.eye(K)
        more, less = tokens_RK[:, None] + step_RK[..., None] * eye_KK, tokens_RK[:, None] - less_RK[..., None] * eye_KK
        found = self._of_members(np.concatenate([more, less]).reshape(-1, K)).reshape(-1, 2, R, K)
        return (found[:, 0] - found[:, 1]) / np.maximum(step_RK + less_RK, 1e-300)


def _member(theta_P: np.ndarray) -> np.ndarray:
    return np.rint(theta_P[..., -1]).astype(int)


def inside(curve: Curve, kind: LawKind, runs: RunTable) -> Curve:
    """Return a target's curve with a regressor in its law's place within the range of the runs.

    Args:
        curve: of the law; runs of one model size.
        kind: the regressor.
        runs: all that were fitted, with repeated tokens counted; those without tokens are left out.
    """
    law = inside_law(curve.law, kind, runs)
    member_S = np.zeros(len(curve.draws_SP))
    if law.members:
        member_S = 1.0 + np.arange(len(member_S)) % len(law.members)
    return replace(
        curve,
        law=law,
        theta_P=np.append(curve.theta_P, 0.0),
        draws_SP=np.column_stack([curve.draws_SP, member_S]),
        scatter=scatter_of(law.regressor),
    )


def inside_law(law: Law, kind: LawKind, runs: RunTable) -> Inside:
    """Return a law with a regressor in its place within the range of the runs, as `inside`."""
    return Inside(law, RegressorLaw.of(kind, runs.take(runs.totals_R > 0), law.target))


def regressor_of(law: Law) -> str:
    """Return the name of the regressor that takes the law's place within the range of the runs, or empty."""
    law = law.law if isinstance(law, Repeated) else law
    return law.regressor.name if isinstance(law, Inside) else ""


def equation(law: Law, theta_SP: np.ndarray) -> tuple[Law, np.ndarray]:
    """Return the law alone with its (S, P) parameters, as it is beyond the runs."""
    return (law.law, theta_SP[..., :-1]) if isinstance(law, Inside) else (law, theta_SP)


def equation_of(curve: Curve) -> Curve:
    """Return the curve of the law alone, as `equation`."""
    law, draws_SP = equation(curve.law, curve.draws_SP)
    return replace(curve, law=law, theta_P=equation(curve.law, curve.theta_P)[1], draws_SP=draws_SP)
