from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from light_reports import without_figures
from mixlaw.fit.estimating.regressor import RegressorLaw
from mixlaw.laws import find
from mixlaw.report import write_report
from mixlaw.report.comparison import available_of
from mixlaw.report.explorer import explorer_data, explorer_fit, why_not
from mixlaw.report.matrix import matrix_table, transfer_matrix
from mixlaw.report.page import script_json
from mixlaw.solve.solving import solve_mixture
from quick_fits import few_draws, few_folds
from report_examples import HOSTILE, example
from report_fits import AVAILABLE, planted, solution_of


@pytest.fixture
def bare():
    with without_figures():
        yield


@pytest.fixture
def quick(bare):
    """Fits and reports of which only the words and the weights are read."""
    with few_draws(), few_folds(2):
        yield


def test_the_page_holds_every_draw_of_a_small_fit_and_few_of_a_large_one(material):
    _, fit, solution = material
    assert explorer_data(fit, *_rest(material))["targets"][0]["counts"] == [100]
    runs, large = example([f"d{i}" for i in range(200)])
    data = explorer_data(large, runs, solution_of(large, dict.fromkeys(large.domains, 1 / 200), 10**7), [])
    assert data["targets"][0]["counts"] == [50] and len(script_json(data)) < 1_500_000
    drawn = explorer_fit(fit, solution).targets["chat"].curve.draws_SP
    np.testing.assert_allclose(drawn, fit.targets["chat"].curve.draws_SP, rtol=1e-8)


def _rest(material):
    runs, _, solution = material
    return runs, solution, []


def test_names_in_the_explorer_s_data_cannot_end_its_script():
    runs, fit = example([HOSTILE, "</script>"])
    text = script_json(explorer_data(fit, runs, solve_mixture(fit, 2e6), []))
    assert "<" not in text and json.loads(text)["domains"][0]["name"] == HOSTILE


def test_what_the_browser_cannot_evaluate_is_said(material):
    _, fit, solution = material
    assert why_not(fit, solution) == ""
    law = RegressorLaw.of(find("gbdt"), fit.runs, "chat")
    blind = {name: replace(t, belief=t.belief.with_laws(lambda _: law)) for name, t in fit.targets.items()}
    assert "'gbdt' has no equation" in why_not(replace(fit, law="gbdt", targets=blind), solution)
    assert "--budget" in why_not(fit, None)


def test_the_supplies_are_those_that_the_solution_was_solved_with(material):
    _, _, solution = material
    assert available_of(solution) == pytest.approx({"chat": 12e6, "code": 3e6, "math": 5e6}, rel=1e-5)
    assert available_of(solution, {"available_tokens": {"chat": 1}}) == {"chat": 1.0}


@pytest.mark.parametrize("law", ["transfer", "pairwise"])
def test_the_matrix_is_the_law_s_own_answer_and_its_intervals_hold_it(law):
    fit = planted(law, interference=law == "pairwise")
    solution = solve_mixture(fit, 4e6, available=AVAILABLE)
    matrix = transfer_matrix(fit, solution)
    assert matrix.step_tokens == 400_000
    more = dict(solution.tokens) | {"code": solution.tokens["code"] + 400_000}
    expected = fit.predict(more).mean[0] / fit.predict(solution.tokens).mean[0] - 1
    found = [matrix.changes[target]["code"] for target in fit.targets]
    assert [c.mean for c in found] == pytest.approx(list(expected), rel=1e-9)
    assert all(c.low <= c.mean <= c.high for c in found) and any(c.has_interval for c in found)
    assert matrix.changes["code"]["code"].mean < 0
    table = matrix_table(matrix)
    assert len(table.rows) == 3 and table.rows[1][2].tone.startswith("help") and "own" in table.rows[1][2].tone


def test_interference_shows_as_harm():
    fit = planted("pairwise")
    harm = {"t": 1e-3, "h": 0.2}
    for fitted in fit.targets.values():
        for p, name in enumerate(fitted.curve.names):
            if (value := harm.get(name.partition("[")[0])) is not None:
                fitted.curve.theta_P[p], fitted.curve.draws_SP[:, p] = value, value
    matrix = transfer_matrix(fit, solution_of(fit, {"chat": 0.4, "code": 0.3, "math": 0.3}, 4_000_000))
    assert matrix.changes["math"]["code"].sure and matrix.changes["math"]["code"].mean > 0
    assert matrix_table(matrix).rows[2][2].tone.startswith("hurt")


@pytest.mark.usefixtures("bare")
def test_gains_count_repeats_as_the_solution_does(tmp_path):
    fit = planted("pairwise", decay=2.0)
    solution = solve_mixture(fit, 2e7, available=AVAILABLE)
    files = write_report(tmp_path, runs=fit.runs, fit=fit, solution=solution, title="t")
    change = json.loads(files["json"].read_text())["change_of_total"]["natural"]["mean"]
    assert change == pytest.approx(solution.total_loss / solution.baselines["natural"]["total_loss"] - 1, rel=1e-9)


def test_pictures_and_logs_lie_beside_the_text(tmp_path, material):
    runs, fit, solution = material
    logs = {runs.runs[0]: [(1, 2.0), (2, 1.5)], runs.runs[1]: [(1, 2.0)]}
    files = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="$a$ b", logs=logs, notes=["Note."])
    text = files["md"].read_text()
    for name in ("weights", "losses", "budget", "curves", "measured", "marginal"):
        assert f"](figures/{name}.png)" in text
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = files["html"].read_text()
    assert "Training logs of 1 run<" in page and "run-0 · 1.98M tokens · 2 steps · 1.500 nats" in page
    assert "Note." in text and json.loads(files["json"].read_text())["answer_notes"][0] == "Note."


@pytest.mark.usefixtures("quick")
def test_a_bare_run_table_is_fitted_solved_and_the_budget_said(tmp_path, material):
    from mixlaw.api.files import report

    runs, _, _ = material
    runs.to_csv(tmp_path / "runs.csv")
    files = report(tmp_path / "runs.csv")
    assert files["html"] == tmp_path / "runs-report" / "report.html"
    assert "No budget was given: the weights are for 3.3M tokens" in files["md"].read_text()
    again = report(tmp_path / "runs.csv", tmp_path / "other", "20M", law="transfer")
    value = json.loads(again["json"].read_text())
    assert value["solution"]["budget"] == 20_000_000 and "No budget" not in again["md"].read_text()


@pytest.mark.usefixtures("quick")
def test_a_run_table_is_reported_with_the_law_and_the_procedure_that_are_named(tmp_path, material):
    from mixlaw.api.files import report

    material[0].to_csv(tmp_path / "runs.csv")
    for law, procedure in (("pairwise", "joint"), ("transfer", "own_curve")):
        files = report(tmp_path / "runs.csv", tmp_path / law, "20M", law=law, procedure=procedure)
        fit = json.loads(files["json"].read_text())["fit"]
        assert (fit["law"], fit["procedure"]) == (law, procedure)


def test_a_study_s_report_takes_no_law(tmp_path):
    from mixlaw.api.files import report
    from mixlaw.core.errors import ConfigError

    (tmp_path / "mix.yaml").write_text(
        "study: s\nmodel: {name_or_path: ./base}\nbudget_tokens: 20M\n"
        "domains: {a: {path: a.jsonl}, b: {path: b.jsonl}}\n"
    )
    with pytest.raises(ConfigError, match=r"fit: \{law:"):
        report(tmp_path / "mix.yaml", law="pairwise")
