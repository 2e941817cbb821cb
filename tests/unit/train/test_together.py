"""Adapters of several runs in one batch: the losses, logs and records of runs one by one."""

import dataclasses
import json

import pytest

from mixlaw.core.errors import RunFailed
from mixlaw.train import joining, together
from mixlaw.train.adapters import products
from mixlaw.train.resuming import VARIABLE
from mixlaw.train.together import can_join, train_together
from mixlaw.train.trainer import Job
from mixlaw.train.trainer_config import TrainerConfig
from tiny_training import make_specs

pytest.importorskip("peft")
PEFT = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}


def of(config, model=None, *, peft=PEFT, checkpointing=False, **settings):
    options = {"peft": peft, "gradient_checkpointing": checkpointing}
    train = dataclasses.replace(config.train, **settings)
    return TrainerConfig.of(model or config.model, train, config.train_rows, config.validation_rows, options=options)


def jobs_in(folder, specs, progress=None):
    jobs = [Job(spec, folder / f"{spec.name}#{spec.seed}", progress) for spec in specs]
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
    return jobs


def alone(trainer, specs, folder):
    return [trainer.run(job.spec, folder=job.folder) for job in jobs_in(folder, specs)]


def at_once(trainer, specs, folder):
    found = {job.spec.id: outcome for job, outcome in train_together(trainer, jobs_in(folder, specs))}
    assert set(found) == {spec.id for spec in specs}
    return [found[spec.id] for spec in specs]


def assert_same(records, others, within=1e-4):
    for one, other in zip(records, others, strict=True):
        assert (one.spec, one.steps, one.tokens, one.parameters) == (
            other.spec,
            other.steps,
            other.tokens,
            other.parameters,
        )
        pairs = [
            (one.losses, other.losses),
            *((a.losses, b.losses) for a, b in zip(one.points, other.points, strict=True)),
        ]
        for a, b in pairs:
            assert {n: x.loss_nats for n, x in a.items()} == pytest.approx(
                {n: x.loss_nats for n, x in b.items()}, abs=within
            )


@pytest.fixture(scope="module")
def lora(tiny_config):
    config = of(tiny_config)
    return config, config.build()


@pytest.fixture(scope="module")
def specs(lora):
    """Of other lengths, seeds and mixtures, one with points."""
    config, _ = lora
    short, long, other = *make_specs(config, (500, 2500)), *make_specs(config, (900,), seed=1)
    mixed = dataclasses.replace(short, name="mixed", tokens={"code": 1500, "math": 100})
    return [dataclasses.replace(long, points=(0.3, 0.6)), mixed, other, short]


@pytest.fixture(scope="module")
def whole(lora, specs, tmp_path_factory):
    return alone(lora[1], specs, tmp_path_factory.mktemp("alone"))


def test_losses_points_and_logs_are_those_of_runs_one_by_one(lora, specs, whole, tmp_path):
    _, trainer = lora
    found = at_once(trainer, specs, tmp_path)
    assert_same(found, whole)
    assert len({record.losses["math"].nats for record in found}) == 4
    for job, record in zip(jobs_in(tmp_path, specs), found, strict=True):
        lines = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "steps" in line] == list(range(1, record.steps + 1))
        assert not list(job.folder.glob("checkpoint*"))
    assert trainer.timing["together"] == 4
    assert trainer.run(specs[3], folder=jobs_in(tmp_path, specs)[3].folder) == whole[3]  # nothing is left behind


CASES = {
    "a row at a time": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1},
    "rows with padding": {"packing": False},
    "layers computed again": {"checkpointing": True},
    "masks over rows": {"attention": "eager"},
    "masks and padding": {"attention": "sdpa", "packing": False},
    "other keys": {"peft": {"r": 3, "lora_alpha": 5, "use_rslora": True, "target_modules": ["q_proj", "down_proj"]}},
    "decay and two epochs": {"weight_decay": 0.1, "num_train_epochs": 2, "max_grad_norm": 0.05},
}


@pytest.mark.parametrize("case", CASES)
def test_losses_are_the_same_in_every_setting(case, tiny_config, tmp_path):
    changes = dict(CASES[case])
    model = dataclasses.replace(tiny_config.model, attn_implementation=changes.pop("attention", "auto"))
    config = of(tiny_config, model, **changes)
    trainer, some = config.build(), [*make_specs(config, (400, 900)), *make_specs(config, (500,), seed=3)]
    assert_same(at_once(trainer, some, tmp_path / "together"), alone(trainer, some, tmp_path / "alone"))


@pytest.mark.parametrize("sizes", [[5, 5, 5], [2, 9, 4], [7]])
def test_products_and_their_gradients_are_those_of_each_run(sizes):
    import torch

    torch.manual_seed(0)
    x = torch.randn(sum(sizes), 6, dtype=torch.float64, requires_grad=True)
    pairs = [
        (torch.randn(3, 6, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64))
        for _ in sizes
    ]
    wanted = torch.cat([part @ a.T @ b.T for part, (a, b) in zip(x.split(sizes), pairs, strict=True)])
    weights = torch.randn(sum(sizes), 4, dtype=torch.float64)
    inputs = [x, *(a for a, _ in pairs)]
    expected = torch.autograd.grad((wanted * weights).sum(), inputs)
    found = products(x, sizes, pairs)
    assert torch.allclose(found, wanted)
    for one, other in zip(torch.autograd.grad((found * weights).sum(), inputs), expected, strict=True):
        assert torch.allclose(one, other)


class Killed(BaseException):
    pass


def test_killed_runs_go_on_together_and_end_with_the_same_bytes(lora, specs, tmp_path, monkeypatch):
    _, trainer = lora
    monkeypatch.setenv(VARIABLE, "1e-9")
    uninterrupted = at_once(trainer, specs, tmp_path / "whole")
    began = []

    def kill(step, steps, loss):
        began.append(step)
        if len(began) == 17:  # the fifth step of the first run
            raise Killed

    with pytest.raises(Killed):
        list(train_together(trainer, jobs_in(tmp_path / "killed", specs, kill)))
    resumed = []
    jobs = jobs_in(tmp_path / "killed", specs, lambda step, *_: resumed.append(step))
    found = {job.spec.id: record for job, record in train_together(trainer, jobs)}
    assert min(resumed) > 4
    assert [found[spec.id] for spec in specs] == uninterrupted
    for job in jobs:
        log = (tmp_path / "whole" / job.folder.name / "metrics.jsonl").read_bytes()
        assert (job.folder / "metrics.jsonl").read_bytes() == log


@pytest.mark.parametrize("error", ["gpu", "machine"])
@pytest.mark.parametrize(("most", "tries"), [(2, [4, 2, 2]), (1, [4, 2])])
def test_memory_that_runs_out_halves_the_runs_at_once(
    lora, specs, whole, tmp_path, monkeypatch, caplog, error, most, tries
):
    import torch

    _, trainer = lora
    sums, sizes, original = trainer.lm.sums_of_nats, [], together.Group.__enter__

    def short_of_memory(batch, counts):
        if len(counts) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.") if error == "gpu" else MemoryError()
        return sums(batch, counts)

    def enter(group):
        sizes.append(len(group._jobs))
        return original(group)

    monkeypatch.setattr(trainer.lm, "sums_of_nats", short_of_memory)
    monkeypatch.setattr(together.Group, "__enter__", enter)
    assert_same(at_once(trainer, specs, tmp_path), whole)
    assert sizes == tries
    assert "Memory ran out" in caplog.text


def test_a_run_that_diverges_fails_alone(lora, specs, whole, tmp_path, monkeypatch):
    _, trainer = lora
    sums = trainer.lm.sums_of_nats

    def second_diverges(batch, counts):
        found = sums(batch, counts)
        return [found[0], found[1] * float("nan"), *found[2:]] if len(counts) == 4 else found

    monkeypatch.setattr(trainer.lm, "sums_of_nats", second_diverges)
    found = at_once(trainer, specs, tmp_path)
    assert isinstance(found[1], RunFailed)
    assert "'mixed' diverged" in found[1].message
    assert_same([found[0], *found[2:]], [whole[0], *whole[2:]])


@pytest.mark.parametrize(
    "peft", [None, {**PEFT, "lora_dropout": 0.1}, {**PEFT, "use_dora": True}, {**PEFT, "lora_bias": True}]
)
def test_what_is_no_plain_adapter_trains_alone(peft, tiny_config):
    trainer = of(tiny_config, peft=peft).build()
    (spec,) = make_specs(tiny_config, (400,))
    assert not can_join(trainer, spec)
    assert trainer.together([spec] * 4, 4) == {}


def test_runs_that_leave_more_than_a_record_train_alone(lora):
    config, trainer = lora
    (spec,) = make_specs(config, (400,))
    assert trainer.can_join(spec)
    for changes in ({"keep_model": True}, {"tokens": {}, "role": "base"}, {"role": "expert"}):
        assert not trainer.can_join(dataclasses.replace(spec, **changes))


def test_speeds_are_measured_and_leave_no_trace(lora, specs, whole, tmp_path):
    _, trainer = lora
    found = trainer.together(specs, 4)
    assert set(found) <= {1, 2, 4}
    assert {1, 2} <= set(found)
    assert all(speed > 0 for speed in found.values())
    assert alone(trainer, specs[1:2], tmp_path) == whole[1:2]
    trainer.lm.rows_at_once, before = 7, trainer.lm.rows_at_once  # memory for the rows of one run
    try:
        assert trainer.together(specs, 4) == {}
    finally:
        trainer.lm.rows_at_once = before


def test_a_wrong_adapter_in_a_batch_is_noticed(lora, specs, monkeypatch, caplog):
    _, trainer = lora
    monkeypatch.setattr("mixlaw.train.adapters.products", lambda x, sizes, pairs: products(x, sizes, pairs) + 1.0)
    assert trainer.together(specs, 2) == {}
    assert "change the training loss" in caplog.text


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ({}, 1),
        ({1: 100.0}, 1),
        ({1: 100.0, 2: 104.0}, 1),
        ({1: 100.0, 2: 150.0, 4: 149.0}, 2),
        ({1: 1.0, 2: 2.0, 4: 3.0}, 4),
    ],
)
def test_the_fastest_number_is_taken_where_it_is_worth_it(found, best):
    assert joining.fastest(found) == best
