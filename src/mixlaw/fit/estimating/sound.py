"""Whether a law does what a fit needs of it: laws may be users' own, and a fit of a wrong one says nothing.

`mixlaw.testing.check_law` looks for more; here is what would end a fit in the middle, or let it go on with losses of
another shape. Shape letters: R runs, K domains, P parameters, S starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixlaw.core.errors import FitError
from mixlaw.laws import LawKind
from mixlaw.laws.base import Law

_CHECK = "Correct it: `mixlaw.testing.check_law` says what every law must keep."


def made(kind: LawKind, domains: tuple[str, ...], target: str) -> Law:
    """Return the law of a kind for domains and a target.

    Raises:
        FitError: it cannot be made of these, or what is made is no law.
    """
    assert kind.law is not None
    try:
        law = kind.law(domains, target)
    except TypeError as error:
        raise FitError(f"Law '{kind.name}' cannot be made for domains and a target: {error}.", _CHECK) from error
    needed = ("parameters", "predict", "jacobian", "gradient", "rescale", "starts")
    lacking = [name for name in needed if not hasattr(law, name)]
    if lacking:
        raise FitError(f"Law '{kind.name}' has no {', '.join(lacking)}.", _CHECK)
    return law


def require_sound(law: Law, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> None:
    """Raise FitError where a law has no starts, or losses and derivatives of another shape than theirs."""
    (R, K), P = tokens_RK.shape, len(law.parameters)
    with np.errstate(all="ignore"):
        theta_SP = np.atleast_2d(_called(law, "starts", tokens_RK, losses_R, count))
        if theta_SP.ndim != 2 or not len(theta_SP) or theta_SP.shape[1] != P:
            raise FitError(
                f"Law '{law.name}' gives starts of shape {theta_SP.shape}; there must be at least one, of {P} numbers.",
                _CHECK,
            )
        for name, argument, shape in (
            ("predict", tokens_RK, (R,)),
            ("jacobian", tokens_RK, (R, P)),
            ("gradient", tokens_RK, (R, K)),
            ("rescale", 1.0, (P,)),
        ):
            found = np.asarray(_called(law, name, theta_SP[0], argument))
            if found.shape != shape:
                raise FitError(
                    f"Law '{law.name}': {name} gives shape {found.shape} for {R} runs, {K} domains and {P} parameters; "
                    f"it must be {shape}.",
                    _CHECK,
                )


def require_finite(law: Law, losses_SR: np.ndarray) -> None:
    """Raise FitError where not all losses at the starts are finite: no search could begin there."""
    if not np.isfinite(losses_SR).all():
        raise FitError(f"Law '{law.name}' gives losses that are not finite at its own starts.", _CHECK)


def _called(law: Law, member: str, *arguments: Any) -> Any:
    try:
        return getattr(law, member)(*arguments)
    except Exception as error:
        raise FitError(f"Law '{law.name}': {member} raised {type(error).__name__}: {error}.", _CHECK) from error
