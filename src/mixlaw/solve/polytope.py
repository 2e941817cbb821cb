"""The weights that meet all linear constraints: bounds, groups, and a sum of 1.

    P = { w : sum_i w_i = 1,  lower <= w <= upper,  rows w <= limits,  equal w = values }

The nearest point of P is the least-distance problem  min |x|  s.t.  G x >= h  of Lawson and Hanson, which is one
nonnegative least squares problem: u >= 0 minimises |(G, h)' u - (0, .., 0, 1)|, and x = -r_1..n / r_n+1 with r the
residual. Without groups both the nearest point and the cheapest one have simpler ways.

Source: Lawson, Hanson 1974, Solving Least Squares Problems, ch. 23, section 4.

Shape letters: K domains, M inequalities, E equalities, B mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_POLISHES, _CLOSE = 8, 1e-13
"""Largest number of projections of a point, which end when it misses no constraint by more than the second number.
No data."""


def _none() -> np.ndarray:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Polytope:
    """A polytope of weights; not empty (see `mixlaw.solve.feasibility`).

    Attributes:
        lower_K: smallest weights.
        upper_K: largest weights.
        rows_MK: coefficients of the inequalities.
        limits_M: their right sides.
        equal_EK: coefficients of the equalities, beyond the sum of 1.
        values_E: their right sides.
    """

    lower_K: np.ndarray
    upper_K: np.ndarray
    rows_MK: np.ndarray = field(default_factory=_none)
    limits_M: np.ndarray = field(default_factory=lambda: np.zeros(0))
    equal_EK: np.ndarray = field(default_factory=_none)
    values_E: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def box(self) -> bool:
        """Whether there are bounds only."""
        return not len(self.limits_M) and not len(self.values_E)

    @property
    def equalities(self) -> tuple[np.ndarray, np.ndarray]:
        """The equalities with the sum of 1 as the first: (1 + E, K) and (1 + E,)."""
        ones = np.ones((1, len(self.lower_K)))
        matrix = np.vstack([ones, self.equal_EK]) if len(self.values_E) else ones
        return matrix, np.concatenate([[1.0], self.values_E])

    @property
    def inequalities(self) -> tuple[np.ndarray, np.ndarray]:
        """The inequalities of groups: (M, K) and (M,), also where M is 0."""
        return self.rows_MK.reshape(len(self.limits_M), len(self.lower_K)), self.limits_M

    def violation(self, weights_K: np.ndarray) -> float:
        """Return by how much the weights miss the worst constraint, 0 where they meet all."""
        matrix, values = self.equalities
        rows, limits = self.inequalities
        misses = (
            self.lower_K - weights_K,
            weights_K - self.upper_K,
            rows @ weights_K - limits,
            np.abs(matrix @ weights_K - values),
        )
        return max(0.0, *(float(part.max(initial=0)) for part in misses))

    def project(self, weights_K: np.ndarray) -> np.ndarray:
        """Return the nearest weights that meet every constraint (Euclidean)."""
        if self.box:
            return self._project_on_box(weights_K)
        return self.correct(weights_K, *self.inequalities)

    def correct(self, weights_K: np.ndarray, rows_MK: np.ndarray, limits_M: np.ndarray) -> np.ndarray:
        """Return the nearest weights within the bounds and equalities with `rows w <= limits`."""
        K = len(weights_K)
        matrix, values = self.equalities
        # Weights that are fixed leave the problem: two bounds that meet are the hardest case of the method.
        free = self.upper_K > self.lower_K
        result = np.where(free, weights_K, self.lower_K)
        if not free.any():
            return result
        eye = np.eye(K)[:, free]
        G = np.vstack([eye[free], -eye[free], -rows_MK[:, free], matrix[:, free], -matrix[:, free]])
        for _ in range(_POLISHES):
            h = np.concatenate(
                [
                    (self.lower_K - result)[free],
                    (result - self.upper_K)[free],
                    rows_MK @ result - limits_M,
                    values - matrix @ result,
                    matrix @ result - values,
                ]
            )
            if h.max() <= _CLOSE:
                break
            result[free] += _least_distance(G, h)
            result = np.clip(result, self.lower_K, self.upper_K)
        return np.clip(result, self.lower_K, self.upper_K)

    def cheapest(self, slope_K: np.ndarray) -> np.ndarray:
        """Return weights that minimise slope . v over the polytope."""
        if not self.box:
            return self._cheapest_by_program(slope_K)
        weights, left = self.lower_K.copy(), 1 - self.lower_K.sum()
        for i in np.argsort(slope_K):
            taken = min(self.upper_K[i] - self.lower_K[i], left)
            weights[i] += taken
            left -= taken
        return weights

    def _cheapest_by_program(self, slope_K: np.ndarray) -> np.ndarray:
        from scipy.optimize import linprog

        matrix, values = self.equalities
        rows, limits = self.inequalities
        scale = max(float(np.abs(slope_K).max()), 1e-300)
        found = linprog(
            slope_K / scale, rows, limits, matrix, values, list(zip(self.lower_K, self.upper_K, strict=True)),
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )  # fmt: skip
        return self.lower_K if found.x is None else found.x

    def _project_on_box(self, weights_K: np.ndarray) -> np.ndarray:
        """Return the nearest weights: all are moved by one shift, and clipped; their sum is piecewise linear in it."""
        lower, upper = self.lower_K, self.upper_K
        bends = np.concatenate([lower - weights_K, upper - weights_K])
        order = np.argsort(bends, kind="stable")
        bends, slopes = bends[order], np.cumsum(np.where(order < len(lower), 1.0, -1.0))
        sums = lower.sum() + np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(bends))])
        after = int(np.searchsorted(sums, 1.0))
        shift = bends[min(after, len(bends) - 1)]
        if 0 < after < len(bends):
            shift = bends[after - 1] + (1 - sums[after - 1]) / slopes[after - 1]
        result = np.clip(weights_K + shift, lower, upper)
        inside = (result > lower) & (result < upper)
        if inside.any():
            result[inside] += (1 - result.sum()) / inside.sum()
        return np.clip(result, lower, upper)


def _least_distance(G: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return the shortest x with G x >= h; the last x tried where there is none."""
    from scipy.optimize import nnls

    # Lengths in units of the largest miss: the method is at its most exact where the distance is about 1.
    size = max(float(h.max()), 1e-300)
    matrix = np.vstack([G.T, h[None] / size])
    target = np.zeros(len(matrix))
    target[-1] = 1.0
    u, _ = nnls(matrix, target, maxiter=50 * matrix.shape[1])
    residual = matrix @ u - target
    return -size * residual[:-1] / min(residual[-1], -1e-12)
