"""A law and a regressor outside the package, those of docs/laws.md: fitted, compared, solved and reported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chromium import NEEDED, browser, open_file, screenshot, until
from mixlaw.config import load_config
from mixlaw.core.errors import ConfigError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing.held_out import compare_laws
from mixlaw.solve import solve_mixture
from mixlaw.testing import LAW_CHECKS, REGRESSOR_CHECKS
from quick_fits import few_folds, points_only, short_draws

__all__ = ["browser"]
HERE = Path(__file__).parent
DOMAINS = ("chat", "math", "code")
# E, b and what a million tokens of each domain are worth.
TRUTH = {"chat": [0.9, 0.2, 8.0, 1.0, 0.5], "math": [0.5, 0.25, 0.4, 6.0, 2.0], "code": [0.6, 0.15, 0.3, 2.0, 9.0]}


@pytest.fixture(scope="module")
def Worth():
    sys.path.insert(0, str(HERE))
    from own_law import Worth

    yield Worth
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def Nearest(Worth):
    from own_regressor import Nearest

    return Nearest


@pytest.fixture(scope="module")
def runs(Worth) -> RunTable:
    rng = np.random.default_rng(4)
    tokens = np.exp(rng.normal(0, 0.8, (24, 3)))
    losses = np.column_stack([Worth(DOMAINS, d).predict(np.array(TRUTH[d]), tokens) for d in DOMAINS])
    losses += 0.002 * rng.standard_normal(losses.shape)
    return RunTable(tuple(f"r{i}" for i in range(24)), DOMAINS, DOMAINS, tokens * 1e6, losses)


@pytest.fixture(scope="module")
def fit(Worth, runs) -> Fit:
    with few_folds(4):
        return fit_law(runs, law=Worth)


@pytest.mark.parametrize("check", LAW_CHECKS, ids=lambda check: check.__name__)
def test_the_law_conforms(Worth, check):
    check(Worth)


@pytest.mark.parametrize("check", REGRESSOR_CHECKS, ids=lambda check: check.__name__)
def test_the_regressor_conforms(Nearest, check):
    check(Nearest)


def test_the_law_is_short_and_takes_nothing_of_mixlaw_but_the_parameter():
    text = (HERE / "own_law.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert re.findall(r"^(?:from|import) (mixlaw\S*) import (.*)$", text, re.MULTILINE) == [
        ("mixlaw.laws.base", "Parameter")
    ]


def test_the_page_prints_the_law_and_the_regressor_as_they_are():
    page = (HERE.parents[1] / "docs" / "laws.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for name in ("own_law.py", "own_regressor.py"):
        assert (HERE / name).read_text(encoding="utf-8") in blocks, f"docs/laws.md prints another {name}"


def test_it_is_recovered_and_predicts_far_beyond_the_runs(Worth, fit):
    far = 20e6 * np.array([[1, 1, 1], [3, 0, 0], [0.2, 0.4, 2.4]])
    truth = np.column_stack([Worth(DOMAINS, d).predict(np.array(TRUTH[d]), far / 1e6) for d in DOMAINS])
    # The mean of the runs is off by 0.2 to 0.5 nats.
    assert np.abs(fit.predict(far).mean - truth).max() < 0.03
    assert set(fit.status.values()) == {"converged"}


@pytest.mark.parametrize("how", ["class", "instance", "module:Class"])
def test_it_is_found_by_class_by_instance_and_by_its_place(Worth, runs, fit, how):
    law = {"class": Worth, "instance": Worth(DOMAINS, "chat"), "module:Class": "own_law:Worth"}[how]
    with points_only():
        again = fit_law(runs, law=law)
    assert again.law == "worth" and again.parameters == fit.parameters


def test_it_is_compared_with_the_laws_of_mixlaw_and_so_is_the_regressor(Worth, Nearest, runs):
    with few_folds(4):
        rows = {row.name: row for row in compare_laws(runs, [Worth, Nearest, "transfer"])}
    assert set(rows) == {"worth", "nearest", "transfer", "mean"}
    # Sources differ, which transfer cannot say.
    assert rows["worth"].mre < 0.5 * rows["transfer"].mre
    assert rows["worth"].mre < rows["nearest"].mre < rows["mean"].mre


def test_it_is_solved_with_a_proof_and_nothing_beats_the_solution(fit):
    solution = solve_mixture(fit, 10e6, min={"chat": 0.1})
    assert solution.certificate.kind == "global" and solution.certificate.gap < 1e-5
    others = 0.9 * np.random.default_rng(0).dirichlet(np.ones(3), 2000) + [0.1, 0, 0]
    weights = np.vstack([[solution.weights[d] for d in DOMAINS], others])
    totals = fit.predict(10e6 * weights).mean.sum(axis=1)
    assert totals[0] <= totals[1:].min() + 1e-6


def test_its_file_is_read_back_where_the_law_is_named(Worth, fit, tmp_path, monkeypatch):
    from mixlaw.core.errors import DataError
    from mixlaw.laws import registry

    fit.save(tmp_path / "fit.json")
    monkeypatch.setattr(registry, "_registered", {})
    with pytest.raises(DataError, match="law 'worth', which is not registered"):
        Fit.load(tmp_path / "fit.json")
    for law in (Worth, "own_law:Worth"):
        again = Fit.load(tmp_path / "fit.json", law)
        assert np.array_equal(again.predict(fit.runs).low, fit.predict(fit.runs).low)


def test_a_regressor_of_ones_own_is_fitted_and_stored(Nearest, runs, tmp_path):
    fit = fit_law(runs, law=Nearest)
    fit.save(tmp_path / "fit.json")
    assert np.array_equal(Fit.load(tmp_path / "fit.json", Nearest).predict(runs).mean, fit.predict(runs).mean)


def said_by_a_process(*words: object, cwd: Path) -> str:
    """Return what a process of its own prints; it knows the module only by its place."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "mixlaw", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def said(Worth, monkeypatch, tmp_path, capsys):
    """Return a function that calls the command line as if in a new process: the law is known only by its place."""
    from mixlaw.cli import main
    from mixlaw.laws import registry

    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> dict:
        monkeypatch.setattr(registry, "_registered", {})
        capsys.readouterr()
        with few_folds(2), short_draws():
            assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_the_command_line_fits_solves_compares_and_reports_with_it(runs, tmp_path, said):
    runs.to_csv(tmp_path / "runs.csv")
    own = "own_law:Worth"
    fitted = said("fit", "runs.csv", "--law", own, "--out", "fit.json")
    assert fitted["law"] == "worth" and set(fitted["parameters"]["chat"]) == {"E", "b", *(f"v[{d}]" for d in DOMAINS)}
    solved = said("solve", "fit.json", "--budget", "10M", "--law", own)
    assert solved["status"] == "optimal" and sum(solved["weights"].values()) == pytest.approx(1)
    laws = said("laws", "runs.csv", "--laws", f"{own},own_regressor:Nearest")
    assert [row["name"] for row in laws["laws"]] == ["worth", "nearest", "mean"]
    written = said("report", "runs.csv", "--law", own, "--budget", "10M")["written"]
    assert "worth" in (tmp_path / written["md"]).read_text(encoding="utf-8")


def test_a_process_that_knows_only_the_laws_place_predicts_with_it(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    words = ("predict", "fit.json", "--tokens", "chat=1M,math=1M,code=1M", "--law", "own_law:Worth", "--json")
    band = json.loads(said_by_a_process(*words, cwd=tmp_path))["predicted"]["chat"]
    assert band["low"] < band["mean_low"] < band["mean"] < band["mean_high"] < band["high"]


def test_the_report_shows_it(fit, runs, tmp_path):
    from mixlaw.report import write_report

    solution = solve_mixture(fit, 10e6)
    files = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="own")
    assert "v[math]" in files["html"].read_text(encoding="utf-8")
    assert "worth" in files["md"].read_text(encoding="utf-8")


@NEEDED
def test_the_explorer_draws_it_from_a_table(browser, fit, runs, tmp_path):
    """In the browser, mean and draws are those of the table in Python, and within its error of the law's."""
    from mixlaw.report import write_report

    solution = solve_mixture(fit, 10e6)
    path = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="own")["html"]
    context, page, wrong = open_file(browser, path)
    until(page, "document.querySelectorAll('.map .run').length > 0")
    screenshot(page, "own-law")
    assert page.get_by_role("slider").count() == 4 and "interpolates between" in page.locator("#explorer").inner_text()
    total = float(page.locator("#explorer-total").inner_text())
    assert total == pytest.approx(solution.total_loss, abs=2e-3)
    code = (
        "tokens => mixlaw.model(JSON.parse(document.getElementById('explorer-data').textContent)).losses(tokens).mean"
    )
    tokens = {"chat": 2e6, "math": 5e6, "code": 1e6}
    found = page.evaluate(code, [tokens[domain] for domain in fit.domains])
    # The losses of other mixtures differ by tenths of a nat.
    assert found == pytest.approx(list(fit.predict(tokens).mean[0]), abs=2e-3)
    page.get_by_role("slider", name="code", exact=True).evaluate(
        "node => { node.value = 90; node.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    until(page, f"Number(document.getElementById('explorer-total').innerText) > {total + 0.05}")
    context.close()
    assert wrong == []


def test_mix_yaml_names_it_and_says_where_a_name_is_wrong(Worth, tmp_path):
    path = tmp_path / "mix.yaml"
    text = (
        "study: study\nmodel: {name_or_path: ./base}\nbudget_tokens: 20M\n"
        "domains: {chat: {path: a.jsonl}, math: {path: b.jsonl}}\n"
    )
    path.write_text(text + "fit: {law: own_law:Worth}\n", encoding="utf-8")
    assert load_config(path).fit.law == "own_law:Worth"
    for law, words in (
        ("own_law:Wroth", "no attribute 'Wroth'"),
        ("own_lwa:Worth", "cannot be imported"),
        ("worht", "no law"),
    ):
        path.write_text(f"{text}fit: {{law: {law}}}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=words) as error:
            load_config(path)
        assert "fit.law" in str(error.value)
