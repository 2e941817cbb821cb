"""Answers of five lines, tables and commands fit into any terminal, whatever the names, and lose no word of them."""

import io
import shlex
from itertools import pairwise

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import mixlaw.cli.output as output
from mixlaw.cli import answers
from mixlaw.cli.answers import COLUMNS, LINES, fitting, mixture_facts, packed, show_answer, who
from mixlaw.cli.output import command_lines, table


@pytest.fixture(params=[80, 60, 100])
def screen(request, monkeypatch):
    """A terminal of some width; `lines()` is what it shows."""
    file = io.StringIO()

    def console(stderr=False):
        return Console(file=file, force_terminal=True, width=request.param, color_system=None, highlight=False)

    monkeypatch.setattr(output, "_console", console)
    monkeypatch.setattr(answers, "stdout", console)
    file.columns = request.param
    file.lines = lambda: [line.rstrip() for line in file.getvalue().splitlines()]
    return file


def names(count, length, seed=0):
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz_-0123456789"))
    return [f"d{i}-" + "".join(rng.choice(letters, length)) for i in range(count)]


@pytest.mark.parametrize(("count", "length"), [(2, 3), (5, 12), (24, 8), (9, 40)])
def test_a_table_is_never_wider_than_the_terminal_and_keeps_every_cell(screen, count, length):
    columns = ["domain", *names(count, length, 1)]
    rows = [[name, *(f"{1000 * i + j}.5" for j in range(count))] for i, name in enumerate(names(4, length))]
    table("A title of several words that says what the numbers are, in which unit, and of how many runs", columns, rows)
    lines = screen.lines()
    assert max(map(cell_len, lines)) <= screen.columns
    for row in rows:
        for cell in row[1:]:
            assert any(cell in line.split() for line in lines), cell


def test_texts_in_a_table_are_cut_between_words(screen):
    text = "the loss is not finite from step 1200 on, with a learning rate of 0.002 and a batch of 64 conversations"
    table("Runs", ["run", "state", "why"], [["fill-01", "failed", text], ["fill-02", "done", ""]])
    shown = " ".join(" ".join(screen.lines()).split())
    assert all(word in shown.split() for word in text.split())
    assert max(map(cell_len, screen.lines())) <= screen.columns


@pytest.mark.parametrize("count", [1, 3, 12])
def test_a_command_can_be_copied_whatever_its_length(screen, count):
    shares = ",".join(f"{name}=0.123" for name in names(count, 9))
    command = f"mixlaw mix 'my folder/mix one.yaml' --budget 20M --weights {shares} --format parquet"
    lines = command_lines(output.stdout(), command)
    assert all(cell_len(line) + output.LABEL <= screen.columns for line in lines)
    words = shlex.split("\n".join(lines).replace("\\\n", " "))
    given = [word for option, word in pairwise(words) if option == "--weights"]
    assert ",".join(given) == shares
    assert [w for w in words if w != "--weights" and w not in given] == [
        *("mixlaw", "mix", "my folder/mix one.yaml", "--budget", "20M", "--format", "parquet")
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 30])
@pytest.mark.parametrize("length", [4, 30])
def test_every_fact_fits_into_a_line_of_80_columns(count, length):
    rng = np.random.default_rng(count)
    changes = {
        name: float(change) for name, change in zip(names(count, length), rng.normal(0, 0.2, count), strict=True)
    }
    facts = who(changes, set(list(changes)[::3]), "natural")
    facts.append(("x", fitting([f"{answers.named(name)} 12.5 %" for name in changes], after=" of 20M tokens")))
    facts += packed("losses", [f"{answers.named(name)} 2.345 (2.123 to 2.456)" for name in changes], 3)
    for _, text in facts:
        assert len(text) + output.LABEL <= COLUMNS, (len(text), text)
    named = [label for label, _ in facts]
    assert named[:2] == ["gains", "loses"] and len(facts) <= 6


def test_who_gains_and_who_loses_is_told_by_the_sign():
    facts = dict(who({"math": -0.1, "code": 0.02, "chat": -0.001, "metric:mmlu": 0.4}, {"chat"}, "natural"))
    assert facts["gains"] == "perplexity vs natural: math -9.5 % (-0.1 nats), chat -0.10 % (unsure)"
    assert facts["loses"] == "metric:mmlu +0.4, code +2.0 % (+0.02)"
    assert dict(who({"math": -0.1}, set(), "equal"))["loses"] == "none"
    assert dict(who({"math": 900.0}, set(), "equal"))["loses"] == "perplexity vs equal: math +900 nats"


@pytest.mark.parametrize("written", [{}, {"fit": "fit.json"}])
def test_an_answer_has_five_lines_and_leaves_the_cost_out_first(screen, written):
    facts = [("weights", "x" * 60), ("gains", "x" * 60), ("loses", "x" * 60), ("sure", "x" * 60), ("cost", "10 %")]
    show_answer(facts, "mixlaw report " + "y" * 40, written=written)
    lines = screen.lines()
    if screen.columns >= COLUMNS:
        assert len(lines) == LINES and lines[-1].startswith(("next ", "cost ", "wrote "))
        assert ("10 %" in " ".join(lines)) == (not written)
        assert ("fit.json" in " ".join(lines)) == bool(written)
    else:
        assert any(line.startswith("cost ") for line in lines)


def test_what_is_verbose_has_all_lines_and_the_details(screen):
    facts = [(label, "x" * 40) for label in ("weights", "gains", "loses", "sure", "cost")]
    show_answer(facts, "mixlaw report", verbose=True, details=lambda: table("More", ["a"], [["b"]]))
    assert [line.split()[0] for line in screen.lines()] == [
        "weights",
        "gains",
        "loses",
        "sure",
        "cost",
        "More",
        "a",
        "b",
        "next",
    ]


def test_the_answer_says_what_the_tables_say(fit_json):
    from mixlaw.api.numbers import load_fit, solve

    fit = load_fit(fit_json)
    solution = solve(fit, "20M", available=dict.fromkeys(fit.domains, 9e6))
    facts = dict(mixture_facts(fit, solution))
    for name, share in solution.weights.items():
        assert f"{100 * share:.1f} % {name}" in facts["weights"]
    better = solution.baselines["natural"]["probability_better"]
    assert facts["sure"].startswith(("over 99 %", "below 1 %", f"{100 * better:.0f} % likely better than natural"))
    assert "13 runs" in facts["cost"]
    for target, p in solution.predicted.items():
        change = p["mean"] - solution.baselines["natural"]["predicted"][target]["mean"]
        assert target in facts["gains" if change < 0 else "loses"]


def test_where_no_runs_could_be_held_out_no_error_of_them_is_said(mixlaw, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,tokens:a,loss:a\nx,200000,1.9\ny,600000,1.7\nz,2000000,1.55\n")
    result = mixlaw("fit", path, "--law", "transfer")
    assert result.code == 0 and "nan" not in result.stdout, result.stdout
    assert "not known: no runs could be held out" in result.stdout
