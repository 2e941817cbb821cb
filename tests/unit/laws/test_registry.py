"""A law is found by name, class, instance or place, registered or offered by a package; nothing else is a law."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.laws import find, names, register, registry
from mixlaw.laws.chinchilla import Chinchilla
from mixlaw.laws.gp import GaussianProcess
from mixlaw.laws.transfer import Transfer


class Own(Chinchilla):
    """`L = E + B D^-b`, under another name."""

    name = "own"


@dataclass(frozen=True)
class Kept(Chinchilla):
    """A law with a setting."""

    domains: tuple[str, ...]
    target: str
    power: float = 1.0
    name = "kept"


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def module(monkeypatch):
    found = ModuleType("own_module")
    found.Own, found.number = Own, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_module", found)


def test_the_built_in_names_come_first_from_the_simplest_law_on_and_all_are_found():
    assert names()[:5] == ("mean", "chinchilla", "rectified", "autoscale", "transfer")
    for name in names():
        kind = find(name)
        assert kind.name == name and (kind.law is None) != (kind.regressor is None)
    assert {name for name in names() if find(name).law is None} == {"ridge", "gp", "gbdt"}


def test_a_name_a_class_an_instance_and_a_kind_are_the_same_law():
    for law in ("transfer", Transfer, Transfer(("a", "b"), "a"), find("transfer")):
        kind = find(law)
        assert (kind.name, kind.law) == ("transfer", Transfer)
        assert kind.needs_own_domain
    assert find(GaussianProcess).regressor is GaussianProcess
    one = GaussianProcess()
    made = find(one).regressor
    assert made is not None and made() is one


def test_an_instance_s_settings_go_on_to_the_laws_of_other_targets():
    made = find(Kept(("a", "b"), "a", power=0.5)).law
    assert made is not None
    assert made(("c", "d"), "d") == Kept(("c", "d"), "d", power=0.5)


def test_the_equation_is_the_first_line_of_the_docstring():
    assert find("transfer").equation.startswith("L = C (N + k R^alpha)^-beta + E")
    assert find("gp").equation == ""


def test_a_registered_law_is_known_by_its_name_and_listed():
    assert register(Own) is Own
    assert find("own").law is Own and names()[-1] == "own"
    register(Own, "mine")
    assert find("mine").name == "mine"


@pytest.mark.parametrize("name", ["transfer", "auto"])
def test_a_name_of_mixlaw_cannot_be_taken(name):
    with pytest.raises(ConfigError, match=f"The name '{name}' belongs to a law of mixlaw"):
        register(Own, name)
    assert find("transfer").law is Transfer


def test_a_place_is_imported_and_its_name_known_from_then_on(module):
    with pytest.raises(ConfigError):
        find("own")
    assert find("own_module:Own").law is Own
    assert find("own").law is Own


def test_a_law_offered_by_an_installed_package_is_found_by_its_name(module, monkeypatch):
    point = EntryPoint("offered", "own_module:Own", registry.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == registry.GROUP else [])
    assert "offered" in names()
    kind = find("offered")
    assert (kind.name, kind.law) == ("offered", Own)


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ("tranfser", r"no law 'tranfser'; did you mean 'transfer'"),
        ("own_module:Wrong", "no attribute 'Wrong'"),
        ("no_module:Own", "cannot be imported"),
        ("own_module:number", "has no name"),
        (3.0, "has no name"),
        (None, "has no name"),
    ],
)
def test_what_is_no_law_is_refused(module, law, words):
    with pytest.raises(ConfigError, match=words):
        find(law)


def test_a_value_with_a_name_that_is_neither_law_nor_regressor_is_refused():
    class Thing:
        name = "thing"

    with pytest.raises(ConfigError, match="is not a law"):
        find(Thing())
