"""What the runs say about a law's parameters: rank and condition of the information matrix, and what stays open.

Shape letters: R runs, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SINGULAR = 1e-7
"""A direction is undetermined if its singular value is at most this part of the largest. No data."""

_HELD = 0.05
"""A parameter is undetermined if the runs lower its prior variance by less than this part. No data."""

MOOT = 1e-9
"""A parameter has no effect on any loss if its derivatives are at most this part of the largest. No data."""

LOOSE = 0.1
"""A parameter belongs to an undetermined direction of length 1 if its component there is larger than this. No data."""


@dataclass(frozen=True)
class Information:
    """Of one target's runs.

    Attributes:
        parameters: how many are estimated (those at a bound are not).
        rank: of the information matrix of the runs alone, without priors.
        condition: largest over smallest singular value of the derivatives, each column scaled to length 1; infinite
            where singular.
        open: parameters of which the runs say nothing: they can move together and no loss moves, or, where a prior
            holds them, their variance is still that of the prior.
        held: whether priors hold the parameters, so that the rank may be smaller than their number.
    """

    parameters: int = 0
    rank: int = 0
    condition: float = float("nan")
    open: tuple[str, ...] = ()
    held: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the JSON form; an infinite condition is None."""
        condition = float(self.condition) if np.isfinite(self.condition) else None
        return {
            "parameters": self.parameters,
            "rank": self.rank,
            "condition": condition,
            "open": list(self.open),
            "held": self.held,
        }

    @staticmethod
    def from_json(value: dict) -> Information:
        """Return it from its JSON form."""
        condition = float("inf") if value["condition"] is None else value["condition"]
        return Information(value["parameters"], value["rank"], condition, tuple(value["open"]), value["held"])


def information(
    jacobian_RP: np.ndarray, names: list[str], variance_P: np.ndarray | None = None, prior_P: np.ndarray | None = None
) -> Information:
    """Return what the runs say.

    Args:
        jacobian_RP: derivatives of the runs' losses by the parameters estimated, in the coordinates of the fit.
        names: P.
        variance_P: posterior variance of the coordinates, where there are priors.
        prior_P: their prior variance; infinite without a prior.
    """
    length = np.linalg.norm(jacobian_RP, axis=0)
    moot = length <= MOOT * length.max(initial=0.0)
    _, values, rows = np.linalg.svd(jacobian_RP[:, ~moot] / length[~moot], full_matrices=False)
    rank = int((values > _SINGULAR * values.max(initial=0.0)).sum())
    full = rank == len(names)
    condition = float(values[0] / values[-1]) if full and rank else float("inf")
    if variance_P is not None and prior_P is not None:
        open_ = [name for name, v, p in zip(names, variance_P, prior_P, strict=True) if v > (1 - _HELD) * p]
    else:
        open_ = [name for name, none in zip(names, moot, strict=True) if none]
        loose = rows[values <= _SINGULAR * values.max(initial=0.0)]
        kept = [name for name, none in zip(names, moot, strict=True) if not none]
        open_ += [name for p, name in enumerate(kept) if (np.abs(loose[:, p]) > LOOSE).any()]
        if len(jacobian_RP) < len(kept) and not len(loose):
            open_ = names
    return Information(len(names), rank, condition, tuple(open_), variance_P is not None)
