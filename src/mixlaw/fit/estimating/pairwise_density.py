"""The posterior density of `pairwise` for one target, in coordinates that are nearly independent and have no bounds.

    y_r = log D_r        m, s: their mean and standard deviation over the runs, weighted by precision
    I_r = sum_i h_i log(1 + N_i / D_r)      i0, i1: their mean and their slope on y
    L_low, L_high        the losses at m - s and m + s that the curve would have
    E = L_high / (1 + exp(-u)),  f_low = L_low - E,  f_high = L_high - E
    beta = i1 + log(f_low / f_high) / (2 s),  log C = log f_low + beta (m - s) - i0 + i1 s
    a = a_low + (a_high - a_low) / (1 + exp(-v)),  t_i = tau_i log(1 + exp(x_i)),  n0^a0 = tau_0 log(1 + exp(x_0))

The runs fix L_low and L_high, wherever n0, a, t and h move the effective amounts of data: no ridge is left between
those and the curve. u and v have no bounds, where E or a has one. x_i is linear in t_i where the runs feel source i,
so that what they say of it is normal, and linear in log t_i where they do not, so that what the prior says of it is;
tau_i lies where one changes into the other. With many coordinates n0 is such a source, with the exponent a0, the a of
the most probable point; with few its coordinate is log n0.

    x = (L_low, x_0, v, u, L_high, x_i, e_i, h_i, gamma)       in the places of z (`pairwise_problem`)
    |dz / dx| = E (1 - E / L_high) / (f_low f_high 2 s beta) |da / dv| prod_i |d log t_i / dx_i|    n0 as t_0

The density is that of `mixlaw.fit.posterior.around`, the volume of the coordinates apart. One evaluation with its
gradient makes a few passes over R x K numbers, of seven digits where there are many; nothing of size R x P.

Shape letters: S points, R runs, K domains, M other domains, P coordinates.
"""

from __future__ import annotations

import numpy as np

from mixlaw.fit.estimating.density_parts import Heights, State
from mixlaw.fit.estimating.pairwise_problem import LOG_BETA, LOG_C, LOG_N0, A, E, PairwiseProblem
from mixlaw.fit.free_line import predicted
from mixlaw.fit.posterior.around import NOISE_SHAPE, Around
from mixlaw.laws.pairwise import A_RANGE

_NOWHERE = -1e4
"""Stands for the logarithm of 0 tokens: its exponential is 0. No data."""

_FELT = 2.0
"""tau over the standard deviation of t that the runs alone would give. Chosen on: planted worlds of 64 domains (tuning
seeds) and RegMix's training runs: 200 independent draws took 10,000 evaluations in log t, 6,500 at 2."""

_FELT_0 = 30.0
"""The same for n0, where there are many coordinates. Chosen on: planted world 5 of 64 domains (tuning), where 3,200
proposals that turn were worth at least 46, 178, 400 and 919 independent draws at .7, 2, 6 and 30, and 129 in log n0;
of 3 and 12 domains log n0 is as good."""

_LOG_TAU = (-12.0, 3.0)
"""Bounds of log tau, in units of a typical run. For safety. No data."""

_INSIDE = (0.02, 0.98)
"""E / L_high and a start within this part of the range between their bounds. No data."""

_ROUGH = 1e-5
"""Amounts of data are computed with seven digits where there are many coordinates and the noise is larger than this
part of the losses: their error is then at most a tenth of it. For speed. No data."""

_AT_ONCE = 400_000
"""How many numbers of a points x R x K array are computed at once: about what a processor's cache holds. For speed.
No data."""

_FLAT = 0.02
"""Information that is added for u, v and x where only the prior's volume limits them. For safety. No data."""

_CURVE = [LOG_C, E, LOG_BETA]


class PairwiseDensity:
    """`mixlaw.fit.posterior.hamiltonian.Density` of a target.

    Args:
        problem: of the target.
        around: its maximum a posteriori point and what surrounds it.
    """

    def __init__(self, problem: PairwiseProblem, around: Around) -> None:
        self.problem, self.around, law = problem, around, problem.law
        x, M = problem.mixtures, problem.sources
        noise = float(around.precision_R.max()) ** -0.5
        self._kind = np.float32 if problem.many and noise > _ROUGH * np.abs(around.losses_R).max() else float
        self._log_RK = np.where(x.some_RK > 0, x.log_RK, _NOWHERE).astype(self._kind)
        self._tokens_RK = x.tokens_RK.astype(self._kind)
        self._memory: dict[int, np.ndarray] = {}
        self._weight_R = around.precision_R / around.precision_R.sum()
        self._others, self._K = np.array(law.others, int), len(law.domains)
        first = law.part("t").start
        self._t, self._e = slice(first, first + M), slice(first + M, first + 2 * M)
        self._h = slice(first + 2 * M, first + 3 * M) if problem.interference and M else None
        many = problem.many
        self._places = [LOG_N0] * many + [*range(first, first + M)]
        self._worth = np.array(self._places) if many else self._t
        self._power_W = np.array([around.z_P[A]] * many + [1.0] * M)
        tau_W = np.array([_FELT_0] * many + [_FELT] * M)
        jacobian_RW = problem.losses_and_jacobian(around.z_P)[1][:, self._worth] / self._power_W
        felt_W = (around.precision_R[:, None] * jacobian_RW**2).sum(axis=0)
        logs_W = self._power_W * around.z_P[self._worth]
        log_tau_W = logs_W - 0.5 * np.log(np.maximum(felt_W, 1e-300)) + np.log(tau_W)
        self._log_tau_W = np.clip(log_tau_W, *_LOG_TAU)

    def start(self) -> np.ndarray:
        """Return the point as (P,) coordinates, a little inside where it lies at a bound."""
        z_SP = self.around.z_P[None]
        x, state = self.around.z_P.copy(), self._state(z_SP)
        m, s, i0, i1 = (float(part[0]) for part in (state.m_S, state.s_S, state.i0_S, state.i1_S))
        log_C, beta, floor = x[LOG_C], np.exp(x[LOG_BETA]), x[E]
        x[LOG_C] = np.exp(log_C - beta * (m - s) + i0 - i1 * s) + floor
        x[E] = np.exp(log_C - beta * (m + s) + i0 + i1 * s) + floor
        for place, part in ((LOG_BETA, floor / x[E]), (A, (x[A] - A_RANGE[0]) / (A_RANGE[1] - A_RANGE[0]))):
            part = np.clip(part, *_INSIDE)
            x[place] = np.log(part / (1 - part))
        worth = np.exp(np.clip(self._power_W * x[self._worth] - self._log_tau_W, -30.0, 30.0))
        x[self._worth] = worth + np.log(-np.expm1(-worth))  # the inverse of log(1 + exp(x))
        return x

    def z(self, x_SP: np.ndarray) -> np.ndarray:
        """Return (S, P) coordinates of the problem, within its bounds."""
        with np.errstate(all="ignore"):
            parts = [self._problem_coordinates(x_SP[at])[0].z_SP for at in self._parts(len(x_SP))]
        return np.clip(np.concatenate(parts), self.around.lower_P, self.around.upper_P)

    def gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Density.gradient`."""
        with np.errstate(all="ignore"):
            return self._gradient(x_SP)

    def _parts(self, points: int) -> list[slice]:
        """Return which points' arrays of R x K numbers are computed together."""
        size = max(_AT_ONCE // max(self._log_RK.size, 1), 1)
        return [slice(first, first + size) for first in range(0, points, size)]

    def _kept(self, which: int, points: int) -> np.ndarray:
        """Return a (points, R, K) array whose memory is used again in the next call: fresh memory costs more than an
        exponential."""
        if which not in self._memory or len(self._memory[which]) < points:
            self._memory[which] = np.empty((points, *self._log_RK.shape), self._kind)
        return self._memory[which][:points]

    def _state(self, z_SP: np.ndarray) -> State:
        """Return the effective amounts of data and the interference; the curve's own places are not read."""
        w_R = self._weight_R
        t, e = np.ones((len(z_SP), self._K)), np.zeros((len(z_SP), self._K))
        t[:, self._others], e[:, self._others] = np.exp(z_SP[:, self._t]), z_SP[:, self._e]
        exponent, t_S1K = (z_SP[:, A, None] + e)[:, None].astype(self._kind), t[..., None].astype(self._kind)
        power, Q = self._kept(0, len(z_SP)), np.empty((len(z_SP), len(w_R)))
        for at in self._parts(len(z_SP)):
            np.multiply(self._log_RK, exponent[at], out=power[at])
            np.exp(power[at], out=power[at])
            Q[at] = (power[at] @ t_S1K[at])[..., 0]
        known = np.exp(z_SP[:, A] * z_SP[:, LOG_N0])
        Q += known[:, None]
        y = np.log(Q) / z_SP[:, A, None]
        m = y @ w_R
        far = y - m[:, None]
        s = np.sqrt(far**2 @ w_R + 1e-12)
        odds, excess, by_y = None, np.zeros_like(y), np.zeros_like(y)
        if self._h is not None:
            h = np.zeros_like(t)
            h[:, self._others] = z_SP[:, self._h]
            h = h[..., None].astype(self._kind)
            odds = np.multiply(self._tokens_RK, np.exp(-y)[..., None].astype(self._kind), out=self._kept(1, len(z_SP)))
            share = np.divide(odds, 1 + odds, out=self._kept(2, len(z_SP)))
            np.log1p(odds, out=odds)
            excess = (odds @ h)[..., 0].astype(float)
            by_y = -(share @ h)[..., 0].astype(float)
        return State(z_SP, t, power, known, Q, y, m, s, odds, excess, by_y, excess @ w_R, (excess * far) @ w_R / s**2)

    def _problem_coordinates(self, x_SP: np.ndarray) -> tuple[State, Heights]:
        """Return what is computed of z, and of the curve; z is filled in."""
        z = x_SP.copy()
        z[:, A] = A_RANGE[0] + (A_RANGE[1] - A_RANGE[0]) * _logistic(x_SP[:, A])
        amount_SW = np.logaddexp(0.0, x_SP[:, self._worth])
        z[:, self._worth] = (self._log_tau_W + np.log(amount_SW)) / self._power_W
        state = self._state(z)
        L_low, L_high, share = x_SP[:, LOG_C], x_SP[:, E], _logistic(x_SP[:, LOG_BETA])
        floor = L_high * share
        f_low, f_high = L_low - floor, L_high * (1 - share)
        steepness = np.log(f_low / f_high) / (2 * state.s_S)
        beta = state.i1_S + steepness
        log_C = np.log(f_low) + beta * (state.m_S - state.s_S) - state.i0_S + state.i1_S * state.s_S
        z[:, LOG_C], z[:, LOG_BETA], z[:, E] = log_C, np.log(beta), floor
        log_reducible = log_C[:, None] - beta[:, None] * state.y_SR + state.I_SR
        log_reducible += self.problem.log_shrink(z, state.y_SR)
        inside = np.all((z >= self.around.lower_P) & (z <= self.around.upper_P), axis=1)
        inside &= (L_high > 0) & (L_low > L_high)
        return state, Heights(share, f_low, f_high, steepness, beta, np.exp(log_reducible), inside, amount_SW)

    def _gradient(self, x_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state, curve = self._problem_coordinates(x_SP)
        around, z, share, beta = self.around, state.z_SP, curve.share_S, curve.beta_S
        away_SR = predicted(self.problem.line, curve.reducible_SR + self.problem.floor(z)) - around.losses_R
        pull_SR = around.precision_R * away_SR
        by_noise = around.degrees / len(around.losses_R)
        missed_S = (pull_SR * away_SR).sum(axis=1)
        squares = NOISE_SHAPE + missed_S * by_noise
        far = z - around.mean_P
        prior = far @ around.precision_PP
        log_volume = np.log(x_SP[:, E] * share * (1 - share) / (curve.f_low_S * curve.f_high_S * state.s_S * beta))
        a_share, sigmoid_W = _logistic(x_SP[:, A]), _logistic(x_SP[:, self._worth])
        slope_W = sigmoid_W / (self._power_W * curve.amount_SW)
        log_volume += np.log(a_share * (1 - a_share)) + np.log(slope_W).sum(axis=1)
        shape = around.degrees + NOISE_SHAPE
        log_density = -0.5 * (shape * np.log(squares) + (far * prior).sum(axis=1)) + log_volume
        by_loss_SR = -(shape * by_noise / squares)[:, None] * pull_SR
        if self.problem.line is not None:
            by_loss_SR = self.problem.line.by_law(by_loss_SR)
        slope = self._slope(x_SP, state, curve, by_loss_SR, prior)
        slope[:, self._worth] = slope[:, self._worth] * slope_W + (1 - sigmoid_W) - self._power_W * slope_W
        slope[:, A] = slope[:, A] * (A_RANGE[1] - A_RANGE[0]) * a_share * (1 - a_share) + 1 - 2 * a_share
        good = curve.inside_S & np.isfinite(log_density) & (missed_S <= around.most_squares)
        return np.where(good, log_density, -np.inf), np.where(good[:, None] & np.isfinite(slope), slope, 0.0)

    def _slope(
        self, x_SP: np.ndarray, state: State, curve: Heights, by_loss_SR: np.ndarray, prior_SP: np.ndarray
    ) -> np.ndarray:
        """Return the gradient by x for the curve and gamma, by z for the rest, where n0, t and a have another x."""
        w_R, z, s, i1 = self._weight_R, state.z_SP, state.s_S, state.i1_S
        by_log_SR = by_loss_SR * curve.reducible_SR
        by_C = by_log_SR.sum(axis=1) - prior_SP[:, LOG_C]
        by_log_beta = -(by_log_SR * state.y_SR).sum(axis=1) * curve.beta_S - prior_SP[:, LOG_BETA]
        by_E = (by_loss_SR * self.problem.floor_shrink(z)).sum(axis=1) - prior_SP[:, E]
        # The volume has 1 / beta and 1 / s.
        by_beta = (by_log_beta - 1) / curve.beta_S + by_C * (state.m_S - s)
        by_i1, by_i0 = by_beta + by_C * s, -by_C
        by_m = by_C * curve.beta_S
        by_s = -by_beta * curve.steepness_S / s + by_C * (i1 - curve.beta_S) - 1 / s - 2 * by_i1 * i1 / s
        far = state.far_SR
        by_I_SR = by_log_SR + w_R * (by_i0[:, None] + (by_i1 / s**2)[:, None] * far)
        by_y_SR = by_I_SR * state.I_by_y_SR - (curve.beta_S[:, None] + self.problem.bent(z)) * by_log_SR
        by_y_SR += w_R * (by_m[:, None] + (by_s / s)[:, None] * far)
        by_y_SR += w_R * (by_i1 / s**2)[:, None] * (state.I_SR - state.i0_S[:, None])
        by_Q_SR = by_y_SR / (z[:, A, None] * state.Q_SR)
        by_worth, by_exponent = (part * state.t_SK for part in self._by_power(by_Q_SR, state.power_SRK))
        known = by_Q_SR.sum(axis=1) * state.known_S
        slope = -prior_SP
        slope[:, self._t] += by_worth[:, self._others]
        slope[:, self._e] += by_exponent[:, self._others]
        if state.odds_SRK is not None:
            slope[:, self._h] += (by_I_SR[:, None].astype(self._kind) @ state.odds_SRK)[:, 0][:, self._others]
        slope[:, LOG_N0] += known * z[:, A]
        slope[:, A] += known * z[:, LOG_N0] + by_exponent.sum(axis=1) - (by_y_SR * state.y_SR).sum(axis=1) / z[:, A]
        if self.problem.log_sizes_R is not None:
            by_exponents = self.problem.by_exponents(z, curve.reducible_SR, state.y_SR)
            slope[:, self.problem.exponents] += (by_loss_SR[:, None] @ by_exponents)[:, 0]
        if self.problem.batches is not None:
            slope[:, self.problem.shocks] += by_loss_SR @ self.problem.batches.member_RB
        floor, f_low, f_high = self._curve_slopes(x_SP, curve)
        by_f = (f_low - f_high) / (2 * s)
        volume = np.zeros(floor.shape)
        volume[1], volume[2] = 1 / x_SP[:, E], 1 - 2 * curve.share_S
        volume = volume - f_low - f_high
        slope[:, _CURVE] = (by_E * floor + by_beta * by_f + by_C * f_low + volume).T
        return slope

    def _by_power(self, by_Q_SR: np.ndarray, power_SRK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (S, K) sums over the runs of a slope by Q times the powers, and of that times the logs of tokens."""
        by_Q_S1R = by_Q_SR[:, None].astype(self._kind)
        by_worth, by_exponent = np.empty((2, len(by_Q_SR), self._K), self._kind)
        for at in self._parts(len(by_Q_SR)):
            power = power_SRK[at]
            logs = np.multiply(power, self._log_RK, out=self._kept(2, len(power)))
            by_worth[at] = (by_Q_S1R[at] @ power)[:, 0]
            by_exponent[at] = (by_Q_S1R[at] @ logs)[:, 0]
        return by_worth, by_exponent

    @staticmethod
    def _curve_slopes(x_SP: np.ndarray, curve: Heights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (3, S) derivatives of E, log f_low and log f_high by L_low, L_high and u."""
        found, share = np.zeros((3, 3, len(x_SP))), curve.share_S
        floor, f_low, f_high = found
        floor[1], floor[2] = share, x_SP[:, E] * share * (1 - share)
        f_low[0], f_low[1:] = 1 / curve.f_low_S, -floor[1:] / curve.f_low_S
        f_high[1], f_high[2] = 1 / x_SP[:, E], -share
        return floor, f_low, f_high

    def information(self, x_P: np.ndarray) -> np.ndarray:
        """See `Density.information`: Gauss-Newton, prior, and what the volume holds."""
        with np.errstate(all="ignore"):
            return self._information(x_P[None])

    def _information(self, x_SP: np.ndarray) -> np.ndarray:
        around, (state, curve) = self.around, self._problem_coordinates(x_SP)
        losses_R = curve.reducible_SR[0] + self.problem.floor(state.z_SP)[0]
        away_R = predicted(self.problem.line, losses_R) - around.losses_R
        by_noise = around.degrees / len(around.losses_R)
        squares = NOISE_SHAPE + float(around.precision_R @ away_R**2) * by_noise
        scale_R = np.sqrt((around.degrees + NOISE_SHAPE) * by_noise / squares * around.precision_R)
        by_x_PP = self._by_x(x_SP, state, curve)
        jacobian = scale_R[:, None] * (self.problem.losses_and_jacobian(state.z_SP[0])[1] @ by_x_PP)
        information = jacobian.T @ jacobian + by_x_PP.T @ around.precision_PP @ by_x_PP
        shares = {LOG_BETA: float(curve.share_S[0]), A: float(_logistic(x_SP[0, A]))}
        for place, share in shares.items():
            information[place, place] += 2 * share * (1 - share)
        flat = [LOG_BETA, A, *self._places]
        information[flat, flat] += _FLAT
        return information

    def _by_x(self, x_SP: np.ndarray, state: State, curve: Heights) -> np.ndarray:
        """Return (P, P) derivatives of z by x at one point."""
        w_R, P, M = self._weight_R, x_SP.shape[1], self.problem.sources
        a, log_n0, s, i1 = state.z_SP[0, A], state.z_SP[0, LOG_N0], state.s_S[0], state.i1_S[0]
        a_share = _logistic(x_SP[0, A])
        by_v = (A_RANGE[1] - A_RANGE[0]) * a_share * (1 - a_share)
        slope_W = (_logistic(x_SP[:, self._worth]) / (self._power_W * curve.amount_SW))[0]
        worth_RK = state.power_SRK[0] * state.t_SK[0] / (a * state.Q_SR[0])[:, None]
        exponent_RK = worth_RK * self._log_RK
        known_R = state.known_S[0] / (a * state.Q_SR[0])
        y = np.zeros((len(known_R), P))
        y[:, self._t] = worth_RK[:, self._others] * slope_W[len(slope_W) - M :]
        y[:, self._e] = exponent_RK[:, self._others]
        y[:, LOG_N0] = a * known_R * (slope_W[0] if len(slope_W) > M else 1.0)
        y[:, A] = (known_R * log_n0 + exponent_RK.sum(axis=1) - state.y_SR[0] / a) * by_v
        excess = state.I_by_y_SR[0][:, None] * y
        if state.odds_SRK is not None:
            excess[:, self._h] += state.odds_SRK[0][:, self._others]
        far_R, extra_R = state.far_SR[0], state.I_SR[0] - state.i0_S[0]
        m, s_slope, i0 = w_R @ y, (w_R * far_R / s) @ y, w_R @ excess
        i1_slope = (w_R * far_R / s**2) @ excess + (w_R * extra_R / s**2) @ y - 2 * i1 / s * s_slope
        floor, f_low, f_high = (part[:, 0] for part in self._curve_slopes(x_SP, curve))
        beta = i1_slope - curve.steepness_S[0] / s * s_slope
        beta[_CURVE] += (f_low - f_high) / (2 * s)
        log_C = (state.m_S[0] - s) * beta + curve.beta_S[0] * (m - s_slope) - i0 + i1 * s_slope + s * i1_slope
        log_C[_CURVE] += f_low
        by_x = np.eye(P)
        by_x[A, A] = by_v
        by_x[self._places, self._places] = slope_W
        by_x[E] = 0.0
        by_x[E, _CURVE] = floor
        by_x[LOG_BETA], by_x[LOG_C] = beta / curve.beta_S[0], log_C
        return by_x


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
