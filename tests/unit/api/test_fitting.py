from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mixlaw.api import fitting
from mixlaw.api.fitting import fit_and_solve, fit_inputs
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from quick_fits import none_held_out


@pytest.fixture(autouse=True)
def quick():
    with none_held_out():
        yield


def table(shift=0.0):
    rng = np.random.default_rng(0)
    tokens = np.exp(rng.uniform(np.log(1e4), np.log(9e4), (9, 2)))
    losses = 3 + 20 * tokens**-0.3 + 0.002 * rng.normal(size=(9, 2)) + shift
    return RunTable(tuple(f"run-{n}" for n in range(9)), ("code", "math"), ("code", "math"), tokens, losses)


class OwnProject:
    """As much of a project as fitting needs."""

    def __init__(self, folder, runs, law="chinchilla"):
        self.study, self.runs = SimpleNamespace(folder=folder), runs
        self.config = SimpleNamespace(fit=SimpleNamespace(law=law, procedure="joint", repetition="auto"))

    def run_table(self):
        return self.runs

    def keep_fit(self, fitted):
        fitted.save(self.study.folder / "fit.json")

    @property
    def fit(self):
        return Fit.load(self.study.folder / "fit.json")

    def solve(self, fitted):
        return SimpleNamespace(to_json=dict)


@pytest.fixture
def count(monkeypatch):
    """How often a fit was made."""
    made = []
    monkeypatch.setattr(fitting, "fit_law", lambda *given, **more: made.append(1) or fit_law(*given, **more))
    monkeypatch.setattr(fitting, "write_document", lambda path, kind, value: written(path, kind, value))
    return made


def written(path, kind, value):
    from mixlaw.core.documents import write_document

    if kind != "solution":  # the solver's own affair
        write_document(path, kind, value)


def test_a_fit_is_made_once_and_read_again_to_the_bit(tmp_path, count):
    first, _ = fit_and_solve(OwnProject(tmp_path, table()))
    again, _ = fit_and_solve(OwnProject(tmp_path, table()))
    assert len(count) == 1 and again.to_json() == first.to_json()


@pytest.mark.parametrize("change", ["runs", "law", "fit.json", "damaged", "gone"])
def test_a_fit_is_made_again_where_anything_has_changed(tmp_path, count, change):
    fit_and_solve(OwnProject(tmp_path, table()))
    runs, law = table(1e-9 if change == "runs" else 0.0), "mean" if change == "law" else "chinchilla"
    if change == "fit.json":
        fit_law(table(0.1), "chinchilla").save(tmp_path / "fit.json")
    if change == "damaged":
        (tmp_path / "fit_inputs.json").write_text("{")
    if change == "gone":
        (tmp_path / "fit.json").unlink()
    fitted, _ = fit_and_solve(OwnProject(tmp_path, runs, law))
    assert len(count) == 2 and fitted.law == law
    fit_and_solve(OwnProject(tmp_path, runs, law))
    assert len(count) == 2


def test_everything_that_determines_a_fit_changes_its_hash():
    runs = table()
    known = [
        fit_inputs(runs, "auto", "joint", "auto"),
        fit_inputs(runs, "transfer", "joint", "auto"),
        fit_inputs(runs, "auto", "published", "auto"),
        fit_inputs(runs, "auto", "joint", 3.0),
        fit_inputs(replace(runs, seeds=tuple("112345678")), "auto", "joint", "auto"),
        fit_inputs(replace(runs, params_R=np.full(9, 1e6)), "auto", "joint", "auto"),
    ]
    assert len(set(known)) == len(known)


def test_a_law_of_the_users_is_fitted_every_time():
    class Own:
        """L = 1."""

    Own.__module__ = "somewhere"
    assert fit_inputs(table(), "transfer", "joint", "auto") is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "find", lambda name: SimpleNamespace(law=Own, regressor=None))
        assert fit_inputs(table(), "own", "joint", "auto") is None
