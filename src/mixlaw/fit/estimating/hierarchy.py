"""What the targets know of each other: a normal prior on the logarithms of all transfer coefficients at once.

    log t_ji = m + r_j + g_i + s_{ij} + e_ji        s_{ij} = s_{ji}, where i and j are both domains and targets

r_j is how receptive target j is, g_i how general source i, s how alike the two are: what helps code from math helps
math from code. On the 512 published runs over 17 domains of the Pile the residuals of t_ji and t_ij correlate at .7.
With few runs most single coefficients are not determined by their own target's losses; the others' are then the best
guess.

Each target contributes what its own runs say of its coefficients as a normal site (Lambda_j, eta_j). A target's prior
is the posterior given the other targets' sites; the standard deviations of the effects maximise the sites' marginal
likelihood under weak log-normal priors. It is the first round of expectation propagation over targets.

Shape letters: J targets, M other domains of a target, n = all coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixlaw.laws.pairwise import WORTH, WORTH_SD

_USUAL = np.log(np.array([WORTH_SD[name] for name in ("common", "receptive", "general", "alike", "single")]))
_SURE = 0.6
"""Standard deviation of the logarithm of an effect's standard deviation around its prior value: weak, a factor of 1.8.
Chosen on: RegMix's held-out mixtures, before the split, where others gained nothing."""


@dataclass(frozen=True)
class Coefficients:
    """Which coefficients there are.

    Attributes:
        target_n: index of the target of each.
        source_n: index of the source domain of each.
        own_J: index of each target's own domain; -1 where it has none.
    """

    target_n: np.ndarray
    source_n: np.ndarray
    own_J: np.ndarray

    @staticmethod
    def of(own_J: list[int | None], domains: int) -> Coefficients:
        """Return the coefficients of all targets, target by target, sources in the order of the domains."""
        pairs = [(j, i) for j, own in enumerate(own_J) for i in range(domains) if i != own]
        target, source = np.array(pairs, int).reshape(-1, 2).T
        return Coefficients(target, source, np.array([-1 if own is None else own for own in own_J]))

    def parts(self) -> np.ndarray:
        """Return (5, n, n) covariance matrices of the effects at standard deviation 1."""
        n = len(self.target_n)
        own = self.own_J[self.target_n]
        same_target = self.target_n[:, None] == self.target_n[None, :]
        same_source = self.source_n[:, None] == self.source_n[None, :]
        mirrored = (own[:, None] == self.source_n[None, :]) & (self.source_n[:, None] == own[None, :]) & (own >= 0)
        same_pair = (same_target & same_source) | mirrored
        return np.stack([np.ones((n, n)), same_target, same_source, same_pair, np.eye(n)]).astype(float)


@dataclass
class Hierarchy:
    """The prior and the sites; see the module.

    Attributes:
        coefficients: which there are.
        log_sd: (5,) logarithms of the effects' standard deviations.
        precision_nn: block-diagonal, the sites' Lambda.
        shift_n: the sites' eta.
    """

    coefficients: Coefficients
    log_sd: np.ndarray
    precision_nn: np.ndarray
    shift_n: np.ndarray

    @staticmethod
    def of(own_J: list[int | None], domains: int) -> Hierarchy:
        """Return the hierarchy before any run."""
        coefficients = Coefficients.of(own_J, domains)
        n = len(coefficients.target_n)
        return Hierarchy(coefficients, _USUAL.copy(), np.zeros((n, n)), np.zeros(n))

    def prior(self, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (M,) mean and (M, M) covariance of one target's coefficients given the other targets' sites."""
        own = self.coefficients.target_n == target
        covariance = self._covariance(self.log_sd)
        precision, shift = self.precision_nn.copy(), self.shift_n.copy()
        precision[own], precision[:, own], shift[own] = 0.0, 0.0, 0.0
        gain = np.linalg.solve(np.eye(len(shift)) + covariance @ precision, covariance)
        mean = WORTH + gain @ (shift - WORTH * precision.sum(1))
        here = gain[np.ix_(own, own)]
        return mean[own], 0.5 * (here + here.T)

    def tell(
        self, target: int, mean_M: np.ndarray, covariance_MM: np.ndarray, prior: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """Store what one target's runs say: its posterior divided by the prior that it was given."""
        own = self.coefficients.target_n == target
        given = np.linalg.inv(prior[1])
        posterior = np.linalg.inv(covariance_MM)
        values, vectors = np.linalg.eigh(posterior - given)
        # Rounding must not make a site that takes information away.
        kept = (vectors * np.maximum(values, 0)) @ vectors.T
        self.precision_nn[np.ix_(own, own)] = kept
        self.shift_n[own] = kept @ mean_M + given @ (mean_M - prior[0])

    def learn(self) -> None:
        """Set the effects' standard deviations to their most probable values given the sites."""
        from scipy.optimize import minimize

        parts = self.coefficients.parts()
        rest = self.shift_n - WORTH * self.precision_nn.sum(1)
        n = len(rest)

        def cost(log_sd: np.ndarray) -> tuple[float, np.ndarray]:
            weights = np.exp(2 * log_sd)
            covariance = np.tensordot(weights, parts, 1)
            # marginal of eta ~ N(Lambda mean, Lambda + Lambda S Lambda), up to a constant
            inverse = np.linalg.inv(np.eye(n) + covariance @ self.precision_nn)
            _, determinant = np.linalg.slogdet(inverse)
            solved = inverse.T @ rest
            value = -0.5 * determinant - 0.5 * solved @ covariance @ rest
            held = self.precision_nn @ inverse
            slope = np.array(
                [w * (np.sum(held * part.T) - solved @ part @ solved) for w, part in zip(weights, parts, strict=True)]
            )
            far = (log_sd - _USUAL) / _SURE
            return float(value + 0.5 * far @ far), slope + far / _SURE

        bounds = [(centre - 3, centre + 2) for centre in _USUAL]
        self.log_sd = minimize(cost, self.log_sd, jac=True, bounds=bounds, options={"maxiter": 40}).x

    def _covariance(self, log_sd: np.ndarray) -> np.ndarray:
        return np.tensordot(np.exp(2 * log_sd), self.coefficients.parts(), 1)
