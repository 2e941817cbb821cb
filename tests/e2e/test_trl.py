"""The trainer `trl`, with LoRA and without, on the bundled base: tokens, masks and nearly the losses of `native`."""

import json
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import pytest

from mixlaw.api.adopt import adopt
from mixlaw.api.project import Project
from mixlaw.api.sweep import run
from mixlaw.cli import main
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import RunRecord
from mixlaw.train import trl_run
from quick_study import SMALLER, short_fits, train_here, trained_here, write_quick_demo

needs_trl = pytest.mark.skipif(find_spec("trl") is None or find_spec("peft") is None, reason="TRL is not installed")


def study(folder: Path, more: str, runs: int | None = None) -> Path:
    config = write_quick_demo(folder)
    text = config.read_text(encoding="utf-8").replace("train:\n", f"train:\n{more}")
    if runs:
        text = text.replace("  seed: 0", f"  runs: {runs}\n  seed: 0")
    config.write_text(text, encoding="utf-8")
    return config


def records_of(config: Path) -> dict[str, RunRecord]:
    """Train every planned run with the study's trainer, in this process."""
    project = Project.open(config)
    project.write_inputs()
    trainer, (specs, _) = project.trainer_config.build(), project.planned
    folders = {spec.name: project.study.run_folder(spec) for spec in specs}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return {spec.name: trainer.run(spec, folder=folders[spec.name]) for spec in specs}


@pytest.mark.parametrize(("more", "missing"), [("", "trl"), ("  peft: {r: 8}\n", "peft")])
def test_a_missing_package_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys, more, missing) -> None:
    config = study(tmp_path, f"  trainer: trl\n{more}")
    monkeypatch.setattr("mixlaw.train.trainer.find_spec", lambda package: None if package == missing else object())
    for verb in ("check", "train", "run"):
        assert main([verb, str(config)]) == 1
        said = capsys.readouterr().err
        assert f"needs the package '{missing}'" in said and 'pip install "mixlaw[trl]"' in said
        assert said.count("\n") == 1 and not (tmp_path / "study").exists()


def without_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the children's work here: each loads TRL anew, which takes longer than it trains."""
    monkeypatch.setattr(
        "mixlaw.train.trl.call", lambda words, *_: trl_run.train(json.loads(Path(words[-1]).read_text()))
    )


@needs_trl
def test_the_same_tokens_and_masks_and_nearly_the_same_losses_as_native(tmp_path: Path, monkeypatch) -> None:
    without_children(monkeypatch)
    monkeypatch.delitem(SMALLER, "base_tokens: 3k")  # in fewer steps the losses would hardly fall
    ours = records_of(study(tmp_path / "native", "", runs=5))
    theirs = records_of(study(tmp_path / "trl", "  trainer: trl\n", runs=5))
    assert len(theirs) == 6 and theirs["base-model"].steps == 0
    for target, loss in theirs["base-model"].losses.items():
        # One step of rate 0 changes nothing; kernels of attention differ in the last digits.
        assert loss.nats == pytest.approx(ours["base-model"].losses[target].nats, rel=1e-3)
    gaps = []
    for name, record in theirs.items():
        assert record.steps == ours[name].steps
        assert record.tokens == ours[name].tokens
        assert record.supervised_tokens == ours[name].supervised_tokens
        for target, loss in record.losses.items():
            same = ours[name].losses[target]
            assert loss.count == same.count
            gaps.append((loss.nats - same.nats) / same.count)
    # Nats; two seeds of `native` differ by .07 on average in runs of ten to thirty steps.
    assert abs(mean(gaps)) < 0.05 and max(map(abs, gaps)) < 0.25


@needs_trl
def test_lora_through_the_whole_job(tmp_path: Path, monkeypatch) -> None:
    """One run trains in a child of its own, as each would; the others but the base model are adopted."""
    peft = "  trainer: trl\n  peft: {r: 8, lora_alpha: 16, target_modules: all-linear}\n  sft: {logging_steps: 1}\n"
    config = study(tmp_path / "demo", peft, runs=5)
    config.write_text(config.read_text(encoding="utf-8") + "\nfit: {law: transfer}\n", encoding="utf-8")
    project = Project.open(config)
    (first, *others), _ = project.design
    project.write_inputs()
    project.study.save_plan(project.design[0])
    (status,) = train_here(project.study, project.trainer_config, [first])
    assert status.state == "done", status.reason
    record = project.study.record(first)
    assert 0 < record.parameters < 400_000
    losses = {target: loss.loss_nats for target, loss in record.losses.items()}
    table = {"run": [spec.name for spec in others]}
    for target, loss in losses.items():
        table[f"loss:{target}"] = [loss * (1 + spec.tokens[target] / 1000) ** -0.1 for spec in others]
    adopt(config, table)
    without_children(monkeypatch)
    with trained_here(), short_fits():
        result = run(config)
    assert not result.failed and len(result.fit) == 5
    assert set(result.solution.weights) == {"instruction", "math", "code"}
    assert project.study.record(first) == record


def test_what_mixlaw_sets_cannot_be_set_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.sft sets packing"):
        Project.open(study(tmp_path / "a", "  trainer: trl\n  sft: {packing: false}\n"))
    with pytest.raises(ConfigError, match="of trainer: trl"):
        Project.open(study(tmp_path / "b", "  sft: {packing: false}\n"))
