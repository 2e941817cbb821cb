from __future__ import annotations

import sys

import pytest

import mixlaw
from mixlaw.core.errors import MissingExtra
from report_examples import example


def test_runs_fit_and_solution_become_data_frames_and_runs_come_back():
    pytest.importorskip("pandas")
    runs, fit = example(["chat", "code"])
    best = mixlaw.solve(fit, budget=4e6)
    frame = runs.to_pandas()
    assert list(frame.index) == list(runs.runs)
    again = mixlaw.load_runs(frame)
    assert again.runs == runs.runs and again.losses == runs.losses and again.tokens == runs.tokens
    assert list(fit.to_pandas().index) == ["chat", "code"]
    weights = best.to_pandas()
    assert weights["weight"].sum() == pytest.approx(1) and weights["weight_equal"].tolist() == [0.5, 0.5]


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    runs, _ = example(["chat", "code"])
    with pytest.raises(MissingExtra, match="pandas"):
        runs.to_pandas()


def test_dir_shows_what_is_meant():
    assert dir(mixlaw) == sorted(mixlaw.__all__)
    assert all(hasattr(mixlaw, name) for name in dir(mixlaw))
