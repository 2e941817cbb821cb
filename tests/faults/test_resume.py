"""A killed run goes on from its checkpoint with the same bytes; a GPU that is short of memory halves the rows."""

import logging

import pytest

from mixlaw.core.errors import ConfigError, RunFailed
from mixlaw.train import native
from mixlaw.train.resuming import every_s
from tiny_training import make_config, make_specs, save_tiny_llama


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A model with dropout: what is random must go on, too."""
    folder = tmp_path_factory.mktemp("resume")
    save_tiny_llama(folder / "model", attention_dropout=0.2)
    return make_config(folder)


@pytest.fixture(scope="module")
def trainer(config):
    return config.build()


@pytest.fixture(scope="module")
def spec(config):
    return make_specs(config, (1500,))[0]


@pytest.fixture(scope="module")
def whole(trainer, spec, tmp_path_factory):
    """The record and the training log of a run without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    record = trainer.run(spec, folder=folder).to_json()
    assert record["steps"] > 8 and not list(folder.glob("checkpoint*"))
    return record, (folder / "metrics.jsonl").read_bytes()


def killed_after(trainer, spec, folder, steps):
    def progress(step, *_):
        if step == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run(spec, folder=folder, progress=progress)


def resumed(trainer, spec, folder):
    """Return the first step that was taken again, the record and the log."""
    seen = []
    record = trainer.run(spec, folder=folder, progress=lambda step, *_: seen.append(step))
    assert not list(folder.glob("checkpoint*"))
    return seen[0], (record.to_json(), (folder / "metrics.jsonl").read_bytes())


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setenv("MIXLAW_CHECKPOINT_MINUTES", "1e-9")


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(trainer, spec, whole, tmp_path, often):
    killed_after(trainer, spec, tmp_path, 3)
    assert sorted(path.name for path in tmp_path.glob("checkpoint*")) == ["checkpoint-3.safetensors", "checkpoint.json"]
    killed_after(trainer, spec, tmp_path, 6)
    (tmp_path / "other").mkdir()
    trainer.run(spec, folder=tmp_path / "other")  # what a process does in between changes nothing
    assert resumed(trainer, spec, tmp_path) == (7, whole)


def test_short_runs_write_no_checkpoint(trainer, spec, tmp_path):
    killed_after(trainer, spec, tmp_path, 3)
    assert not list(tmp_path.glob("checkpoint*"))


@pytest.mark.parametrize("name", ["checkpoint-4.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_put_away_and_this_is_said(trainer, spec, whole, tmp_path, often, name, caplog):
    killed_after(trainer, spec, tmp_path, 4)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[data.find(b"4") if name.endswith("json") else len(data) // 2] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert resumed(trainer, spec, tmp_path) == (1, whole)
    assert "The run begins anew" in caplog.text


def test_a_checkpoint_of_another_run_is_not_used(trainer, config, spec, whole, tmp_path, often, caplog):
    killed_after(trainer, make_specs(config, (2000,))[0], tmp_path, 4)
    assert resumed(trainer, spec, tmp_path) == (1, whole)
    assert "of another run, machine or version" in caplog.text


def test_a_checkpoint_of_another_arithmetic_is_not_used(trainer, spec, whole, tmp_path, often, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(native, "_ARITHMETIC", native._ARITHMETIC - 1)
        killed_after(trainer, spec, tmp_path, 4)
    assert resumed(trainer, spec, tmp_path) == (1, whole)
    assert "of another run, machine or version" in caplog.text


@pytest.mark.parametrize("text", ["0", "-1", "x", "inf", "nan"])
def test_an_interval_that_cannot_be_is_one_error(text, monkeypatch):
    monkeypatch.setenv("MIXLAW_CHECKPOINT_MINUTES", text)
    with pytest.raises(ConfigError, match="a number of minutes above 0"):
        every_s()


def short_of_memory(trainer, monkeypatch, most):
    import torch

    real, seen = trainer.lm.sum_nats, []

    def sum_nats(batch):
        seen.append(len(batch.input_ids_BT))
        if seen[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(batch)

    monkeypatch.setattr(trainer.lm, "sum_nats", sum_nats)
    return seen


def test_out_of_gpu_memory_halves_the_rows_at_once_at_the_same_batch(
    trainer, spec, whole, tmp_path, monkeypatch, caplog
):
    seen = short_of_memory(trainer, monkeypatch, 1)
    record = trainer.run(spec, folder=tmp_path).to_json()
    assert seen[:3] == [4, 2, 1] and max(seen[2:]) == 1
    assert "begins again with 1 rows at once" in caplog.text and trainer.timing["rows_at_once"] == 1
    assert {k: v for k, v in record.items() if k != "losses"} == {k: v for k, v in whole[0].items() if k != "losses"}
    for target, loss in record["losses"].items():  # dropout draws other numbers, so near and not the same
        assert loss["nats"] == pytest.approx(whole[0]["losses"][target]["nats"], rel=0.1)


def test_one_row_that_does_not_fit_fails_the_run_with_its_remedy(trainer, spec, tmp_path, monkeypatch):
    short_of_memory(trainer, monkeypatch, 0)
    with pytest.raises(RunFailed, match="ran out of memory"):
        trainer.run(spec, folder=tmp_path)


def test_the_next_run_begins_with_all_rows_again(trainer, spec, whole, tmp_path):
    assert trainer.run(spec, folder=tmp_path).to_json() == whole[0]
