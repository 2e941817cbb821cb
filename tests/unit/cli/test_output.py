"""What the command line promises: exit codes, one JSON object on stdout, keys, and no markup from user text."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

import mixlaw.cli as cli
from mixlaw.api.files import example_config
from mixlaw.study.status import RunStatus
from quick_fits import few_draws, few_folds

VERBS = (
    *("init", "check", "run", "demo", "plan", "train", "status", "adopt"),
    *("fit", "laws", "solve", "predict", "mix", "export", "compare", "final", "eval", "report"),
)


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mixlaw", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_all_verbs_are_there_with_help_example_and_json(mixlaw):
    listed = mixlaw("--help")
    assert listed.code == 0
    for verb in VERBS:
        assert re.search(rf"^. {verb} ", listed.stdout, re.MULTILINE), verb
        text = mixlaw(verb, "--help").stdout
        assert f"$ mixlaw {verb}" in text.partition("Examples")[2] and "--json" in text, verb


def test_without_a_verb_the_help_is_shown(mixlaw):
    assert mixlaw().stdout == mixlaw("--help").stdout and mixlaw().code == 0


def test_the_version_is_printed(mixlaw):
    assert mixlaw("--version").stdout.strip() == "mixlaw 0.1.0"


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["fit"], ["solve", "a", "b"], ["fit", "a", "--nosuch"], ["train", "x", "--workers", "0"]]
)
def test_usage_errors_exit_with_2_and_one_line(mixlaw, arguments):
    result = mixlaw(*arguments)
    assert result.code == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "--help" in result.stderr
    as_json = mixlaw(*arguments, "--json")
    assert as_json.code == 2 and as_json.json["error"]["code"] == "usage"


def test_fit_prints_the_promised_keys(mixlaw, runs_csv):
    with few_draws(), few_folds(2):
        result = mixlaw("fit", runs_csv, "--json")
    value = result.json
    assert result.code == 0 and result.stderr == ""
    promised = {"law", "domains", "targets", "runs", "status", "parameters", "noise", "diagnostics", "warnings"}
    assert promised <= set(value)
    assert value["domains"] == ["chat", "math", "code"] and value["runs"] == 13
    assert set(value["parameters"]["math"]) == {"C", "k", "alpha", "beta", "E"}
    assert {"cv_mre", "cv_spearman", "identifiable", "at_bound"} <= set(value["diagnostics"]["math"])


def test_solve_prints_the_promised_keys(mixlaw, fit_json):
    result = mixlaw("solve", fit_json, "--budget", "20M", "--available", "chat=9M,math=9M,code=9M", "--json")
    value = result.json
    assert result.code == 0
    assert value["status"] == "optimal" and sum(value["weights"].values()) == pytest.approx(1)
    assert set(value["predicted"]["chat"]) == {"mean", "low", "high", "mean_low", "mean_high"}
    assert set(value["expected_regret"]) == {"mean", "p95"}
    assert {"equal", "natural"} == set(value["baselines"]) and "total_loss" in value["baselines"]["equal"]
    assert {"kkt_residual", "gap"} <= set(value["certificate"])
    promised = {"budget", "tokens", "epochs", "marginal", "extrapolation_factor", "warnings"}
    assert promised <= set(value) and value["budget"] == 20_000_000


def test_solve_keeps_to_caps_floors_and_target_weights(mixlaw, fit_json):
    solve = ("solve", fit_json, "--budget", "20M", "--json")
    free = mixlaw(*solve).json["weights"]
    capped = mixlaw(*solve, "--max", "math=0.2", "--min", "code=0.5").json["weights"]
    assert capped["math"] == pytest.approx(0.2) and capped["code"] >= 0.5 - 1e-9
    assert mixlaw(*solve, "--target-weight", "math=1").json["weights"]["math"] > free["math"]


def test_predict_prints_the_promised_keys(mixlaw, fit_json):
    value = mixlaw("predict", fit_json, "--tokens", "chat=2M,math=1M,code=1M", "--json").json
    assert set(value) == {"predicted", "warnings"}
    assert set(value["predicted"]["math"]) == {"mean", "low", "high", "mean_low", "mean_high"}


def test_a_study_ends_with_what_was_written_and_the_next_command(mixlaw, runs_csv, tmp_path):
    out = tmp_path / "fit.json"
    with few_draws(), few_folds(2):
        result = mixlaw("fit", runs_csv, "--out", out)
    assert f"wrote    {out}" in result.stdout
    assert f"next     mixlaw solve {out}" in result.stdout


def test_init_writes_a_configuration_that_check_accepts(mixlaw, mix_yaml):
    """Exactly as written: nothing to edit first."""
    out = mix_yaml.parent / "sub" / "new.yaml"
    model = json.loads(mix_yaml.read_text().split("name_or_path: ")[1].split("}")[0])
    data = [mix_yaml.parent / "data" / f"{name}.jsonl" for name in ("chat", "math")]
    assert mixlaw("init", *data, "--out", out, "--model", model).code == 0
    assert "# messages, 80 rows, about" in out.read_text()
    result = mixlaw("check", out, "--json")
    assert result.code == 0
    value = result.json
    assert set(value["domains"]) == {"chat", "math"}
    assert value["domains"]["chat"]["train"]["tokens"] > 0 and value["proxy_runs"] == 9
    # Training and, at a third of it a token, evaluations.
    training = 6 * value["parameters"] * value["proxy_tokens"]
    assert training < value["proxy_flop"] == value["cost"]["flop"] < 2 * training
    share = value["proxy_flop"] / (6 * value["parameters"] * value["budget_tokens"])
    assert value["cost"]["share_of_final_run"] == pytest.approx(share)
    parts = value["examples"]["chat"]
    assert any(part["supervised"] and "It is 0." in part["text"] for part in parts)
    assert not any(part["supervised"] and "chat 0?" in part["text"] for part in parts)


def test_init_example_makes_a_folder_that_check_accepts(mixlaw, tmp_path):
    result = mixlaw("init", "--example", "--out", tmp_path / "new" / "mix.yaml", "--json")
    assert result.json == {"written": str(tmp_path / "new" / "mix.yaml")}
    assert mixlaw("init", "--example", "--out", tmp_path / "new" / "mix.yaml").code == 0  # nothing to do


def test_init_example_replaces_nobodys_data(mixlaw, tmp_path):
    mine = tmp_path / "data" / "sql.jsonl.gz"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    result = mixlaw("init", "--example", "--out", tmp_path / "mix.yaml")
    assert result.code == 1 and "sql.jsonl.gz exists" in result.stderr
    assert mine.read_bytes() == b"mine" and not (tmp_path / "mix.yaml").exists()


def test_the_demo_keeps_a_configuration_that_was_edited(tmp_path):
    config = example_config(tmp_path)
    config.write_text(config.read_text() + "# mine\n")
    (tmp_path / "data" / "sql.jsonl.gz").write_bytes(b"old")
    assert example_config(tmp_path, keep=True).read_text().endswith("# mine\n")
    assert (tmp_path / "data" / "sql.jsonl.gz").stat().st_size > 1000


def test_check_marks_the_supervised_part_and_leaves_no_study_plan(mixlaw, mix_yaml):
    result = mixlaw("check", mix_yaml, "--verbose")
    assert result.code == 0
    assert "▌ It is 0." in result.stdout and "▌ chat 0?" not in result.stdout
    assert not (mix_yaml.parent / "study" / "plan.json").exists()


def test_plan_lists_the_runs_and_writes_the_study(mixlaw, mix_yaml):
    value = mixlaw("plan", mix_yaml, "--json").json
    assert len(value["runs"]) == 9 + 1 and value["pending"] == 9 + 1  # and the base model
    study = mix_yaml.parent / "study"
    assert {"config.resolved.json", "domains.json", "plan.json"} <= {path.name for path in study.iterdir()}
    states = mixlaw("status", mix_yaml, "--json").json["runs"]
    assert [run["state"] for run in states] == ["pending"] * 10
    assert mixlaw("status", study, "--json").json["runs"] == states


def test_names_with_markup_are_shown_as_they_are(mixlaw, mix_yaml):
    text = mix_yaml.read_text().replace("  chat:", '  "[red]x[/y]":')
    mix_yaml.write_text(text)
    for verb in ("check", "plan"):
        result = mixlaw(verb, mix_yaml)
        assert result.code == 0 and "[red]x[/y]" in result.stdout, result.stderr


def test_control_characters_of_the_data_do_not_reach_the_terminal(mixlaw, mix_yaml):
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "\x1b[2Jgone"}]}
    path = mix_yaml.parent / "data" / "chat.jsonl"
    path.write_text(json.dumps(row) + "\n" + path.read_text())
    assert "\x1b" not in mixlaw("check", mix_yaml, "--verbose").stdout


def status_of(state, reason=""):
    return RunStatus(name="fill-1", folder="fill-1-0", state=state, tokens=10, reason=reason)


@pytest.mark.parametrize("as_json", [True, False])
def test_failed_runs_exit_with_3_and_say_why(mixlaw, mix_yaml, monkeypatch, as_json):
    monkeypatch.setattr(
        "mixlaw.api.sweep.train", lambda *a, **k: [status_of("done"), status_of("failed", "the loss is nan")]
    )
    result = mixlaw("train", mix_yaml, *(["--json"] if as_json else []))
    assert result.code == 3
    assert "the loss is nan" in (result.stdout if as_json else result.stderr)
    if as_json:
        assert result.json["runs"][1]["state"] == "failed"


def test_an_unexpected_error_is_one_line_and_the_traceback_needs_debug(mixlaw, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("mixlaw.api.numbers.fit", broken)
    result = mixlaw("fit", "runs.csv")
    assert result.code == 1 and result.stderr.count("\n") == 1
    assert "Internal error, ZeroDivisionError: oh." in result.stderr and "report" in result.stderr
    assert "Traceback" in mixlaw("fit", "runs.csv", "--debug").stderr
    assert "Traceback" in mixlaw("--debug", "fit", "runs.csv").stderr
    assert mixlaw("fit", "runs.csv", "--json").json["error"]["code"] == "internal"


def test_ctrl_c_exits_with_130_and_says_how_to_go_on(mixlaw, mix_yaml, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixlaw.api.sweep.train", interrupted)
    result = mixlaw("train", mix_yaml)
    assert result.code == 130 and "again" in result.stderr and "Traceback" not in result.stderr
    assert mixlaw("train", mix_yaml, "--json").json["error"]["code"] == "interrupted"


PREDICT = ("--tokens", "chat=2M,math=1M,code=1M")


def test_a_reader_that_goes_away_is_no_error(fit_json):
    shell = f'"{sys.executable}" -m mixlaw predict "{fit_json}" {shlex.join(PREDICT)} --json | true'
    shell += "; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == ""


def test_no_colour_leaves_this_process_without_a_terminal(fit_json):
    done = command("predict", fit_json, *PREDICT)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr


def test_an_ascii_terminal_ends_no_command(fit_json, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    out = tmp_path / "s\u00e4tze.json"
    done = command("solve", fit_json, "--budget", "20M", "--out", out, env=environment)
    assert done.returncode == 0, done.stderr
    assert "s\\xe4tze.json" in done.stdout and out.exists()


def test_the_console_script_is_the_module(mixlaw):
    assert command("--version").stdout == mixlaw("--version").stdout
    assert cli.entry.__name__ == "entry"


BLOCKED = """
import json
import sys
from importlib.abc import MetaPathFinder


class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        extras = ("torch", "transformers", "tokenizers", "datasets", "pyarrow", "jinja2", "safetensors")
        if name.partition(".")[0] in extras:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
from mixlaw.cli import main
code = 0
for words in json.loads(sys.argv[1]):
    code = code or main(words)
sys.exit(code)
"""


def without_extras(*commands):
    """Run commands in one process in which no extra is installed, up to the first that fails."""
    words = json.dumps([[str(word) for word in words] for words in commands])
    return subprocess.run([sys.executable, "-c", BLOCKED, words], capture_output=True, text=True, timeout=120)


def test_numbers_need_no_extra(runs_csv, tmp_path):
    fit = tmp_path / "fit.json"
    done = without_extras(
        ["fit", runs_csv, "--out", fit],
        ["solve", fit, "--budget", "20M"],
        ["predict", fit, "--tokens", "chat=1M"],
    )
    assert done.returncode == 0, done.stderr
    assert "mixlaw solve" in done.stdout and "weights" in done.stdout and "losses" in done.stdout


def test_training_without_its_extra_says_how_to_install_it(mix_yaml):
    done = without_extras(["run", mix_yaml])
    assert done.returncode == 1 and 'pip install "mixlaw[train]"' in done.stderr and "Traceback" not in done.stderr
    assert not (mix_yaml.parent / "study").exists()


def test_a_report_without_its_extra_says_how_to_install_it(runs_csv, tmp_path):
    done = without_extras(["report", runs_csv, "--law", "transfer", "--out", tmp_path / "report"])
    assert done.returncode == 1 and 'pip install "mixlaw[report]"' in done.stderr
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("columns", [40, 200])
def test_a_table_wider_than_the_console_is_not_cut(monkeypatch, capsys, columns):
    from mixlaw.cli.output import table

    monkeypatch.setenv("COLUMNS", str(columns))
    table("Laws", ["law", "error %", "note"], [["chinchilla", 12.5, "x" * 300]])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["chinchilla", "12.50", "x" * 300]


def test_ctrl_c_while_the_command_line_is_loaded_shows_no_traceback():
    interrupt = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from mixlaw.__main__ import entry\n"
        "entry()\n"
    )
    done = subprocess.run([sys.executable, "-c", interrupt], capture_output=True, text=True, timeout=60)
    said = "error Interrupted. Run the command again to go on where it stopped: mixlaw\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", said)
