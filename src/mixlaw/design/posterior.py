"""What is known of the laws while candidate runs are added and taken away.

Shape letters: S draws, N candidate runs, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


class Posterior:
    """What is known of one target's law while candidate runs are added and taken away.

    Args:
        factors_SNP: of the N candidates, see `information`.
        known_SPP: (S, P, P) information from the prior and finished runs; see `known`.

    Attributes:
        factors_SNP: of the candidates.
        covariance_SPP: M^-1.
        leverage_SN: u' M^-1 u, the posterior variance of each candidate's loss over the noise variance.
    """

    def __init__(self, factors_SNP: np.ndarray, known_SPP: np.ndarray) -> None:
        self.factors_SNP = factors_SNP
        self._known = known_SPP
        self.restart(())

    def restart(self, chosen: Iterable[int]) -> None:
        """Take exactly these candidates as run, free of the rounding of many updates."""
        u = self.factors_SNP[:, list(chosen)]
        self.information_SPP = self._known + np.swapaxes(u, 1, 2) @ u
        self.covariance_SPP = np.linalg.inv(self.information_SPP)
        self.leverage_SN = ((self.factors_SNP @ self.covariance_SPP) * self.factors_SNP).sum(axis=-1)

    def add(self, n: int, times: int = 1) -> None:
        """Add a candidate as a run, or take it away with `times` = -1."""
        u = self.factors_SNP[:, n]
        v = np.einsum("spq,sq->sp", self.covariance_SPP, u)
        weight = times / (1 + times * self.leverage_SN[:, n])
        self.information_SPP = self.information_SPP + times * u[:, :, None] * u[:, None, :]
        self.covariance_SPP = self.covariance_SPP - weight[:, None, None] * v[:, :, None] * v[:, None, :]
        moved = np.einsum("snp,sp->sn", self.factors_SNP, v)
        self.leverage_SN = np.maximum(self.leverage_SN - weight[:, None] * moved**2, 0.0)

    def gain(self) -> np.ndarray:
        """Return (N,) what one more run at each candidate adds to log det M, averaged over the draws."""
        return np.log1p(self.leverage_SN).mean(axis=0)

    def log_det(self) -> float:
        """Return log det M, averaged over the draws."""
        return float(np.linalg.slogdet(self.information_SPP)[1].mean())

    def leverage_after(self, places: np.ndarray) -> np.ndarray:
        """Return (S, N) the largest leverage among `places` after one more run at each candidate."""
        at = self.factors_SNP[:, places]
        shared = (at @ self.covariance_SPP) @ np.swapaxes(self.factors_SNP, 1, 2)
        left = self.leverage_SN[:, places, None] - shared**2 / (1 + self.leverage_SN[:, None, :])
        return np.maximum(left.max(axis=1), 0.0)


class Posteriors:
    """What is known of all laws, one posterior each; a run adds to all of them.

    Two laws of one target, of which either may hold, count half each.

    Args:
        parts: of each law, all with the same candidates and as many draws.
        targets: of each law.
    """

    def __init__(self, parts: Sequence[Posterior], targets: Sequence[str]) -> None:
        self.parts = parts
        self.shares = [1 / targets.count(target) for target in targets]
        self._laws_of = [[i for i, of in enumerate(targets) if of == target] for target in dict.fromkeys(targets)]

    def restart(self, chosen: Iterable[int]) -> None:
        """Take exactly these candidates as run."""
        chosen = list(chosen)
        for part in self.parts:
            part.restart(chosen)

    def add(self, n: int, times: int = 1) -> None:
        """Add a candidate as a run, or take it away with `times` = -1."""
        for part in self.parts:
            part.add(n, times)

    def gain(self) -> np.ndarray:
        """Return (N,) what one more run at each candidate adds to log det M, summed over the targets."""
        return np.sum([share * part.gain() for share, part in zip(self.shares, self.parts, strict=True)], axis=0)

    def worst(self) -> list[np.ndarray]:
        """Return of each law the candidates whose loss has the largest variance in some draw."""
        return [np.unique(part.leverage_SN.argmax(axis=1)) for part in self.parts]

    def largest_variance(self) -> float:
        """Return the mean over draws of the log of the largest variance of a loss, in units of the noise variance."""
        return float(self._over_targets([part.leverage_SN.max(axis=1) for part in self.parts]).mean())

    def largest_variance_after(self, places: Sequence[np.ndarray]) -> np.ndarray:
        """Return (N,) `largest_variance` after one more run at each candidate, judged at each law's `places` only."""
        after = [part.leverage_after(at) for part, at in zip(self.parts, places, strict=True)]
        return self._over_targets(after).mean(axis=0)

    def _over_targets(self, variances: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log of the largest of the laws' variances, each (S, ...); laws of one target at their mean log."""
        with np.errstate(divide="ignore"):
            logs = [np.log(variance) for variance in variances]
        return np.max([np.sum([self.shares[i] * logs[i] for i in laws], axis=0) for laws in self._laws_of], axis=0)
