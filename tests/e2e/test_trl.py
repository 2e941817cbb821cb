"""The trainer `trl`, with LoRA and without, on the bundled base: tokens, masks and nearly the losses of `native`."""

import json
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import pytest

from mixlaw.api.project import Project
from mixlaw.api.sweep import run, train
from mixlaw.cli import main
from mixlaw.core.errors import ConfigError
from small_demo import write_small_demo

needs_trl = pytest.mark.skipif(find_spec("trl") is None or find_spec("peft") is None, reason="TRL is not installed")


def study(folder: Path, more: str, runs: int | None = None) -> Path:
    config = write_small_demo(folder)
    text = config.read_text(encoding="utf-8").replace("train:\n", f"train:\n{more}")
    if runs:
        text = text.replace("  seed: 0", f"  runs: {runs}\n  seed: 0")
    config.write_text(text, encoding="utf-8")
    return config


def records(config: Path) -> dict[str, dict]:
    paths = (config.parent / "study" / "runs").glob("*/record.json")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return {record["spec"]["name"]: record for record in found}


@pytest.mark.parametrize(("more", "missing"), [("", "trl"), ("  peft: {r: 8}\n", "peft")])
def test_a_missing_package_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys, more, missing) -> None:
    config = study(tmp_path, f"  trainer: trl\n{more}")
    monkeypatch.setattr("mixlaw.train.trainer.find_spec", lambda package: None if package == missing else object())
    for verb in ("check", "train", "run"):
        assert main([verb, str(config)]) == 1
        said = capsys.readouterr().err
        assert f"needs the package '{missing}'" in said and 'pip install "mixlaw[trl]"' in said
        assert said.count("\n") == 1 and not (tmp_path / "study").exists()


@needs_trl
def test_the_same_tokens_and_masks_and_nearly_the_same_losses_as_native(tmp_path: Path) -> None:
    native, trl = study(tmp_path / "native", "", runs=5), study(tmp_path / "trl", "  trainer: trl\n", runs=5)
    assert {status.state for status in train(native)} == {"done"}
    statuses = train(trl)
    assert {status.state for status in statuses} == {"done"}, statuses[0].reason
    ours, theirs = records(native), records(trl)
    gaps = []
    for name, record in theirs.items():
        assert record["steps"] == ours[name]["steps"]
        assert record["tokens"] == ours[name]["tokens"]
        assert record["supervised_tokens"] == ours[name]["supervised_tokens"]
        for target, loss in record["losses"].items():
            same = ours[name]["losses"][target]
            assert loss["count"] == same["count"]
            gaps.append((loss["nats"] - same["nats"]) / same["count"])
    # Nats; two seeds of `native` differ by .07 on average in runs of ten to thirty steps.
    assert abs(mean(gaps)) < 0.05 and max(map(abs, gaps)) < 0.25


@needs_trl
def test_lora_through_the_whole_job(tmp_path: Path) -> None:
    peft = "  trainer: trl\n  peft: {r: 8, lora_alpha: 16, target_modules: all-linear}\n  sft: {logging_steps: 1}\n"
    config = study(tmp_path / "demo", peft, runs=5)
    config.write_text(config.read_text(encoding="utf-8") + "\nfit: {law: transfer}\n", encoding="utf-8")
    result = run(config)
    assert not result.failed and set(result.solution.weights) == {"instruction", "math", "code"}
    assert all(0 < record["parameters"] < 400_000 for record in records(config).values())


def test_what_mixlaw_sets_cannot_be_set_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.sft sets packing"):
        Project.open(study(tmp_path / "a", "  trainer: trl\n  sft: {packing: false}\n"))
    with pytest.raises(ConfigError, match="of trainer: trl"):
        Project.open(study(tmp_path / "b", "  peft: {r: 8}\n"))
