from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from light_reports import alike_figures, empty_files, without_figures
from mixlaw.core.errors import DataError, MissingExtra
from mixlaw.report import write_report
from mixlaw.report.budgets import solution_path
from mixlaw.report.document import json_ready
from mixlaw.report.markdown import escaped
from mixlaw.report.page import script_json
from mixlaw.solve.solving import solve_mixture
from report_examples import HOSTILE, example

VOID = {"meta", "br", "link", "img", "input", "hr"}


@pytest.fixture
def empty():
    with empty_files():
        yield


@pytest.fixture
def bare():
    with without_figures():
        yield


class Reader(HTMLParser):
    """Collects tags, and fails on an element that is closed out of order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.mark.usefixtures("bare")
def test_three_files_say_the_same_answer(tmp_path, material):
    runs, fit, solution = material
    study = {"model": "tiny", "wall_s": 252, "commands": ["mixlaw run mix.yaml"], "versions": {"mixlaw": "0.1.0"}}
    files = write_report(tmp_path / "new", runs=runs, fit=fit, solution=solution, title="Bot", study=study)
    assert set(files) == {"html", "md", "json"} and all(path.stat().st_size < 1_000_000 for path in files.values())
    value = json.loads(files["json"].read_text())
    assert value["answer"] in files["md"].read_text()
    assert value["answer"].replace(" %", "\u00a0%") in files["html"].read_text()
    assert value["solution"]["weights"] == pytest.approx(dict(solution.weights))
    assert value["cost"] == {"runs": 13, "tokens": float(runs.totals_R.sum()), "wall_s": 252.0}
    assert [row["run"] for row in value["runs"]] == list(runs.runs)
    assert {"status", "name", "finding", "next_step"} == set(value["health"][0])


@pytest.mark.usefixtures("empty")
def test_the_page_is_well_formed_and_loads_nothing(tmp_path, material):
    runs, fit, solution = material
    reader = read(write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="Bot", study=None)["html"])
    assert not {"link", "img", "iframe", "object"} & set(reader.tags)
    assert not [a for a in reader.attributes if a[1] in ("src", "srcset") or a[1].startswith("on")]
    links = [value for tag, name, value in reader.attributes if tag == "a" and name == "href"]
    assert links and all(value.startswith("#") for value in links)
    assert reader.tags.count("h1") == 1 and reader.tags.count("caption") == reader.tags.count("table") > 4
    identifiers = [value for _, name, value in reader.attributes if name == "id"]
    assert len(set(identifiers)) == len(identifiers)
    assert all(value[1:] in identifiers for tag, name, value in reader.attributes if tag == "a" and name == "href")


def test_hostile_names_stay_text_in_page_script_and_markdown(tmp_path):
    domains = [HOSTILE, "</script><script>alert(2)</script>", "a|b*c`d"]
    runs, fit = example(domains)
    fit = replace(fit, warnings=(f"{HOSTILE}: E ended at a bound.",))
    solution = solve_mixture(fit, 5e6)
    study = {"commands": [f"echo ``` {HOSTILE}"], "note": HOSTILE, "failed": [HOSTILE]}
    files = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title=HOSTILE, study=study)
    reader = read(files["html"])
    assert reader.tags.count("script") == 4 and "img" not in reader.tags
    text = files["md"].read_text()
    outside = re.sub(r"^````\n.*?^````$", "", text, flags=re.S | re.M)
    assert "<img" not in outside and "<script" not in outside
    header = next(line for line in outside.splitlines() if line.startswith("| Domain"))
    row = next(line for line in outside.splitlines() if line.startswith("| a\\|b"))
    assert len(re.findall(r"(?<!\\)\|", header)) == len(re.findall(r"(?<!\\)\|", row))


@pytest.mark.usefixtures("bare")
def test_the_data_in_the_page_is_the_data_beside_it(tmp_path):
    runs, fit = example([HOSTILE, "</script>"])
    files = write_report(tmp_path, runs=runs, fit=fit, solution=None, title="x\u2028y", study=None)
    inside = re.search(r'id="report-data">(.*?)</script>', files["html"].read_text(), re.S)
    beside = json.loads(files["json"].read_text())
    assert beside.pop("sha256") and inside and json.loads(inside[1]) == beside


@pytest.fixture
def alike():
    with alike_figures():
        yield


@pytest.mark.usefixtures("alike")
def test_a_page_of_many_runs_and_domains_stays_under_five_megabytes(tmp_path):
    runs, fit = example([f"a domain with a long name {i}" for i in range(40)])
    many = runs.take(np.tile(np.arange(len(runs)), 6))
    many = replace(many, runs=tuple(f"run-{i}" for i in range(len(many))))
    solution = solve_mixture(fit, 2e7)
    path = [replace(solution, budget_tokens=n * 10_000_000) for n in (1, 2, 4, 8, 16, 32, 64)]
    files = write_report(tmp_path, runs=many, fit=fit, solution=solution, title="t", study=None, path=path)
    assert files["html"].stat().st_size < 5_000_000
    text = files["html"].read_text()
    assert f"{len(many)} runs. The table has 250 of them" in text
    assert len(json.loads(files["json"].read_text())["runs"]) == len(many)


def test_script_json_has_no_character_that_could_end_the_script():
    assert script_json({"a": "</script>&\u2028"}) == '{"a":"\\u003c/script\\u003e\\u0026\\u2028"}'


def test_json_ready_keeps_numbers_and_drops_what_json_cannot_say():
    value = json_ready({"a": np.array([1.5, np.nan]), 2: np.int64(3), "b": (np.True_, float("inf")), "c": {4}})
    assert value == {"a": [1.5, None], "2": 3, "b": [True, None], "c": [4]}


def test_markdown_text_makes_no_link_mention_or_emphasis():
    assert escaped("a_b") == "a_b"
    assert escaped("_a_ *b* @me") == r"\_a\_ \*b\* &#64;me"
    assert "https:" not in escaped("https://example.org") and "www." not in escaped("www.example.org")
    assert escaped("a\nb") == "a b"


def test_a_report_without_solution_study_or_cross_validation_still_says_what_is_known(tmp_path):
    runs, fit = example(["a", "b"], spread=0.0)
    nan = float("nan")
    fit = replace(
        fit, targets={t: replace(f, cv_mre=nan, cv_mre_mean=nan, cv_spearman=nan) for t, f in fit.targets.items()}
    )
    runs.losses_RJ[0, 0] = np.nan
    files = write_report(tmp_path, runs=runs, fit=fit, solution=None, title="t", study=None)
    text = files["html"].read_text()
    assert 'id="curves"' in text and 'id="weights"' not in text and ">nan" not in text
    read(files["html"])


@pytest.mark.usefixtures("bare")
def test_the_path_is_solved_under_the_bounds_of_the_study(tmp_path):
    runs, fit = example(["a", "b", "c"])
    solution = solve_mixture(fit, 5e6, min={"b": 0.5})
    study = {"config": {"solve": {"min": {"b": 0.5}}}}
    files = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="t", study=study)
    path = json.loads(files["json"].read_text())["path"]
    assert len(path) == 7 and all(step["weights"]["b"] >= 0.5 - 1e-6 for step in path)
    other = {"config": {"solve": {"min": {"b": 0.9}}}}
    assert solution_path(fit, solution, other) == []


def test_runs_of_other_domains_are_refused_and_nothing_is_written(tmp_path, material):
    _, fit, solution = material
    runs, _ = example(["chat", "code"])
    with pytest.raises(DataError, match="lacks the domain 'math'"):
        write_report(tmp_path / "out", runs=runs, fit=fit, solution=solution, title="t", study=None)
    assert not (tmp_path / "out").exists()


def test_a_missing_jinja_is_one_clear_error_before_anything_is_written(tmp_path, material, monkeypatch):
    runs, fit, solution = material
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="mixlaw\\[report\\]"):
        write_report(tmp_path / "out", runs=runs, fit=fit, solution=solution, title="t", study=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("empty")
def test_the_same_report_twice_is_the_same_to_the_byte(tmp_path, material):
    runs, fit, solution = material
    once, again = (
        write_report(tmp_path / n, runs=runs, fit=fit, solution=solution, title="t", study=None) for n in "ab"
    )
    assert all(once[kind].read_bytes() == again[kind].read_bytes() for kind in once)


@pytest.mark.usefixtures("empty")
def test_points_lead_to_rows_and_rows_to_the_folders_of_their_runs(tmp_path, material):
    runs, fit, solution = material
    study = {"run_folders": {"run-0": "../runs/run-0-1234/"}}
    reader = read(write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="t", study=study)["html"])
    links = [value for tag, name, value in reader.attributes if tag == "a" and name == "href"]
    assert links.count("../runs/run-0-1234/") == 1
    rows = {value for _, name, value in reader.attributes if name == "data-row"}
    assert rows == {f"run-{r + 1}" for r in range(len(runs))}
    assert rows <= {value for _, name, value in reader.attributes if name == "id"}


def test_the_mean_perplexity_is_that_of_the_exponentials(material):
    from mixlaw.report.tables import mean_perplexity, perplexity_table

    _, fit, solution = material
    assert mean_perplexity({"a": np.log(2), "b": np.log(8)}, {}) == pytest.approx(5)
    assert mean_perplexity({"a": np.log(2), "b": np.log(8)}, {"a": 3.0}) == pytest.approx(3.5)
    assert np.isnan(mean_perplexity({"a": 800.0}, {}))
    rows = perplexity_table(fit, solution).rows
    assert [row[0].text for row in rows] == [*fit.targets, "mean"]


@pytest.mark.usefixtures("bare")
def test_a_law_whose_predictions_are_no_numbers_to_show_is_reported_all_the_same(tmp_path, material):
    runs, fit, solution = material
    lost = {target: {**found, "mean": 2.5, "high": 9000.0} for target, found in solution.predicted.items()}
    files = write_report(tmp_path, runs=runs, fit=fit, solution=replace(solution, predicted=lost), title="t", study={})
    shown = json.loads(files["json"].read_text())["solution"]["perplexity"]
    assert all(one["mean"] == pytest.approx(np.exp(2.5)) and one["high"] is None for one in shown.values())


@pytest.mark.usefixtures("bare")
def test_the_next_run_is_said_with_its_cost_and_its_worth(tmp_path, material):
    from mixlaw.api.next_run import next_run_of

    runs, fit, solution = material
    study = next_run_of(fit, solution)
    found = study["next_run"]
    assert sum(found["tokens"].values()) / solution.budget_tokens == pytest.approx(found["cost"])
    assert 0 < found["fall_nats"] <= found["regret_nats"] == solution.expected_regret["mean"]
    text = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="t", study=study)["html"].read_text()
    assert ('id="next"' in text and "It is worth its cost." in text) or "It is not worth its cost." in text
