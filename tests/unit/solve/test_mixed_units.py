"""Losses are in nats and metrics in units of their own: texts say which, and that a sum mixes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mixlaw.cli import main
from mixlaw.cli.answers import who
from mixlaw.cli.figures import fit_facts, predicted_facts
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import differences_in, losses_in
from mixlaw.fit import Fit
from mixlaw.laws import find
from mixlaw.report import write_report
from mixlaw.report.answer import loss_name
from mixlaw.report.tables import losses_table, parameters_table, perplexity_table, regret_table, runs_table
from mixlaw.solve import solve_mixture
from planted_fits import planted_fit

NAMES = ("a", "b")


def fit(targets: tuple[str, ...], largest: float = 0.6) -> Fit:
    tokens = np.array([[1e6, 1e6], [2e6, 1e6], [1e6, 3e6]])
    scale = np.array([largest if t.startswith("metric:") else 2.0 for t in targets])
    runs = RunTable(("x", "y", "z"), NAMES, targets, tokens, np.array([1.0, 0.9, 0.8])[:, None] * scale)
    points, draws = {}, {}
    for target in targets:
        law = find("chinchilla").law
        assert law is not None
        size = len(law(NAMES, target).parameters)
        points[target] = np.full(size, 0.4)
        draws[target] = np.full((8, size), 0.4)
    judged = {"cv_mre": 0.01, "cv_mre_mean": 0.1}
    return planted_fit("chinchilla", runs, points, draws, **judged)


LOSSES, MIXED, METRICS = ("a", "b"), ("a", "metric:exam"), ("metric:exam",)


@pytest.mark.parametrize(
    ("targets", "losses", "differences"),
    [
        (LOSSES, "nats per supervised token", "nats"),
        ((), "nats per supervised token", "nats"),
        (METRICS, "distance from the metric's best value", "units of the metric"),
        (
            MIXED,
            "nats per supervised token; of metrics the distance from their best value",
            "nats and units of metrics",
        ),
    ],
)
def test_every_text_names_the_unit_of_what_it_shows(targets: tuple[str, ...], losses: str, differences: str) -> None:
    assert (losses_in(targets), differences_in(targets)) == (losses, differences)
    if not targets:
        return
    fitted = fit(targets)
    solution = solve_mixture(fitted, 5e6)
    assert losses in fitted.predict({"a": 1e6}).table()[0]
    assert f"Predicted loss, {losses}" in str(solution)
    assert f"{differences} (95th percentile" in str(solution)
    assert f"noise, {differences}" in fitted.table()[1]
    assert losses in losses_table(fitted, solution).caption
    assert differences in parameters_table(fitted).caption
    assert f"Expected, {differences}" in [name for name, _ in regret_table(solution).columns]
    columns = [name for name, _ in runs_table(fitted.runs, fitted).columns]
    assert [c for c in columns if c.endswith("nats")] == [f"{t}, nats" for t in targets if t in NAMES]


def test_laws_of_metrics_lean_by_no_nats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"r{i},{1e6 + 1e5 * i},{2e6 - 1e5 * i},{0.4 + 0.01 * i}\n" for i in range(6))
    (tmp_path / "runs.csv").write_text("run,tokens:a,tokens:b,metric:exam\n" + rows)
    asked = ["laws", str(tmp_path / "runs.csv"), "--laws", "mean", "--verbose"]
    assert main(asked) == 1 and "no losses (metrics: exam)" in capsys.readouterr().err
    assert main([*asked, "--metric", "exam=higher"]) == 0
    shown = capsys.readouterr().out
    assert "units of the metric" in re.sub(r"\s+", " ", shown) and "nats" not in shown


def test_a_metric_has_no_perplexity_and_no_nats() -> None:
    fitted = fit(MIXED)
    solution = solve_mixture(fitted, 5e6)
    assert [row[0].text for row in perplexity_table(fitted, solution).rows] == ["a", "mean"]
    assert loss_name(solution) == "sum of losses and metrics"
    only = fit(METRICS)
    assert loss_name(solve_mixture(only, 5e6)) == "distance of metric:exam from its best"
    assert "nats" not in str(predicted_facts(only.predict({"a": 1e6}).of_mixture())) + str(fit_facts(only, None))
    assert who({"metric:exam": -0.02}, set(), "equal")[0][1].startswith("distance from the best vs equal: ")
    assert who({"a": -0.02}, set(), "equal")[0][1].startswith("perplexity vs equal: ")


def mixing(fitted: Fit, **wishes: object) -> list[str]:
    return [text for text in solve_mixture(fitted, 5e6, **wishes).warnings if "units of their own" in text]  # type: ignore[arg-type]


def test_a_sum_of_nats_and_scores_is_said_with_the_range_of_each_score_and_the_remedy() -> None:
    (said,) = mixing(fit(MIXED, 60.0))
    assert said.startswith(
        "The objective adds losses in nats and metrics in units of their own: metric:exam (48 to 60 "
    )
    assert said.endswith("Say with target_weight how much each counts.")
    (said,) = mixing(fit(MIXED, 60.0), objective="max")
    assert said.startswith("The objective compares losses in nats and metrics")


def test_one_unit_or_weights_that_were_given_need_no_warning() -> None:
    assert not mixing(fit(LOSSES))
    assert not mixing(fit(METRICS, 60.0))
    assert not mixing(fit(("metric:exam", "metric:quiz")))
    assert not mixing(fit(MIXED), target_weight={"a": 1, "metric:exam": 2})
    assert not mixing(fit(MIXED), target_weight={"a": 1}, objective="max")


def test_shares_and_percent_are_two_units() -> None:
    both = fit(("metric:exam", "metric:quiz"))
    both.runs.losses_RJ[:, 1] *= 100
    (said,) = mixing(both)
    assert said.startswith("The objective adds metrics in units of their own: metric:exam (0.48 to 0.6 from its best")


def test_a_report_of_metrics_alone_never_speaks_of_nats(tmp_path: Path) -> None:
    fitted = fit(METRICS)
    found = {"tokens": {"a": 1e6, "b": 0.0}, "cost": 0.1, "worth": 0.2, "fall_nats": 0.01, "regret_nats": 0.02}
    study = {"next_run": found, "available_tokens": {"a": 9e6, "b": 9e6}}
    solution = solve_mixture(fitted, 5e6)
    files = write_report(tmp_path, runs=fitted.runs, fit=fitted, solution=solution, title="Exam", study=study)
    page = files["html"].read_text(encoding="utf-8")
    shown = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    for text in (shown, files["md"].read_text(encoding="utf-8")):
        assert not re.findall(r".{0,60}\bnats\b.{0,40}", text)
        assert "lower the expected regret of 0.020 units of the metric by 0.010" in text
    assert '"total_unit":"units of the metric"' in page
