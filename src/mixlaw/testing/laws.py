"""What must hold of every law, one function per property; each raises AssertionError with the size of the deviation.

A check makes the law for some domains, draws runs and parameters (from the priors where there are any), and compares.
Derivatives are compared with central differences extrapolated to a step of zero, multiplied by the size of what is
moved: both are then nats, and a derivative of zeros would deviate by the whole effect, some 0.1 to 1 nats, against a
tolerance of a ten-millionth of the loss.

Shape letters: R runs, K domains, P parameters, S draws.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixlaw.laws.base import Law
from mixlaw.testing._cases import RUNS, STEP, MakeLaw, law_case, slope
from mixlaw.testing._comparison import claim_close, claim_small, claim_that

DOMAINS = ("chat", "math", "code")

_SAME = 1e-9
_SLOPE = 1e-7


class LawCheck(Protocol):
    """One property of a law."""

    __name__: str

    def __call__(self, make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None: ...


def check_law(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """Run every check on a law; the target is the second of the domains.

    Args:
        make: makes the law for given domains and a target, usually its class.
        domains: at least two names, best not in alphabetical order.
        seed: of the runs and parameters drawn.

    Raises:
        AssertionError: a property does not hold; the message names the law, the property and the deviation.
    """
    for check in LAW_CHECKS:
        check(make, domains, seed)


def names_and_bounds_are_sound(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """The law knows its name, domains and target; its parameters have distinct names and bounds that make sense."""
    law = make(domains, domains[1])
    _claim(isinstance(law, Law), law, "has every member of `Law`")
    _claim(bool(law.name) and law.name == law.name.strip(), law, "has a name")
    _claim(law.domains == domains and law.target == domains[1], law, "keeps its domains and target")
    names = [parameter.name for parameter in law.parameters]
    _claim(len(set(names)) == len(names) > 0, law, f"gives its parameters distinct names, has {names}")
    for parameter in law.parameters:
        where = f"for '{parameter.name}'"
        _claim(parameter.lower < parameter.upper, law, f"has its lower bound below the upper one {where}")
        _claim(parameter.scale in ("linear", "log"), law, f"names a scale, linear or log, {where}")
        _claim(parameter.scale == "linear" or parameter.lower >= 0, law, f"has a scale that its bounds allow {where}")
        _claim(bool(parameter.unit), law, f"names the unit {where}")
        if parameter.prior is not None:
            proper = bool(np.isfinite(parameter.prior).all()) and parameter.prior[1] > 0
            _claim(proper, law, f"has a proper prior {where}")


def shapes_broadcast(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """One call evaluates one parameter vector or any array of them, with the same answers."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    S, (R, K), P = len(theta_SP), tokens_RK.shape, len(law.parameters)
    for method, last in (("predict", ()), ("jacobian", (P,)), ("gradient", (K,))):
        call = getattr(law, method)
        alone = np.stack([call(theta, tokens_RK) for theta in theta_SP])
        _claim(alone.shape == (S, R, *last), law, f"`{method}` of one vector has shape {(R, *last)}")
        for lead in ((S,), (1, S, 1)):
            value = call(theta_SP.reshape(*lead, P), tokens_RK)
            expected = (*lead, R, *last)
            _claim(value.shape == expected, law, f"`{method}` has shape {expected}, has {value.shape}")
            _close(value.reshape(alone.shape), alone, law, f"`{method}` of many vectors is that of each", 1e-12)
        _close(
            call(theta_SP, tokens_RK[:1]), alone[:, :1], law, f"`{method}` of a run does not depend on others", 1e-12
        )
    value = law.rescale(theta_SP.reshape(1, S, P), 2.0)
    _claim(value.shape == (1, S, P), law, f"`rescale` keeps the shape, gives {value.shape}")


def numbers_are_float64(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """Integer tokens give double precision too, and no call changes its arguments."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    whole = np.ceil(100 * tokens_RK).astype(np.int64)
    before = theta_SP.copy(), whole.copy()
    values = [call(theta_SP, whole) for call in (law.predict, law.jacobian, law.gradient)]
    values += [law.rescale(theta_SP, 3.0), law.starts(whole, law.predict(theta_SP[0], whole), 2)]
    for value in values:
        _claim(value.dtype == np.float64, law, f"computes in float64, gave {value.dtype}")
    unchanged = np.array_equal(before[0], theta_SP) and np.array_equal(before[1], whole)
    _claim(unchanged, law, "leaves its arguments as they were")


def jacobian_is_the_derivative(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """`jacobian` is what moving each parameter a little does to `predict`."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    exact, size = law.jacobian(theta_SP, tokens_RK), np.abs(law.predict(theta_SP, tokens_RK))
    for p, parameter in enumerate(law.parameters):
        step_S = STEP * np.maximum(np.abs(theta_SP[:, p]), 1e-2)

        def moved(amount: float, p: int = p, step_S: np.ndarray = step_S) -> np.ndarray:
            theta = theta_SP.copy()
            theta[:, p] += amount * step_S
            return law.predict(theta, tokens_RK)

        scaled = exact[..., p] * (step_S / STEP)[:, None]
        away = np.abs(scaled - slope(moved)) / (size + np.abs(scaled))
        _small(away, law, f"the jacobian by '{parameter.name}' is the derivative", _SLOPE)


def gradient_is_the_derivative(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """`gradient` is what a few more tokens of each domain do to `predict`."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    exact, size = law.gradient(theta_SP, tokens_RK), np.abs(law.predict(theta_SP, tokens_RK))
    for k, domain in enumerate(domains):
        step_R = STEP * tokens_RK[:, k]

        def moved(amount: float, k: int = k, step_R: np.ndarray = step_R) -> np.ndarray:
            tokens = tokens_RK.copy()
            tokens[:, k] += amount * step_R
            return law.predict(theta_SP, tokens)

        scaled = exact[..., k] * (step_R / STEP)
        away = np.abs(scaled - slope(moved)) / (size + np.abs(scaled))
        _small(away, law, f"the gradient by tokens of '{domain}' is the derivative", _SLOPE)


def rescaling_changes_no_prediction(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """Tokens counted in another unit, with the parameters rescaled, have the same losses."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    losses, slopes = law.predict(theta_SP, tokens_RK), law.gradient(theta_SP, tokens_RK)
    for factor in (1.0, 1e-3, 7.0, 1e6):
        theta, tokens = law.rescale(theta_SP, factor), factor * tokens_RK
        claim = f"tokens counted {factor:g} times finer have the same"
        _close(law.predict(theta, tokens), losses, law, f"{claim} loss", _SAME)
        _close(factor * law.gradient(theta, tokens), slopes, law, f"{claim} gradient per token", _SAME)


def permuting_domains_permutes_the_answer(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """The same domains in another order, with the parameters of the same names, give the same loss."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    order = np.roll(np.arange(len(domains)), 1)
    other = make(tuple(domains[k] for k in order), law.target)
    names = [parameter.name for parameter in law.parameters]
    others = [parameter.name for parameter in other.parameters]
    _claim(sorted(names) == sorted(others), law, f"permuting domains keeps the parameters' names, gives {others}")
    theta, tokens = theta_SP[:, [names.index(name) for name in others]], tokens_RK[:, order]
    _close(
        other.predict(theta, tokens), law.predict(theta_SP, tokens_RK), law, "permuting domains keeps the loss", _SAME
    )
    expected = law.gradient(theta_SP, tokens_RK)[..., order]
    _close(other.gradient(theta, tokens), expected, law, "permuting domains permutes the gradient", _SAME)


def renaming_domains_changes_nothing(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """Names carry no information: not their letters, not their alphabetical order, not that they look like others."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    ranks = np.argsort(np.argsort(domains))
    renamed = tuple(f"{'z' * (len(domains) - rank)} C[B]" for rank in ranks)
    other = make(renamed, renamed[domains.index(law.target)])
    _claim(len(other.parameters) == len(law.parameters), law, "renaming domains keeps the number of parameters")
    _close(other.predict(theta_SP, tokens_RK), law.predict(theta_SP, tokens_RK), law, "renaming keeps the loss", 1e-12)
    expected = law.rescale(theta_SP, 5.0)
    _close(other.rescale(theta_SP, 5.0), expected, law, "renaming keeps the rescaled parameters", 1e-12)


def zero_tokens_are_finite(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """A run without tokens of a domain, or with tokens of one domain only, has a finite loss and derivatives."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    none_KK = tokens_RK[: len(domains)] * (1 - np.eye(len(domains)))
    for tokens, which in ((none_KK, "no tokens of a domain"), (np.eye(len(domains)), "tokens of one domain only")):
        for method in ("predict", "jacobian", "gradient"):
            bad = int((~np.isfinite(getattr(law, method)(theta_SP, tokens))).sum())
            _claim(bad == 0, law, f"`{method}` is finite with {which}; {bad} numbers are not")


def starts_are_usable(make: MakeLaw, domains: tuple[str, ...] = DOMAINS, seed: int = 0) -> None:
    """Starts are within the bounds, finite, deterministic, at most as many as wanted; also for poor tables of runs."""
    law, theta_SP, tokens_RK = law_case(make, domains, seed)
    losses_R = law.predict(theta_SP[0], tokens_RK)
    lower, upper = (np.array([getattr(p, bound) for p in law.parameters]) for bound in ("lower", "upper"))
    tables = {
        "12 runs": (tokens_RK, losses_R),
        "runs of one loss": (tokens_RK, np.full_like(losses_R, 1.5)),
        "one repeated run": (np.repeat(tokens_RK[:1], 4, axis=0), losses_R[:4]),
        "two runs": (tokens_RK[:2], losses_R[:2]),
        "a domain never used": (tokens_RK * (np.arange(len(domains)) > 0), losses_R),
        "an absurd loss": (tokens_RK, np.where(np.arange(RUNS) == 3, 100.0, losses_R)),
    }
    for which, (tokens, losses) in tables.items():
        starts = law.starts(tokens, losses, 4)
        fits = starts.ndim == 2 and 1 <= len(starts) <= 4 and starts.shape[1] == len(lower)
        _claim(fits, law, f"gives one to four starts for {which}, gives shape {starts.shape}")
        _claim(bool(np.isfinite(starts).all()), law, f"gives finite starts for {which}")
        _claim(
            bool(np.isfinite(law.predict(starts, tokens)).all()), law, f"has finite losses at its starts for {which}"
        )
        outside = float(np.maximum(lower - starts, starts - upper).max())
        _claim(outside <= 0, law, f"starts within its bounds for {which}; one lies {outside:.2g} outside")
        _claim(np.array_equal(starts, law.starts(tokens, losses, 4)), law, f"gives the same starts again for {which}")


LAW_CHECKS: tuple[LawCheck, ...] = (
    names_and_bounds_are_sound,
    shapes_broadcast,
    numbers_are_float64,
    jacobian_is_the_derivative,
    gradient_is_the_derivative,
    rescaling_changes_no_prediction,
    permuting_domains_permutes_the_answer,
    renaming_domains_changes_nothing,
    zero_tokens_are_finite,
    starts_are_usable,
)
"""Every check, for `pytest.mark.parametrize`; each takes what `check_law` takes."""


def _claim(holds: bool, law: Law, claim: str) -> None:
    claim_that(holds, f"law '{law.name}'", claim)


def _small(away: np.ndarray, law: Law, claim: str, tolerance: float) -> None:
    claim_small(away, f"law '{law.name}'", claim, tolerance)


def _close(value: np.ndarray, expected: np.ndarray, law: Law, claim: str, tolerance: float) -> None:
    claim_close(value, expected, f"law '{law.name}'", claim, tolerance)
