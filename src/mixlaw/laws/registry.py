"""Laws by name: the built-in ones, those of installed packages, and your own.

A law is a class (or a function) that is called with the domains and a target; a regressor is a class with `fit`
(`mixlaw.laws.base`). Wherever a law is wanted, in Python, in mix.yaml and on the command line, these are the same:

    "pairwise"                 a name: built in, registered here, or an entry point of the group `mixlaw.laws`
    MyLaw                      a class, without being registered
    MyLaw(domains, target)     an instance: another is made like it for each target
    "mypackage.module:MyLaw"   where a class cannot be written; the module is imported because the user names it

Nothing that is read from a file of a study names a module: code runs only where the user asks for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mixlaw.core.errors import ConfigError
from mixlaw.core.plugins import imported, offered
from mixlaw.core.suggestions import suggest

GROUP = "mixlaw.laws"
"""The group of entry points by which an installed package offers laws: `name = "package.module:Class"`."""

_BUILT_IN = {
    "mean": "mixlaw.laws.mean:Mean",
    "chinchilla": "mixlaw.laws.chinchilla:Chinchilla",
    "rectified": "mixlaw.laws.rectified:Rectified",
    "autoscale": "mixlaw.laws.autoscale:Autoscale",
    "transfer": "mixlaw.laws.transfer:Transfer",
    "bivariate": "mixlaw.laws.bivariate:Bivariate",
    "exponential": "mixlaw.laws.exponential:Exponential",
    "additive": "mixlaw.laws.additive:Additive",
    "additive_joint": "mixlaw.laws.additive:AdditiveJoint",
    "pairwise": "mixlaw.laws.pairwise:Pairwise",
    "ridge": "mixlaw.laws.ridge:Ridge",
    "gp": "mixlaw.laws.gp:GaussianProcess",
    "gbdt": "mixlaw.laws.gbdt:Gbdt",
}
"""From the simplest law on; then the regressors."""

_registered: dict[str, LawKind] = {}

Made = TypeVar("Made")


@dataclass(frozen=True)
class LawKind:
    """A law before it is made for domains and a target.

    Attributes:
        name: the name for `--law`.
        law: (domains, target) -> the law; None for a regressor.
        regressor: () -> the regressor; None for a law.
        uses_base: False where runs without tokens are left out, though the law would take them.
    """

    name: str
    law: Callable[..., Any] | None = None
    regressor: Callable[[], Any] | None = None
    uses_base: bool = True

    @property
    def needs_own_domain(self) -> bool:
        """Whether every target must be one of the domains."""
        return bool(getattr(self.law, "needs_own_domain", False))

    @property
    def knows_base(self) -> bool:
        """Whether the law takes runs without tokens: the base model as it is."""
        return self.uses_base and bool(getattr(self.law, "knows_base", False))

    @property
    def equation(self) -> str:
        """The first line of the law's docstring; empty for a regressor."""
        if self.law is None:
            return ""
        return (self.law.__doc__ or "").strip().partition("\n")[0].replace("`", "").rstrip(".")


def register(law: Made, name: str | None = None) -> Made:
    """Register a law or regressor under its name, for this process; usable as a decorator.

    Args:
        law: a class, or a function of the domains and the target.
        name: the name for `--law`; None for the law's own `name`.

    Returns:
        The same object.

    Raises:
        ConfigError: it is neither a law nor a regressor, has no name, or the name belongs to a built-in law.
    """
    kind = _kind_of(law)
    kind = dataclasses.replace(kind, name=name or kind.name)
    if kind.name in (*_BUILT_IN, "auto"):
        raise ConfigError(f"The name '{kind.name}' belongs to a law of mixlaw.", "Give your law another name.")
    _registered[kind.name] = kind
    return law


def names() -> tuple[str, ...]:
    """Return the names of all laws and regressors: built in, from the simplest on, then those of others."""
    return tuple(dict.fromkeys((*_BUILT_IN, *offered(GROUP), *_registered)))


def find(law: Any, folder: Path | None = None) -> LawKind:
    """Return the law with a name, of a class, or like an instance.

    Args:
        law: a name, a class, an instance, or `package.module:Class` (see the module).
        folder: where to look for a module that is not installed; None: the working directory.

    Raises:
        ConfigError: there is no such law, or it cannot be imported.
    """
    if isinstance(law, LawKind):
        return law
    if not isinstance(law, str):
        return _kind_of(law)
    if law in _registered:
        return _registered[law]
    place = _BUILT_IN.get(law) or offered(GROUP).get(law)
    if place is not None:
        return dataclasses.replace(_kind_of(imported(place, "law")), name=law)
    if ":" in law:
        kind = _kind_of(imported(law, "law", folder or Path()))
        # Known by its name from now on, so that a stored fit of this law can be read back.
        if kind.name not in _BUILT_IN:
            _registered[kind.name] = kind
        return kind
    raise ConfigError(
        f"There is no law '{law}'; {suggest(law, ('auto', *names()))}.",
        "Name one of `mixlaw laws`, register your own with `mixlaw.laws.register`, or write package.module:Class.",
    )


def _kind_of(law: Any) -> LawKind:
    """Return the kind of a class, a function or an instance."""
    name = getattr(law, "name", "") or getattr(law, "__name__", "")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"The law {law!r} has no name.", "Give its class an attribute `name`.")
    if callable(getattr(law, "fit", None)) and not hasattr(law, "jacobian"):
        return LawKind(name, regressor=law if isinstance(law, type) else lambda: law)
    if isinstance(law, type):
        return LawKind(name, law=law)
    if all(hasattr(law, member) for member in ("predict", "jacobian", "domains", "target")):
        return LawKind(name, law=_like(law))
    if callable(law):
        return LawKind(name, law=law)
    raise ConfigError(
        f"{law!r} is not a law: it has neither the members of `mixlaw.laws.base.Law` nor a method `fit`.",
        "See docs/laws.md; `mixlaw.testing.check_law` says what a law lacks.",
    )


def _like(law: Any) -> Callable[..., Any]:
    """Return what makes laws like an instance: with its other fields, where it is a dataclass that has such."""
    if dataclasses.is_dataclass(law) and not isinstance(law, type):
        given = {field.name for field in dataclasses.fields(law) if field.init}
        if given > {"domains", "target"}:
            return lambda domains, target: dataclasses.replace(law, domains=domains, target=target)
    return type(law)
