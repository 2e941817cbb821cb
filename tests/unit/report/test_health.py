from __future__ import annotations

from dataclasses import replace

import pytest

from mixlaw.report.health import FAIL, PASS, WARN, health_checks
from mixlaw.report.tables import limits_table


def check(checks, name):
    return next(c for c in checks if c.name == name)


def changed(fit, **fields):
    target = fit.targets["math"]
    if "noise_nats" in fields:
        scatter = replace(target.scatter, sd_nats=fields.pop("noise_nats"))
        fields["belief"] = replace(target.belief, curves=(replace(target.curve, scatter=scatter),))
    return replace(fit, targets={**fit.targets, "math": replace(target, **fields)})


def test_a_good_fit_inside_its_runs_passes_everything_but_the_short_design(material):
    runs, fit, solution = material
    checks = health_checks(fit, runs, solution)
    assert {c.name for c in checks if c.status != PASS} <= {"Signal above the noise"}
    assert all(c.next_step == "" for c in checks if c.status == PASS)


@pytest.mark.parametrize(
    ("fields", "name", "status"),
    [
        ({"cv_mre": 0.06}, "Predicts held-out runs", FAIL),
        ({"cv_mre": 0.04}, "Predicts held-out runs", WARN),
        ({"cv_mre": float("nan")}, "Predicts held-out runs", WARN),
        ({"cv_spearman": 0.1}, "Ranks held-out runs", FAIL),
        ({"status": "not_identifiable"}, "Parameters determined", FAIL),
        ({"at_bound": ("alpha",)}, "No parameter at a bound", WARN),
        ({"noise_nats": 1.0}, "Signal above the noise", FAIL),
    ],
)
def test_a_flaw_of_one_target_is_found_named_and_answered(material, fields, name, status):
    runs, fit, solution = material
    found = check(health_checks(changed(fit, **fields), runs, solution), name)
    assert found.status == status and "math" in found.finding and found.next_step


@pytest.mark.parametrize(
    ("factor", "error", "status"),
    [(1.0, None, PASS), (5.0, None, WARN), (50.0, None, WARN), (5.0, 0.04, WARN), (50.0, 0.04, FAIL)],
)
def test_extrapolation_is_judged_by_its_factor_and_by_how_held_out_runs_are_predicted(material, factor, error, status):
    runs, fit, solution = material
    fit = fit if error is None else changed(fit, cv_mre=error)
    found = check(health_checks(fit, runs, replace(solution, extrapolation_factor=factor)), "Extrapolation")
    assert found.status == status


def test_failed_checks_come_first(material):
    runs, fit, solution = material
    checks = health_checks(changed(fit, cv_mre=0.06, at_bound=("E",)), runs, solution)
    order = [(FAIL, WARN, PASS).index(c.status) for c in checks]
    assert order == sorted(order) and order[0] == 0


def test_an_unproven_solution_fails(material):
    runs, fit, solution = material
    loose = replace(solution, certificate=replace(solution.certificate, gap=0.1))
    assert check(health_checks(fit, runs, loose), "Proof of optimality").status == FAIL


@pytest.mark.parametrize(
    ("chance", "factor", "status"), [(0.9, 1.0, PASS), (0.56, 1.0, WARN), (0.9, 40.0, WARN), (None, 1.0, None)]
)
def test_limits_that_hold_hardly_more_often_than_not_or_beyond_the_runs_are_warned_of(material, chance, factor, status):
    runs, fit, solution = material
    limit = {"target": "math", "reference": "equal", "limit_percent": 5.0, "predicted_percent": 4.9}
    limited = replace(solution, limits=({**limit, "probability_kept": chance},), extrapolation_factor=factor)
    found = {c.name: c for c in health_checks(fit, runs, limited)}.get("Limits of losses")
    assert (found.status if found else None) == status
    if found:
        assert f"math {100 * chance:.0f} %" in found.finding
    (row,) = limits_table(limited).rows
    shown = "–" if chance is None else f"{100 * chance:.0f} %"
    assert [cell.text for cell in row] == ["math", "equal", "+5.0 %", "+4.9 %", shown]


def test_repetition_beyond_four_passes_and_failed_runs_are_warned_of(material):
    runs, fit, solution = material
    often = replace(solution, epochs={**solution.epochs, "code": 9.0})
    checks = health_checks(fit, runs, often, {"failed": [{"run": "chat-2x"}]})
    assert check(checks, "Repetition").status == WARN and "code" in check(checks, "Repetition").finding
    assert "chat-2x" in check(checks, "Failed runs").finding
    assert "2 planned runs failed." in check(health_checks(fit, runs, None, {"runs_failed": 2}), "Failed runs").finding
