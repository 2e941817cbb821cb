"""Colours and live lines: on terminals only, NO_COLOR and FORCE_COLOR honoured; one line a worker."""

import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

import mixlaw as package
from mixlaw.cli.progress import SweepLine
from mixlaw.study.status import RunEvent

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")
PLAIN = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")} | {
    "TERM": "xterm-256color"
}


def in_terminal(*arguments, **more):
    """Run the command line in a pseudo-terminal and return what it showed."""
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "mixlaw", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=PLAIN | more)
    os.close(inner)
    shown, end = b"", time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([outer], [], [], 0.2)[0]:
            try:
                part = os.read(outer, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
        elif process.poll() is not None:
            break
    process.wait(timeout=60)
    os.close(outer)
    return shown.decode(errors="replace")


PREDICT = ("--tokens", "chat=2M,math=1M,code=1M")


def test_a_terminal_gets_colours_and_no_color_takes_them_away(fit_json):
    arguments = ("predict", fit_json, *PREDICT)
    assert COLOUR.search(in_terminal(*arguments))
    assert not COLOUR.search(in_terminal(*arguments, NO_COLOR="1"))


def test_a_pipe_gets_colours_only_when_forced(fit_json):
    command = [sys.executable, "-m", "mixlaw", "predict", str(fit_json), *PREDICT]

    def piped(**more):
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=PLAIN | more).stdout

    assert "\x1b" not in piped()
    assert COLOUR.search(piped(FORCE_COLOR="1"))


@pytest.mark.parametrize("arguments", [("--help",), ("solve", "--help")])
def test_help_has_colours_on_terminals_only(arguments):
    assert "\x1b" in in_terminal(*arguments)
    done = subprocess.run([sys.executable, "-m", "mixlaw", *arguments], capture_output=True, text=True, env=PLAIN)
    assert "\x1b" not in done.stdout


def test_json_stays_bare_in_a_terminal(fit_json):
    shown = in_terminal("predict", fit_json, *PREDICT, "--json")
    assert shown.startswith("{") and "\x1b" not in shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def event(kind, run, done=0, **more):
    state = {"runs_done": done, "runs_total": 3, "tokens_done": 10.0 * done, "tokens_total": 30, "eta_s": 65.0}
    return RunEvent(kind, run, **(state | more))


def lines_of(shown):
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.replace("\r", "").splitlines()]


@pytest.fixture
def long_names(mix_yaml):
    """Domains with the names of a collection, long questions, and a format with a long name."""
    text = mix_yaml.read_text()
    for domain, name in (("chat", "personahub_code_v2_34999-of-ai2"), ("math", "tulu-3-sft-personas-math-grade")):
        data = mix_yaml.parent / "data" / f"{domain}.jsonl"
        rows = [
            {"prompt": f"{domain} {'question ' * 14}{i}?", "completion": f"{'answer ' * 14}{i}."} for i in range(80)
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = text.replace(f"  {domain}:", f"  {name}:")
    mix_yaml.write_text(text)
    return mix_yaml


def test_what_check_shows_fits_into_80_columns_and_loses_nothing(long_names):
    lines = lines_of(in_terminal("check", long_names, "--verbose", COLUMNS="80"))
    assert "next     mixlaw run" in "".join(lines)
    own = [line for line in lines if str(long_names.parent) not in line and not line.startswith("next")]
    assert [line for line in own if len(line) > 80] == []
    # Names and numbers stay whole, and every line of an answer has its mark.
    table = lines[lines.index("Domains") + 2 : lines.index("Rows read, dropped and cut")]
    assert [line.split()[0] for line in table[:2]] == [
        "personahub_code_v2_34999-of-ai2",
        "tulu-3-sft-personas-math-grade",
    ]
    marked = [line for line in lines if "answer answer" in line]
    assert len(marked) > 2 and all(line.startswith("▌ ") for line in marked)


def test_a_table_is_whole_in_a_pipe(long_names, mixlaw):
    shown = mixlaw("check", long_names, "--verbose").stdout
    assert re.search(r"^personahub_code_v2_34999-of-ai2 +prompt_completion +\d+ ", shown, re.MULTILINE)


def test_check_of_a_model_says_in_80_columns_what_ends_answers(tmp_path):
    base = Path(package.__file__).parent / "demo" / "tiny_base"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(base / name, tmp_path)
    template = (tmp_path / "chat_template.jinja").read_text()
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('" + "no system prompt " * 6 + "') }}{% endif %}"
    (tmp_path / "chat_template.jinja").write_text(refusal + template)
    lines = lines_of(in_terminal("check", "--model", tmp_path, COLUMNS="80"))
    assert "Answers end with <|im_end|>." in lines
    assert [line for line in lines if len(line) > 80 and str(tmp_path) not in line] == []
    assert "".join(lines).count("no system prompt") >= 3


def test_each_worker_has_a_line_with_its_loss_and_the_time_left():
    screen = Terminal()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with SweepLine(console=console) as line:
        line(event("started", "fill-1", running=("fill-1",)))
        line(event("started", "fill-2", running=("fill-1", "fill-2")))
        line(event("progress", "fill-1", step=3, steps=12, loss=2.5, running=("fill-1", "fill-2")))
        line(event("progress", "fill-2", step=12, steps=12, loss=3.25, running=("fill-1", "fill-2")))
        line._progress.refresh()
        lines = screen.getvalue().splitlines()
        line(event("finished", "fill-2", done=1, losses={"math": 1.5}, running=("fill-1",)))
    first = next(text for text in reversed(lines) if "fill-1" in text)
    second = next(text for text in reversed(lines) if "fill-2" in text)
    assert "25%" in first and "loss 2.500" in first and "left" in first
    assert "loss 3.250" in second and "evaluating" in second
    assert any("0/3 runs" in text and "1 min 5 s left" in text for text in lines)
    assert "done fill-2: math 1.500" in screen.getvalue()


def test_without_a_terminal_finished_runs_are_plain_lines():
    screen = io.StringIO()
    with SweepLine(
        console=Console(file=screen, force_terminal=True, width=200, highlight=False)
    ) as line:  # as with FORCE_COLOR
        line(event("finished", "fill-2", done=1, losses={"math": 1.5}))
    assert screen.getvalue().count("\n") == 1
    assert "1/3 runs, 10 tokens  fill-2: math 1.500 1 min 5 s left" in screen.getvalue()


def test_watch_shows_a_finished_study_once_and_says_what_is_next(mixlaw, mix_yaml, monkeypatch):
    mixlaw("plan", mix_yaml)
    states = iter((("pending", "running"), ("running", "done"), ("done", "done")))

    def status(config):
        from mixlaw.study.status import RunStatus

        return [RunStatus(f"fill-{i}", f"fill-{i}-0", state, 10) for i, state in enumerate(next(states))]

    monkeypatch.setattr("mixlaw.api.sweep.status", status)
    monkeypatch.setattr("mixlaw.cli.sweep._WATCH_EVERY_S", 0.0)
    result = mixlaw("status", mix_yaml, "--watch", "--json")
    assert [run["state"] for run in result.json["runs"]] == ["done", "done"]
