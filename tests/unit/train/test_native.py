import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mixlaw.core.errors import DataError, RunFailed
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.data.rows import TokenRows
from mixlaw.train.native import NativeTrainer
from mixlaw.train.packing import collate
from mixlaw.train.sample import draw_sample, pack_epoch
from mixlaw.train.schedule import rate_factor
from mixlaw.train.settings import TrainSettings
from mixlaw.train.trainer import Trainer
from tiny_training import SETTINGS, VOCABULARY, make_specs, write_rows


@pytest.fixture(scope="module")
def trainer(tiny_config):
    return tiny_config.build()


def rows_of(config):
    return {name: TokenRows.open(folder) for name, folder in config.train_rows.items()}


def with_settings(trainer, **changes):
    """The same loaded model under other settings."""
    other = object.__new__(NativeTrainer)
    other.__dict__ = {**trainer.__dict__, "settings": dataclasses.replace(trainer.settings, **changes)}
    return other


def test_the_native_trainer_is_a_trainer(trainer):
    assert isinstance(trainer, Trainer)


def test_training_lowers_every_domains_loss_and_more_tokens_lower_it_further(trainer, tiny_config, tmp_path):
    short, long = (trainer.run(spec, folder=tmp_path) for spec in make_specs(tiny_config, (400, 3000)))
    assert all(loss.loss_nats < math.log(VOCABULARY) for loss in short.losses.values())
    for name in ("code", "math"):
        assert long.losses[name].loss_nats < short.losses[name].loss_nats - 0.5
        assert long.losses[name].count == short.losses[name].count > 50


def test_the_record_counts_real_tokens_steps_and_parameters(trainer, tiny_config, tmp_path):
    (spec,) = make_specs(tiny_config, (700,))
    seen = []
    record = trainer.run(spec, folder=tmp_path, progress=lambda *args: seen.append(args))
    for name, tokens in record.tokens.items():
        assert abs(tokens - 700) <= 40 and record.unique_tokens[name] == tokens
        assert 0.3 * tokens < record.supervised_tokens[name] < 0.7 * tokens
    assert record.parameters == sum(p.numel() for p in trainer.lm.network.parameters())
    assert [step for step, _, _ in seen] == list(range(1, record.steps + 1))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines[:-1]] == [loss for _, _, loss in seen]
    assert set(lines[-1]["validation"]) == {"code", "math"}
    assert not (tmp_path / "record.json").exists()


def test_the_base_model_is_evaluated_as_it_is(trainer, tiny_config, tmp_path):
    from mixlaw.train.evaluation import ValidationSet

    spec = RunSpec("base-model", dict.fromkeys(tiny_config.train_rows, 0), 0, tiny_config.inputs, "base")
    trainer.run(make_specs(tiny_config, (400,))[0], folder=tmp_path)
    record = trainer.run(spec, folder=tmp_path)
    fresh = tiny_config.build()
    fresh.lm.network.eval()
    for name, rows in fresh.validation_rows.items():
        assert record.losses[name] == ValidationSet.of(name, rows, SETTINGS).evaluate(fresh.lm)
    assert record.steps == 0 and not record.tokens and RunRecord.from_json(record.to_json()) == record
    with pytest.raises(DataError, match="no tokens of any domain"):
        trainer.run(dataclasses.replace(spec, role="proxy"), folder=tmp_path)


def test_a_run_is_the_same_to_the_bit_whatever_the_process_did_before(trainer, tiny_config, tmp_path):
    first, other = make_specs(tiny_config, (400, 800))
    once = trainer.run(first, folder=tmp_path).to_json()
    trainer.run(other, folder=tmp_path)
    assert trainer.run(first, folder=tmp_path).to_json() == once


def test_a_run_is_the_same_to_the_bit_in_other_processes_with_one_or_two_threads(tiny_config, tmp_path):
    folders = [tmp_path / "bf16", tmp_path / "float32"]
    for folder, bf16, max_length in zip(folders, (True, False), (512, 48), strict=True):
        train = dataclasses.replace(SETTINGS, bf16=bf16, max_length=max_length)
        config = dataclasses.replace(tiny_config, train=train)
        (spec,) = make_specs(config, (1500,))
        folder.mkdir()
        (folder / "trainer.json").write_text(json.dumps(config.to_json(folder)))
        (folder / "spec.json").write_text(json.dumps(spec.to_json()))
    script = (
        "import json, sys, pathlib; from mixlaw.core.run import RunSpec;"
        "from mixlaw.train.trainer_config import TrainerConfig; heres = [pathlib.Path(p) for p in sys.argv[1:]];"
        "read = lambda here, name: json.loads((here / name).read_text());"
        "config = lambda here: TrainerConfig.from_json(read(here, 'trainer.json'), here);"
        "spec = lambda here: RunSpec.from_json(read(here, 'spec.json'));"
        "records = [config(here).build().run(spec(here), folder=here) for here in heres];"
        "print(json.dumps([record.to_json() for record in records]))"
    )
    outputs = []
    for threads in ("1", "2"):
        env = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script, *folders], env=env, capture_output=True, text=True, check=True
        )
        outputs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    assert outputs[0] == outputs[1] and len(outputs[0]) == 2


def test_the_order_of_domains_in_the_spec_changes_nothing(trainer, tiny_config, tmp_path):
    inputs = dict(tiny_config.inputs)
    one = trainer.run(RunSpec("a", {"code": 400, "math": 300}, 0, inputs), folder=tmp_path)
    two = trainer.run(RunSpec("a", {"math": 300, "code": 400}, 0, inputs), folder=tmp_path)
    assert one.losses == two.losses


def test_samples_and_their_order_are_nested_between_mixtures(tiny_config):
    rows = rows_of(tiny_config)

    def order(**tokens):
        spec = RunSpec("a", tokens, 0)
        sample = draw_sample(spec, rows, SETTINGS)
        packed = pack_epoch(spec, sample, rows, dataclasses.replace(SETTINGS, packing=False), 0)
        return [row[0] for row in packed]

    small, large, alone = order(code=300, math=400), order(code=900, math=400), order(math=400)
    assert set(small) < set(large)
    assert [row for row in large if row in set(small)] == small
    assert [row for row in small if row[0] == "math"] == alone


def test_another_seed_gives_another_sample_and_order(trainer, tiny_config, tmp_path):
    losses = [
        trainer.run(make_specs(tiny_config, (400,), seed)[0], folder=tmp_path).losses["math"].nats for seed in (0, 1)
    ]
    assert losses[0] != losses[1]


def test_epochs_repeat_the_sample_within_the_same_tokens(trainer, tiny_config, tmp_path):
    (spec,) = make_specs(tiny_config, (900,))
    record = with_settings(trainer, num_train_epochs=3).run(spec, folder=tmp_path)
    assert all(abs(n - 900) <= 3 * 40 for n in record.tokens.values())
    assert all(3 * record.unique_tokens[name] == n for name, n in record.tokens.items())


def test_more_tokens_than_there_are_repeat_the_domain(trainer, tiny_config, tmp_path):
    available = rows_of(tiny_config)["math"].tokens
    record = trainer.run(RunSpec("a", {"math": 2 * available}, 0, dict(tiny_config.inputs)), folder=tmp_path)
    assert record.unique_tokens["math"] == available and record.tokens["math"] == 2 * available


def test_accumulated_batches_take_the_same_step_as_one_large_batch(trainer, tiny_config, tmp_path):
    spec = make_specs(tiny_config, (400,))[0]
    large = with_settings(trainer, per_device_train_batch_size=8).run(spec, folder=tmp_path)
    small = with_settings(trainer, per_device_train_batch_size=2, gradient_accumulation_steps=4).run(
        spec, folder=tmp_path
    )
    assert small.steps == large.steps
    for name, loss in large.losses.items():
        assert small.losses[name].loss_nats == pytest.approx(loss.loss_nats, abs=1e-4)


def test_without_packing_every_conversation_is_a_row(trainer, tiny_config, tmp_path):
    (spec,) = make_specs(tiny_config, (400,))
    loose = with_settings(trainer, packing=False)
    sample = draw_sample(spec, loose.train_rows, loose.settings)
    record = loose.run(spec, folder=tmp_path)
    assert record.steps == math.ceil(sum(len(rows) for rows in sample.rows.values()) / 4)


def test_the_evaluation_equals_a_loop_over_single_conversations_in_float64(trainer, tiny_config, tmp_path):
    (spec,) = make_specs(tiny_config, (400,))
    record = trainer.run(spec, folder=tmp_path)
    rows = TokenRows.open(tiny_config.validation_rows["math"])
    nats = []
    for start, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        nats += trainer.lm.token_nats(collate([[(rows.ids[start:end], rows.supervised[start:end])]])).double().tolist()
    assert record.losses["math"].count == len(nats)
    assert record.losses["math"].nats == pytest.approx(math.fsum(nats), rel=1e-6)


def test_a_cap_on_evaluation_rows_takes_a_subset_that_grows_with_the_cap(tiny_config):
    from mixlaw.train.evaluation import ValidationSet

    rows = TokenRows.open(tiny_config.validation_rows["math"])

    def starts(cap):
        batches = ValidationSet.of("math", rows, dataclasses.replace(SETTINGS, eval_rows=cap)).batches
        return {tuple(row[:6]) for batch in batches for row in batch.input_ids_BT}

    assert len(starts(3)) == 3 and starts(3) < starts(6) < starts(None) == starts(1000)


def test_a_divergent_run_fails_with_a_remedy_and_leaves_no_record(trainer, tiny_config, tmp_path):
    (spec,) = make_specs(tiny_config, (800,))
    with pytest.raises(RunFailed, match=r"Lower train\.learning_rate"):
        with_settings(
            trainer,
            learning_rate=900.0,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
            adam_epsilon=0.0,
            weight_decay=900.0,
        ).run(spec, folder=tmp_path)
    assert not (tmp_path / "record.json").exists()


def test_memory_that_runs_out_is_a_failed_run_with_a_remedy(trainer, tiny_config, tmp_path, monkeypatch):
    def refuse(batch):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(trainer.lm, "sum_nats", refuse)
    with pytest.raises(RunFailed, match=r"out of memory.*Halve train.per_device_train_batch_size"):
        trainer.run(make_specs(tiny_config, (400,))[0], folder=tmp_path)


def test_tokens_of_a_domain_without_rows_are_an_error(trainer, tmp_path):
    with pytest.raises(DataError, match="'law', which has no training rows"):
        trainer.run(RunSpec("a", {"law": 10}, 0), folder=tmp_path)
    with pytest.raises(DataError, match="no tokens of any domain"):
        trainer.run(RunSpec("a", {"math": 0}, 0), folder=tmp_path)


def test_rows_longer_than_max_length_are_an_error(trainer, tmp_path):
    with pytest.raises(DataError, match=r"train\.max_length is 8"):
        with_settings(trainer, max_length=8).run(RunSpec("a", {"math": 10}, 0), folder=tmp_path)


def test_token_ids_outside_the_vocabulary_are_an_error(tiny_config, tmp_path, monkeypatch):
    from mixlaw.testing import _training_case

    monkeypatch.setattr(_training_case, "VOCABULARY", VOCABULARY + 500)
    rows = write_rows(tmp_path / "rows", 50, 0)
    config = dataclasses.replace(tiny_config, train_rows={"math": rows})
    with pytest.raises(DataError, match="vocabulary has 97"):
        config.build()


def test_settings_of_torch_are_put_back(trainer, tiny_config, tmp_path):
    import torch

    state = torch.random.get_rng_state()
    trainer.run(make_specs(tiny_config, (400,))[0], folder=tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("kind", "last"), [("cosine", 0.0), ("linear", 0.0), ("constant", 1.0)])
def test_the_learning_rate_warms_up_peaks_and_ends_as_its_name_says(kind, last):
    settings = TrainSettings(lr_scheduler_type=kind, warmup_ratio=0.1)
    factors = [rate_factor(step, 1000, settings) for step in range(1000)]
    assert factors[:2] == pytest.approx([1 / 101, 2 / 101]) and factors[100] == 1.0
    assert np.all(np.diff(factors[:101]) > 0) and np.all(np.diff(factors[100:]) <= 0)
    assert factors[-1] == pytest.approx(last, abs=2e-3) and min(factors) > 0
    assert rate_factor(0, 1, settings) > 0


def test_a_folder_argument_is_only_written_to(trainer, tiny_config, tmp_path):
    trainer.run(make_specs(tiny_config, (400,))[0], folder=tmp_path)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["metrics.jsonl"]
