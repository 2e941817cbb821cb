"""`report_to: tensorboard`: a study whose runs were trained before is shown whole, once, and is itself as it was."""

import json
import shutil

import pytest

from demo_study import place_runs
from mixlaw.api.files import example_config
from mixlaw.cli import main
from quick_study import short_fits

LAW = "\nfit: {law: transfer}\n"


def files_of(study):
    return {path: path.read_bytes() for path in (study / "runs").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the example with its runs, a fit and all that is made of it; no tracker was told."""
    config = example_config(tmp_path_factory.mktemp("finished"))
    config.write_text(config.read_text(encoding="utf-8") + LAW, encoding="utf-8")
    place_runs(config.parent / "study")
    with short_fits():
        assert main(["run", str(config)]) == 0
    return config.parent


def told_tensorboard(finished, folder):
    """Return the configuration of a copy that tells a tracker, and its study."""
    config = shutil.copytree(finished, folder) / "mix.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "report_to: tensorboard\n", encoding="utf-8")
    return config, config.parent / "study"


def test_a_study_is_shown_whole_and_once(finished, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config, study = told_tensorboard(finished, tmp_path / "support-bot")
    (base,) = (study / "runs").glob("base-[0-9a-f]*")
    lines = [json.dumps({"step": i, "steps": 40, "loss": 5 - i / 20}) for i in range(1, 41)]
    (base / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    before = files_of(study)

    with short_fits():
        assert main(["run", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    shown = study / "trackers" / "tensorboard"
    assert len(list(shown.iterdir())) == 10
    events = EventAccumulator(str(shown / base.name)).Reload()
    record = json.loads((base / "record.json").read_text(encoding="utf-8"))
    assert len(events.Scalars("train/loss")) == 40 and events.Scalars("train/loss")[-1].value == 3.0
    for target, loss in record["losses"].items():
        assert events.Scalars(f"loss/{target}")[0].value == pytest.approx(loss["nats"] / loss["count"], rel=1e-6)
    (solution,) = shown.glob("solution-*")
    events = EventAccumulator(str(solution)).Reload()
    for domain, weight in told["solution"]["weights"].items():
        assert events.Scalars(f"weight/{domain}")[0].value == pytest.approx(weight, rel=1e-6)
    regret = told["solution"]["expected_regret"]["mean"]
    assert events.Scalars("expected_regret/mean")[0].value == pytest.approx(regret, rel=1e-6)

    written = {path: path.read_bytes() for path in shown.rglob("*") if path.is_file()}
    assert main(["run", str(config), "--json"]) == 0
    assert {path: path.read_bytes() for path in shown.rglob("*") if path.is_file()} == written
    assert files_of(study) == before


def blocked(finished, tmp_path):
    """Return the configuration and study of the example, with a file where its tracker would write."""
    config, study = told_tensorboard(finished, tmp_path / "support-bot")
    (study / "trackers").mkdir()
    (study / "trackers" / "tensorboard").write_text("in the way", encoding="utf-8")
    return config, study


def test_a_tracker_that_fails_changes_nothing(finished, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    config, study = blocked(finished, tmp_path)
    (study / "solution.json").unlink()
    with short_fits():
        assert main(["run", str(config)]) == 0
    said = capsys.readouterr().err
    assert said.count("report_to: tensorboard failed") == 1 and (study / "solution.json").is_file()


@pytest.mark.parametrize("verb", ["train", "run"])
def test_with_json_a_tracker_that_fails_is_a_warning(finished, tmp_path, capsys, verb):
    pytest.importorskip("tensorboard")
    config, study = blocked(finished, tmp_path)
    with short_fits():
        assert main([verb, str(config), "--json"]) == 0
    said = capsys.readouterr()
    (warning,) = json.loads(said.out)["warnings"]
    assert "report_to: tensorboard failed" in warning and "the next `mixlaw run` sends" in warning
    assert said.err == ""
    (study / "trackers" / "tensorboard").unlink()
    assert main([verb, str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


def test_check_says_that_a_package_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mixlaw.trackers.tracker.find_spec", lambda package: None)
    config = example_config(tmp_path / "demo")
    config.write_text(config.read_text(encoding="utf-8") + "report_to: [trackio]\n", encoding="utf-8")
    assert main(["check", str(config)]) == 1
    assert 'pip install "mixlaw[trackio]"' in capsys.readouterr().err
    assert main(["train", str(config)]) == 1
    assert not list((config.parent / "study").glob("runs/*"))
