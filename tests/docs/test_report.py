"""The technical report and the experiments' pages are what their templates make of the committed results."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from experiments.controlled.against import asked, beside, of_methods

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "report"
MOST_PAGES, MOST_BYTES = 8, 1_000_000
GRID_RESULTS = "experiments/controlled/results.json"
INTERVAL = [0.15, 0.05, 0.25]
CONTROLLED = {
    "cells": 3,
    "failed": 1,
    "cost_percent": 9.7,
    "overall_gap_percent": INTERVAL,
    "domain_gap_percent": [0.9, -0.2, 2.0],
}


@pytest.fixture
def build(monkeypatch):
    monkeypatch.syspath_prepend(REPORT)
    found = importlib.util.spec_from_file_location("build_report", REPORT / "build.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_committed_pages_are_those_of_the_committed_results(build):
    for path, text in build.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make report`"


def test_the_commands_that_pages_name_can_be_begun():
    pages = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "docs").rglob("*.md")
        if path.name not in ("lab.md", "decisions.md")
    ]
    named = {name for page in pages for name in re.findall(r"python -m ((?:experiments|bench)\.[\w.]*\w)", page)}
    assert not [page[:60] for page in pages if re.search(r"python experiments/", page)]  # finds no package
    assert len(named) > 5 and not [name for name in sorted(named) if importlib.util.find_spec(name) is None]


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


def test_pictures_are_of_the_committed_results(build):
    for picture in build.PICTURES:
        if picture.there:
            assert picture.stamp.encode() in (ROOT / picture.path).read_bytes(), f"{picture.path}: run `make report`"


@pytest.mark.parametrize("results", [None, {"grid_runs": {}, "methods": {}}])
def test_what_is_not_there_yet_is_said(build, monkeypatch, results):
    there = build.data
    monkeypatch.setattr(build, "data", lambda path: results if path == GRID_RESULTS else there(path))
    made = build.pages()
    for page in (REPORT / "report.md", ROOT / "docs" / "experiments" / "controlled.md"):
        assert "**Not yet run" in made[page]


def test_results_of_the_controlled_experiment_are_shown_when_there(build, monkeypatch):
    results, there = {"methods": {"1.92M": {"auto-10": CONTROLLED}}}, build.data
    monkeypatch.setattr(build, "data", lambda path: results if path == GRID_RESULTS else there(path))
    made = build.pages()
    rows = {
        REPORT / "report.md": "| auto-10 | 10 | 0.15 (0.05 to 0.25) | 0.90 (−0.20 to 2.00) |",
        ROOT / "docs" / "experiments" / "controlled.md": "| 1.92M | auto-10 | 9.7 | 0.15 (0.05 to 0.25) | 0.90 (",
    }
    for page, row in rows.items():
        assert row in made[page] and "Not yet run" not in made[page]


def test_a_figure_that_a_file_lacks_is_an_error(build, monkeypatch):
    there = build.data
    lacking = {key: found for key, found in there("experiments/stopping/results.json").items() if key != "questions"}
    monkeypatch.setattr(build, "data", lambda path: lacking if "stopping" in path else there(path))
    with pytest.raises(build.jinja2.UndefinedError):
        build.pages()


def tables_are_whole(name, text):
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1 and table.count("\n") > 2, (name, table)


def test_tables_are_whole(build):
    for path, text in build.pages().items():
        tables_are_whole(path.name, text)


def made_up(domains):
    """Return what against.json holds, from made-up losses and answers: `full` is better than the others by .1 nats."""
    losses = {"full": 1.0, "natural": 1.1, "equal": 1.1, "all-medical": 1.1, "base": 3.0}
    losses["full+guarded"] = 1.05
    shifts_S = np.array([0.0, 0.2])
    found = {name: np.full((2, len(domains)), x) + shifts_S[:, None] for name, x in losses.items()}
    bits = {name: "1" * 30 + "0" * 70 if name == "base" else "1" * 40 + "0" * 60 for name in losses}
    answers = {name: [{"pubmedqa": of, "answers_medical": of}] * 2 for name, of in bits.items()}
    it = {"seeds": 2, **beside(found, domains, np.full(len(domains), 1 / len(domains)))}
    for name, mixture in it["mixtures"].items():
        weights = {} if name == "base" else dict.fromkeys(domains, 1 / len(domains))
        mixture |= of_methods([{"weights": weights, "cost": 0.5}] * 2) | {"passes": dict.fromkeys(domains, 2.0)}
    return {"1M": it | {"questions": asked(answers)}}


def test_collections_and_specialised_models_are_shown_when_there(build, monkeypatch):
    there, kept = build.data, ["medical", "code"]
    results = {f"experiments/controlled/{name}/against.json": made_up(kept) for name in ("reweight", "specialised")}
    monkeypatch.setattr(build, "data", lambda path: results.get(path) or there(path))
    made = {path.stem: text for path, text in build.pages().items()}
    assert (
        "| natural | 50 | 1.200 | +0.100 (+0.100 to +0.100) | +0.050 (+0.050 to +0.050) | 40.0 | 40.0 |"
        in made["reweighting"]
    )
    assert "beyond the interval than 3 (natural, equal, all-medical)" in made["reweighting"]
    assert "| medical | 50.0 (50.0 to 50.0) | 50.0 (50.0 to 50.0) | 50.0 |" in made["reweighting"]
    row = "| full | 50.0 (50.0 to 50.0) | 2.0 | 1.100 | +0.100 (+0.100 to +0.100) | medical −64.5 % | 40.0 | 40.0 |"
    assert row in made["specialised"] and "**Not yet run.**" not in made["specialised"]
    for name in ("reweighting", "specialised"):
        tables_are_whole(name, made[name])


def test_insights_are_shown_when_there(build, monkeypatch):
    there, names = build.data, ["a", "b"]
    cells = {target: {source: float(target == source) for source in names} for target in names}
    chance = {"all": 0.5, "all_by_chance": 0.01, "within": -0.5, "within_by_chance": 0.02}
    solved = {budget: dict.fromkeys(names, 0.5) for budget in ("250k", "1M", "4M")}
    insights = {
        "overlap": {"words": 25_000},
        "helps": {"bundled": {"tokens": 120_000, "help": cells}},
        "relation": {"help, bundled; words, 1": chance},
        "weights": {"runs": 138, "largest_run": 130_000.0, "budgets": solved},
        "repeats": {"a": {"2": {"repeated": 2.5, "once": 3.0, "fresh": 2.0, "worth": 0.7}}},
    }
    band = {"mean": [4.0, 3.0, 2.0], "low": [3.0, 2.0, 1.0], "high": [5.0, 4.0, 3.0]}
    law = {"weights": {"instruction": 0.2, "math": 0.3, "code": 0.5}, "runs": 9, "warnings": ["Far."]}
    said = {"foretold": band["mean"], "measured": [4.1, 3.1, 2.1], "error_percent": 3.5, "covered": 1.0}
    gain = {"mean": -0.05, "low": -0.07, "high": -0.03}
    folder = "experiments/controlled/few_steps"
    results = {
        "experiments/insights/insights.json": insights,
        f"{folder}/confirmed.json": {"sized-15@480k#0": {"solution": said, "equal": said}},
        f"{folder}/methods.json": {"sized-15@480k#0": law | {"predicted_of": {"solution": band, "equal": band}}},
        f"{folder}/against.json": {"480k": {"gains": {"sized-15": {"equal": {"mean": gain}}}}},
    }
    monkeypatch.setattr(build, "data", lambda path: results.get(path) or there(path))
    page = next(text for path, text in build.pages().items() if path.name == "insights.md")
    for row in (
        "| a | 1.00 | 0.00 |",
        "| help, bundled; words, 1 | 0.50 (0.010) | −0.50 (0.020) |",
        "| 250k | 50.0 | 50.0 |",
        "| a | 2 | 2.50 | 2.00 | 3.00 | 70 |",
        "| 0 | solution | 20, 30, 50 | 4.00, 3.00, 2.00 | 3.00, 2.00, 1.00 | 5.00, 4.00, 3.00 | 4.10, 3.10, 2.10 |",
        "- Far.",
        "+0.000 (measured +0.000) nats. Over the seeds it is −0.050 (−0.070 to −0.030): nothing was gained",
        "code lies between 1.00 and 3.00 nats, a width of 2.0",
    ):
        assert row in page, row
    tables_are_whole("insights", page)


def test_a_real_models_mixtures_are_shown_when_there(build, monkeypatch):
    there, rows_there, folder = build.data, build.rows, "experiments/controlled/smollm2_grid"
    figures = {"mixtures": 3, "rank_correlation": 0.5, "error": 0.02, "covered": 0.9, "rank_correlations": [1.0, -0.5]}
    key = "sized-90@160k#0"
    results = {
        f"{folder}/confirmed.json": {key: {"cost": 0.9, "seconds": 60, "all": figures}},
        f"{folder}/methods.json": {key: {"weights": {"a": 0.25, "b": 0.75}}},
    }
    losses = {
        f"{folder}/methods.csv": {key: {"loss:a": 1.0, "loss:b": 2.0}, "equal@160k#0": {"loss:a": 1.5, "loss:b": 1.0}},
        f"{folder}/grid.csv": {"drawn-00@160k#0": {"loss:a": 4.0, "loss:b": 2.0, "tokens:a": 7.0}},
    }
    monkeypatch.setattr(build, "data", lambda path: results.get(path) or there(path))
    monkeypatch.setattr(build, "rows", lambda path: losses.get(path) or rows_there(path))
    page = next(text for path, text in build.pages().items() if path.name == "real_model.md")
    lowest_first = (
        "| equal | 1.500 | 1.000 | 1.250 |\n| solution | 1.000 | 2.000 | 1.500 |\n| drawn-00 | 4.000 | 2.000 | 3.000 |"
    )
    assert lowest_first in page
    assert "rank correlations of 1.00, −0.50 (a, b)" in page and "another's loss, 0.50" in page
    assert "`sized-90`: 90 % of the final run; weights of a, b: 25 / 75 %" in page
    tables_are_whole("real_model", page)
