"""The main job from datasets to weights, files and a report: the demo, shrunk, with real training in a real worker."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

import mixlaw
from mixlaw.cli import main
from mixlaw.core.mixture import Mixture
from quick_study import short_fits, trained_here, write_quick_demo


def command(*arguments):
    return [sys.executable, "-m", "mixlaw", *map(str, arguments)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder, and what the first run printed on stdout and stderr."""
    folder = tmp_path_factory.mktemp("demo")
    config = write_quick_demo(folder)
    with short_fits(), redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(["run", str(config), "--workers", "1"])
    assert code == 0, err.getvalue()
    return folder, (out.getvalue(), err.getvalue())


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "lease.json") and "logs" not in path.parts
    }


def test_the_study_folder_holds_what_the_design_says(demo):
    study = demo[0] / "study"
    for name in ("config.resolved.json", "domains.json", "plan.json", "fit.json", "solution.json"):
        assert (study / name).is_file(), name
    assert len(list((study / "runs").glob("*/record.json"))) == 14
    assert {path.name for path in (study / "report").iterdir()} == {
        "report.html",
        "report.md",
        "report.json",
        "figures",
    }


def test_the_run_ends_with_what_was_written_and_the_next_step(demo):
    folder, (out, err) = demo
    assert re.search(r"^weights .* of 30k tokens$", out, re.MULTILINE)
    report = folder / "study" / "report" / "report.html"
    assert out.splitlines()[-1] == f"next     open {report}" and report.is_file()
    assert len(out.splitlines()) <= 5
    assert "14/14 runs" in err and "Traceback" not in err


def test_the_report_gives_the_time_of_the_runs_for_what_it_is(demo):
    cost = json.loads((demo[0] / "study" / "report" / "report.json").read_text())["cost"]
    assert cost["train_wall_s"] > 0 and "wall_s" not in cost


@pytest.mark.parametrize("verb", ["mix", "report"])
def test_a_changed_setting_is_refused_until_the_runs_are_trained_with_it(demo, verb, capsys):
    config = demo[0] / "mix.yaml"
    text, before = config.read_text(), contents(demo[0] / "study")
    try:
        config.write_text(text.replace("learning_rate: ", "weight_decay: 0.01\n  learning_rate: "))
        assert config.read_text() != text
        assert main([verb, str(config)]) == 1
        assert "planned with another train" in capsys.readouterr().err
    finally:
        config.write_text(text)
    assert contents(demo[0] / "study") == before


def test_the_training_files_are_the_solution_within_one_row(demo):
    study = demo[0] / "study"
    solution = json.loads((study / "solution.json").read_text())
    (mixture,) = (study / "mixtures").iterdir()
    manifest = json.loads((mixture / "manifest.json").read_text())
    rows = [json.loads(line) for line in (mixture / manifest["files"][0]["name"]).read_text().splitlines()]
    assert len(rows) == manifest["files"][0]["rows"]
    assert {tuple(row) for row in rows} == {("messages", "domain")}
    requested = Mixture(solution["weights"], solution["budget_tokens"]).tokens
    for name, entry in manifest["domains"].items():
        # Rows are at most max_length = 192 tokens long.
        assert abs(entry["achieved_tokens"] - requested[name]) <= 192, name
        assert sum(row["domain"] == name for row in rows) == entry["rows"]


def test_a_second_run_is_quick_changes_nothing_and_prints_one_json_object(demo, capsys):
    folder, _ = demo
    before = contents(folder)
    began = time.monotonic()
    assert main(["run", str(folder / "mix.yaml"), "--json"]) == 0
    assert time.monotonic() - began < 60  # a machine at rest needs 5 s; a retraining needs more than this
    assert contents(folder) == before
    value = json.loads(capsys.readouterr().out)
    assert [run["state"] for run in value["runs"]] == ["done"] * 14
    assert value["solution"]["status"] == "optimal"
    assert sum(value["solution"]["weights"].values()) == pytest.approx(1)
    assert set(value["fit"]["targets"]) == {"instruction", "math", "code"}


def test_status_says_that_all_is_done(demo, capsys):
    assert main(["status", str(demo[0] / "study")]) == 0
    assert "14 done" in capsys.readouterr().out


def test_the_python_verbs_work_on_the_study(demo):
    folder = demo[0]
    runs = mixlaw.load_runs(folder / "study")
    assert runs.domains == ("instruction", "math", "code") and len(runs) == 14
    with short_fits():
        best = mixlaw.solve(mixlaw.fit(runs, law="transfer"), budget=30e3)
    assert sum(best.weights.values()) == pytest.approx(1)


def test_mix_takes_another_budget_other_weights_and_parquet(demo, capsys, tmp_path):
    config = str(demo[0] / "mix.yaml")
    assert main(["mix", config, "--budget", "12k", "--format", "parquet", "--out", str(tmp_path / "a"), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert (tmp_path / "a" / manifest["files"][0]["name"]).suffix == ".parquet"
    assert abs(manifest["achieved_tokens"] - 12_000) <= 3 * 192
    weights = "instruction=0.5,math=0.25,code=0.25"
    assert main(["mix", config, "--weights", weights, "--out", str(tmp_path / "b"), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["domains"]["instruction"]["requested_share"] == pytest.approx(0.5)


def test_ctrl_c_ends_the_sweep_cleanly_and_the_next_run_goes_on(tmp_path):
    config = write_quick_demo(tmp_path)
    config.write_text(config.read_text().replace("  seed: 0", "  runs: 9\n  seed: 0"))
    mixlaw.plan(config)  # the command then loads no tokenizer
    process = subprocess.Popen(
        command("train", config, "--workers", 1),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests started with `&` from a script inherit an ignored SIGINT, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    records = tmp_path / "study" / "runs"
    deadline = time.monotonic() + 200
    while not list(records.glob("*/record.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert time.monotonic() - began < 4  # two seconds, and as much again for a machine that does other things, too
    assert f"mixlaw train {config} --workers 1" in stderr
    assert "Traceback" not in stderr and stderr.strip().splitlines()[-1].startswith("error Interrupted.")
    finished = {path: path.read_bytes() for path in records.glob("*/record.json")}
    assert 1 <= len(finished) < 9
    with trained_here():
        assert main(["train", str(config), "--workers", "1"]) == 0
    assert len(list(records.glob("*/record.json"))) == 9 + 1  # and the base model
    assert all(path.read_bytes() == content for path, content in finished.items())


@pytest.fixture(scope="module")
def final_model(demo):
    """The model trained at the solution, at a third of the budget."""
    folder = demo[0] / "model"
    words = ["final", str(demo[0] / "mix.yaml"), "--budget", "10k", "--out", str(folder), "--json"]
    with trained_here(), redirect_stdout(StringIO()) as printed:
        assert main(words) == 0
    return folder, json.loads(printed.getvalue())


def test_the_final_model_is_loaded_by_transformers_and_has_the_loss_that_was_measured(demo, final_model):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mixlaw.api.project import Project
    from mixlaw.train.causal_lm import CausalLM
    from mixlaw.train.evaluation import ValidationSet

    folder, facts = final_model
    assert {"model.safetensors", "tokenizer.json", "README.md", "mixlaw.json"} <= {p.name for p in folder.iterdir()}
    assert abs(sum(facts["tokens"].values()) - 10_000) <= 3 * 192
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    project = Project.open(demo[0] / "mix.yaml")
    lm = CausalLM.around(network.eval(), project.model_settings, project.train_settings, torch.device("cpu"), False)
    rows = project.prepared["math"].validation
    loss = ValidationSet.of("math", rows, project.train_settings).evaluate(lm).loss_nats
    # Weights are saved in the base's half precision; the base itself is more than half a nat worse.
    assert loss == pytest.approx(facts["losses"]["math"]["loss_nats"], abs=0.02)
    assert facts["predicted"]["math"]["low"] < facts["predicted"]["math"]["high"]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers") and "mixlaw final mix.yaml --budget 10000" in card
    assert str(demo[0]) not in card


def test_a_final_model_is_found_again_and_never_overwritten(demo, final_model, capsys):
    folder, facts = final_model
    config = str(demo[0] / "mix.yaml")
    assert main(["final", config, "--budget", "10k", "--out", str(folder), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert not again["new"] and again["id"] == facts["id"]
    assert main(["final", config, "--budget", "20k", "--out", str(folder)]) == 1
    assert "a model is never overwritten" in capsys.readouterr().err


def test_lm_eval_runs_offline_on_the_final_model_and_keeps_its_own_results(demo, final_model, tmp_path, capsys):
    pytest.importorskip("lm_eval")
    words = command("eval", demo[0] / "mix.yaml", "--model", final_model[0], "--tasks", "openbookqa,shell")
    # A process of its own: what the harness may ask of a network is settled when it is imported.
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    words += ["--limit", "8", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["models"]["model"]
    assert {name: (task["metric"], task["rows"]) for name, task in found.items()} == {
        "openbookqa": ("acc_norm", 8),
        "shell": ("exact_match", 8),
    }
    assert all(0 <= task["value"] <= 1 for task in found.values())
    results = json.loads((final_model[0] / "evaluation" / "openbookqa" / "results.json").read_text())
    assert results["results"]["mixlaw_openbookqa"]["acc_norm,none"] == found["openbookqa"]["value"]
    samples = (final_model[0] / "evaluation" / "openbookqa" / "samples.jsonl").read_text().splitlines()
    assert len(samples) == 8
    written = contents(final_model[0])
    assert main(words[words.index("eval") :]) == 0  # nothing is missing
    assert json.loads(capsys.readouterr().out)["models"]["model"] == found and contents(final_model[0]) == written


def test_compare_trains_what_the_solution_must_beat_and_no_fit_sees_it(demo, capsys):
    folder = demo[0]
    before = mixlaw.load_runs(folder / "study").runs
    own = "instruction=0.2,math=0.2,code=0.6"
    words = ["compare", str(folder / "mix.yaml"), "--budget", "1k", "--seeds", "2", "--weights", own, "--json"]
    with trained_here():
        assert main([*words, "--workers", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = {"solution", "own", "equal", "equal_rows", "natural", "unimax", "temperature_0.5"}
    assert set(found["mixtures"]) | set(found["same_as"]) == names
    for name, mixture in found["mixtures"].items():
        assert set(mixture["losses"]) == {"instruction", "math", "code"} and mixture["seeds"] == 2
        assert sum(mixture["tokens"].values()) == 1000
        assert ("minus_solution" in mixture) == (name != "solution")
        total = sum(loss["mean"] for loss in mixture["losses"].values())
        assert mixture["total"]["mean"] == pytest.approx(total)
    assert found["mixtures"][found["best"]]["total"]["mean"] == min(
        m["total"]["mean"] for m in found["mixtures"].values()
    )
    assert mixlaw.load_runs(folder / "study").runs == before
    stored = json.loads((folder / "study" / "confirmation" / "comparison-1k.json").read_text())
    assert stored["mixtures"] == found["mixtures"]
    records = list((folder / "study" / "confirmation" / "runs").glob("*/record.json"))
    times = {path: path.stat().st_mtime_ns for path in records}
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == found and {p: p.stat().st_mtime_ns for p in records} == times


@pytest.mark.parametrize("tool", ["trl", "llamafactory", "nemo"])
def test_export_points_at_the_data_beside_it(demo, capsys, tool):
    config = str(demo[0] / "mix.yaml")
    assert main(["export", config, "--to", tool, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    folder = demo[0] / "study" / "exports" / value["folder"].rsplit("/", 1)[1]
    text = "".join((folder / f).read_text() for f in value["files"])
    (data,) = value["data"]
    assert data in text and (folder / data).is_file() and str(demo[0]) not in text


def test_the_mixture_has_a_card_that_datasets_reads(demo):
    import yaml
    from datasets import load_dataset

    (mixture,) = (demo[0] / "study" / "mixtures").iterdir()
    card = (mixture / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": ["train.jsonl"]}]
    for part in ("| math |", "predicts", "SHA-256", "LICENSES.txt", "$ mixlaw mix mix.yaml --budget 30000 --weights"):
        assert part in card, part
    assert str(demo[0]) not in card
    rows = load_dataset(str(mixture), split="train", cache_dir=str(demo[0] / "hf-cache"))
    assert len(rows) == json.loads((mixture / "manifest.json").read_text())["files"][0]["rows"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "--to", "unsloth"], "there is no tool 'unsloth'. Known: trl, axolotl"),
        (["export", "--to", "llamafactory", "--by-reference"], "LLaMA-Factory reads .jsonl"),
        (["mix", "--budget", "0"], "must be at least one token"),
        (["mix", "--weights", "math=0.5"], "The weights sum to 0.5"),
        (["final", "--weights", "maths=1"], "there is no domain 'maths'"),
        (["compare", "--weights", "math=2"], "The weights sum to 2"),
        (["eval", "--tasks", "mmlu"], "There is no task 'mmlu'"),
        (["eval", "--tasks", "humaneval"], "runs code that the model wrote"),
        (["eval", "--model", "nosuch", "--tasks", "sql"], "There is no kept model 'nosuch'"),
    ],
)
def test_every_error_is_one_line_with_the_way_out(demo, capsys, words, message):
    verb, *rest = words
    assert main([verb, str(demo[0] / "mix.yaml"), *rest]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error ") and message in line


def test_every_json_file_that_mixlaw_wrote_has_a_format_number(demo):
    others = ("results.json", "dataset_info.json")  # of lm-eval, of LLaMA-Factory and datasets
    found = [path for path in demo[0].rglob("*.json") if "tiny_base" not in path.parts and path.name not in others]
    ours = [path for path in found if path.name == "mixlaw.json" or not (path.parent / "config.json").exists()]
    for path in ours:
        assert type(json.loads(path.read_text(encoding="utf-8")).get("format")) is int, path
    assert {"fit.json", "manifest.json", "record.json", "summary.json"} <= {path.name for path in ours}
