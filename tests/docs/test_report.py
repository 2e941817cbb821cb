"""The technical report and the experiments' pages are what their templates make of the committed results."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "report"
MOST_PAGES, MOST_BYTES = 8, 1_000_000
INTERVAL = [0.15, 0.05, 0.25]
CONTROLLED = {
    "cells": 3,
    "failed": 1,
    "cost_percent": 9.7,
    "overall_gap_percent": INTERVAL,
    "domain_gap_percent": [0.9, -0.2, 2.0],
}


@pytest.fixture
def build():
    found = importlib.util.spec_from_file_location("build_report", REPORT / "build.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_committed_pages_are_those_of_the_committed_results(build):
    for path, text in build.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make report`"


def test_every_experiment_with_results_has_a_page():
    pages = {path.stem for path in (ROOT / "docs" / "experiments").glob("*.md")}
    assert pages >= {path.parent.name for path in (ROOT / "experiments").glob("*/results.json")}


def test_the_pdf_is_of_this_text_and_short(build):
    printed = (REPORT / "report.pdf").read_bytes()
    text = (REPORT / "report.md").read_text(encoding="utf-8")
    assert build.title(text).encode() in printed, "run `make report`"
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= MOST_PAGES
    assert len(printed) < MOST_BYTES
    assert b"file://" not in printed


@pytest.mark.parametrize("results", [None, {"grid_runs": {}, "methods": {}}])
def test_what_is_not_there_yet_is_said(build, monkeypatch, results):
    there = build.data
    monkeypatch.setattr(build, "data", lambda path: results if "controlled" in path else there(path))
    made = build.pages()
    for page in (REPORT / "report.md", ROOT / "docs" / "experiments" / "controlled.md"):
        assert "**Not yet run" in made[page]


def test_results_of_the_controlled_experiment_are_shown_when_there(build, monkeypatch):
    results, there = {"methods": {"1.92M": {"auto-10": CONTROLLED}}}, build.data
    monkeypatch.setattr(build, "data", lambda path: results if "controlled" in path else there(path))
    made = build.pages()
    row = "| 1.92M | auto-10 | 9.7 | 0.15 (0.05 to 0.25) | 0.90 (−0.20 to 2.00) |"
    for page in (REPORT / "report.md", ROOT / "docs" / "experiments" / "controlled.md"):
        assert row in made[page] and "Not yet run" not in made[page]


def test_a_figure_that_a_file_lacks_is_an_error(build, monkeypatch):
    there = build.data
    lacking = {key: found for key, found in there("experiments/stopping/results.json").items() if key != "questions"}
    monkeypatch.setattr(build, "data", lambda path: lacking if "stopping" in path else there(path))
    with pytest.raises(build.jinja2.UndefinedError):
        build.pages()


def test_tables_are_whole(build):
    for path, text in build.pages().items():
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            columns = {line.count("|") for line in table.splitlines()}
            assert len(columns) == 1 and table.count("\n") > 2, (path.name, table)
