"""How much less a repeated token is worth: the decay of `mixlaw.laws.repetition`, from the runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.held_out import by_run, relative_errors
from mixlaw.laws import LawKind
from mixlaw.laws.repetition import count_tokens

DECAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Values that are tried when the decay is fitted, in epochs. Source: around the 15.4 of Muennighoff et al. 2023."""

_PAYS = 0.5
"""Standard errors by which counting repeats must lower the error on held-out mixtures, like `_PAYS` for
interference. No data."""

_REPEATED = 1.02
"""Epochs beyond which a run counts as repeating: sampling whole rows overshoots by less. No data."""

_TELLING, _CHANGED = 3, 0.05
"""A decay is looked for where it can be seen: so many runs at least in which the strongest one takes more than this
part of some domain's tokens, which is from 1.4 epochs. No data."""


def counted(runs: RunTable, decay: float) -> RunTable:
    """Return the runs with their tokens counted in fresh ones."""
    if runs.unique_RK is None or np.isinf(decay):
        return runs
    return replace(runs, tokens_RK=count_tokens(runs.tokens_RK, runs.unique_RK, decay))


def find_decay(runs: RunTable, law: LawKind, wish: float | str) -> tuple[float, str]:
    """Return the decay R* (infinite: repeats count in full), and a sentence where it was fitted.

    Args:
        runs: with `unique_RK`, or no run repeats anything.
        law: whose errors on held-out mixtures decide.
        wish: a number, `off`, or `auto`: fitted where enough runs repeat enough to tell, and kept where it lowers the
            error by more than half a standard error of the paired differences.

    Raises:
        ConfigError: a wish that is none of these.
        DataError: a number, and a table that does not say how many tokens are distinct.
    """
    if isinstance(wish, str):
        if wish not in ("auto", "off"):
            raise ConfigError(f"repetition is '{wish}'.", "Set it to auto, off, or the decay R* as a number above 0.")
    elif not wish > 0:
        raise ConfigError(f"The decay of repeats is {wish}; it must be above 0.", "Muennighoff et al. found 15.4.")
    elif runs.unique_RK is None:
        raise DataError(
            "A decay of repeats was given, but the runs do not have the numbers of distinct tokens.",
            "Add a column unique:<domain> for each domain, or set repetition to off.",
        )
    else:
        return float(wish), ""
    if wish == "off" or not _repeats(runs):
        return float("inf"), ""
    if _telling(runs) < _TELLING:
        return float("inf"), (
            f"Repeated tokens count like new ones: fewer than {_TELLING} runs repeat enough of a domain to tell."
        )
    plain = relative_errors(runs, law)
    found = {decay: relative_errors(counted(runs, decay), law) for decay in DECAYS}
    best = min(DECAYS, key=lambda decay: _mean(by_run(found[decay], plain)))
    gain = by_run(plain, plain) - by_run(found[best], plain)
    gain = gain[np.isfinite(gain)]
    if len(gain) < 2 or not gain.mean() > _PAYS * gain.std(ddof=1) / np.sqrt(len(gain)):
        return float("inf"), "Repeated tokens count like new ones: held-out mixtures show nothing else."
    return best, (
        f"Repeated tokens count less than new ones (decay R* = {best:g} epochs): the error on held-out mixtures falls "
        f"from {100 * _mean(plain):.3g} to {100 * _mean(found[best]):.3g} %."
    )


def _mean(errors: np.ndarray) -> float:
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if len(known) else np.inf


def _repeats(runs: RunTable) -> bool:
    if runs.unique_RK is None:
        return False
    some = (runs.tokens_RK > 0) & (runs.unique_RK > 0)
    return bool((runs.tokens_RK[some] > _REPEATED * runs.unique_RK[some]).any())


def _telling(runs: RunTable) -> int:
    """Return how many runs have a domain whose tokens count visibly less by the strongest decay that is tried."""
    worth_RK = counted(runs, min(DECAYS)).tokens_RK
    return int((worth_RK < (1 - _CHANGED) * runs.tokens_RK).any(axis=1).sum())
