import copy

import numpy as np
import pytest

from mixlaw.report.data_health import (
    FAIL,
    PASS,
    ROW_SPREAD_NATS,
    WARN,
    Overlap,
    data_checks,
    rows_needed,
    rows_table,
    told_nats,
)

SIDE = {"rows": 1_000, "tokens": 100_000}
GOOD = {
    "train": SIDE,
    "validation": {"rows": 500, "tokens": 50_000},
    "read": 1_500,
    "dropped": 0,
    "truncated": 0,
    "lost_tokens": 0,
    "duplicates": 0,
    "copies": 0,
    "held_out_elsewhere": {},
}
NONE_ALIKE = {"near_copies": 0, "near_validation": 0, "phrases": 0, "mostly_known": 0}
APART = Overlap({"chat": 1_500, "math": 1_500}, {})


def checks_with(overlap=APART, likeness=None, **changes):
    domains = {"chat": copy.deepcopy(GOOD), "math": {**copy.deepcopy(GOOD), **changes}}
    alike = {name: {**NONE_ALIKE, **(likeness or {} if name == "math" else {})} for name in domains}
    return data_checks(domains, overlap, alike)


def shared(count):
    return Overlap({"chat": 1_500, "math": 1_000}, {("chat", "math"): count})


def test_good_data_pass_every_check():
    checks = checks_with()
    assert len(checks) == 8 and {c.status for c in checks} == {PASS} and not any(c.next_step for c in checks)


@pytest.mark.parametrize(
    ("changes", "name", "status", "said"),
    [
        ({"dropped": 10}, "Rows without an answer", PASS, "10 of 3,000"),
        ({"dropped": 100}, "Rows without an answer", WARN, "Most in math: 6.7 %"),
        ({"dropped": 1_000}, "Rows without an answer", FAIL, "max_length"),
        ({"truncated": 40, "lost_tokens": 2_000}, "Rows cut", PASS, "40 of 1,500"),
        ({"truncated": 40, "lost_tokens": 50_000}, "Rows cut", WARN, "50k tokens (25.0 %)"),
        ({"truncated": 900, "lost_tokens": 200_000}, "Rows cut", FAIL, "900 of 1,500"),
        ({"copies": 30}, "Exact copies", PASS, "30 rows"),
        ({"copies": 300}, "Exact copies", WARN, "counts once"),
        ({"held_out_elsewhere": {"chat": 10}}, "Held out elsewhere", WARN, "10 of math (chat)"),
        ({"validation": {"rows": 99, "tokens": 9}}, "Validation rows", WARN, "99 rows of math"),
        ({"validation": {"rows": 8, "tokens": 9}}, "Validation rows", FAIL, "0.11 nats"),
        ({"validation": {"rows": 100, "tokens": 9}}, "Validation rows", PASS, "0.03"),
        ({"overlap": shared(5)}, "Domains share conversations", PASS, "chat and math 5"),
        ({"overlap": shared(200)}, "Domains share conversations", WARN, "20 % of the smaller"),
        ({"overlap": shared(1_000)}, "Domains share conversations", WARN, "100 % of the smaller"),
        ({"likeness": {"near_validation": 1}}, "Near copies", PASS, "1 of a validation row"),
        ({"likeness": {"near_validation": 30}}, "Near copies", WARN, "They are kept"),
        ({"likeness": {"near_copies": 900}}, "Near copies", WARN, "900 of 2,000"),
        ({"likeness": {"phrases": 400, "mostly_known": 5}}, "Phrases known from training", PASS, "400 of 1,000"),
        ({"likeness": {"phrases": 400, "mostly_known": 50}}, "Phrases known from training", WARN, "math: 10.0 %"),
    ],
)
def test_what_is_wrong_is_said_with_its_figures_and_a_remedy(changes, name, status, said):
    checks = checks_with(**changes)
    found = next(c for c in checks if c.name == name)
    assert (found.status, said in found.finding, bool(found.next_step)) == (status, True, status != PASS)
    assert all(c.status == PASS for c in checks if c.name != name)
    assert checks[0].name == name or status == PASS  # what is wrong comes first


def test_domains_that_are_the_same_fail_by_name():
    same = Overlap({"chat": 1_000, "math": 1_010}, {("chat", "math"): 990})
    found = checks_with(overlap=same)[0]
    assert found.status == FAIL and "chat and math" in found.finding and found.next_step == "Remove one of them."


@pytest.mark.parametrize(
    ("held", "held_out", "evaluated", "rows", "step"),
    [
        (80, 80, 16, "16 rows of math (80 are held out, train.eval_rows is 16), enough to tell apart mixtures that "
         "differ by 0.075 nats", "Raise train.eval_rows and hold out more rows (validation: {rows: ...}, at most"),
        (300, 300, 16, "16 rows of math (300 are held out", "Raise train.eval_rows. Needed: 100"),
        (80, 80, None, "80 rows of math, enough", "Hold out more rows (validation: {rows: ...}, at most a fifth"),
        (80, 500, None, "80 rows of math, enough", "Add data: a fifth of the domain is held out, which is the most."),
        (80, 500, 80, "80 rows of math, enough", "Raise train.eval_rows and add data"),
        (80, 500, 200, "80 rows of math, enough", "Add data"),
        (1, 500, None, "1 row of math, enough", "Add data"),
    ],
)  # fmt: skip
def test_the_rows_that_are_evaluated_count_and_the_remedy_names_what_gives_more(held, held_out, evaluated, rows, step):
    domains = {"chat": copy.deepcopy(GOOD), "math": {**GOOD, "validation": {"rows": held, "tokens": 9}}}
    found = data_checks(domains, limits={"held_out": held_out, "evaluated": evaluated})[0]
    assert found.name == "Validation rows" and found.finding.startswith(f"Smallest: {rows}")
    assert found.next_step.startswith(step)


def test_a_max_length_that_is_the_models_most_is_not_to_be_raised():
    domains = {"math": {**copy.deepcopy(GOOD), "truncated": 900, "lost_tokens": 200_000, "dropped": 900}}
    for at_longest in (False, True):
        checks = data_checks(domains, limits={"held_out": 500, "evaluated": None, "at_longest": at_longest})
        steps = [check.next_step for check in checks if check.status != PASS]
        assert len(steps) == 2 and all(("Raise train.max_length" in step) != at_longest for step in steps)


def test_data_counted_by_an_earlier_version_have_no_checks():
    assert data_checks({"chat": {"train": SIDE, "validation": SIDE}}) == [] == data_checks({})


def test_rows_needed_are_those_with_two_standard_errors():
    rng = np.random.default_rng(0)
    needed = rows_needed(0.02)
    means = rng.normal(0, ROW_SPREAD_NATS, (20_000, needed)).mean(axis=1)
    assert 2 * means.std() == pytest.approx(0.02, rel=0.03)  # a fixed count, such as 500, would be off by 50 %
    assert told_nats(needed) == pytest.approx(0.02) and rows_needed(0.03) == 100 and rows_needed(0.01) == 900


def test_the_matrix_shows_domains_that_share_and_fits_80_columns():
    names = [f"a domain with a long name {i:02d}" for i in range(30)]
    pairs = {(a, b): 900 for i, a in enumerate(names) for b in names[:i] for a, b in [sorted((a, b))]}
    columns, rows = Overlap({**dict.fromkeys(names, 1_000), "alone": 5}, pairs).matrix()
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    assert len(rows) == 12 and sum(widths) + 2 * (len(widths) - 1) <= 80
    few = Overlap({"b": 100, "a": 1_000, "alone": 7, "c": 10}, {("a", "b"): 60, ("a", "c"): 1})
    assert few.matrix() == (
        ["% in", "1", "2", "3"],
        [["1 b", "", "60", "-"], ["2 a", "6", "", "<1"], ["3 c", "-", "10", ""]],
    )
    assert Overlap.from_json(few.to_json()) == few


def test_the_rows_that_were_read_are_accounted_for():
    domains = {"chat": {**GOOD, "lost_tokens": 50_000, "held_out_elsewhere": {"math": 3, "code": 4}}}
    assert rows_table(domains) == (
        ["domain", "read", "dropped", "cut", "copies", "alike", "elsewhere"],
        [["chat", 1_500, 0, "25.0 %", 0, 0, 7]],
    )
    assert rows_table(domains, {"chat": {**NONE_ALIKE, "near_copies": 9}})[1][0][-1] == 9
