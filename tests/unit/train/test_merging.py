import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from mixlaw.core.errors import RunFailed
from mixlaw.core.run import EXPERT, Merge, RunSpec, TargetLoss
from mixlaw.train.merging import WEIGHTS, merged_record
from tiny_training import make_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("merging"))


@pytest.fixture(scope="module")
def trainer(config):
    return config.build()


@pytest.fixture(scope="module")
def experts(config, trainer, tmp_path_factory):
    """The folder of the runs, and the two experts in it, with their trained weights."""
    runs, found = tmp_path_factory.mktemp("runs"), {}
    for domain in ("code", "math"):
        spec = RunSpec(f"expert-{domain}", {domain: 400}, 0, config.inputs, EXPERT)
        (runs / spec.folder).mkdir()
        record = trainer.run(spec, folder=runs / spec.folder)
        weights = {name: p.detach().clone() for name, p in trainer.lm.network.named_parameters()}
        found[domain] = spec, record, weights
    return runs, found


def merged(experts, config, tokens, scale=1.0):
    _, found = experts
    weights = {domain: n / sum(tokens.values()) for domain, n in tokens.items()}
    merge = Merge({domain: spec.id for domain, (spec, *_) in found.items()}, weights, scale)
    return RunSpec("merge", tokens, 0, config.inputs, merge=merge)


def evaluate(experts, trainer, spec):
    runs, _ = experts
    (runs / spec.folder).mkdir(exist_ok=True)
    return trainer.run(spec, folder=runs / spec.folder)


def test_the_merge_of_one_expert_alone_has_its_losses(experts, config, trainer):
    record = evaluate(experts, trainer, merged(experts, config, {"code": 400, "math": 0}))
    _, alone, _ = experts[1]["code"]
    for target, loss in record.losses.items():
        assert loss.loss_nats == pytest.approx(alone.losses[target].loss_nats, rel=2e-4)
        assert loss.count == alone.losses[target].count


def test_a_merge_adds_the_experts_differences_by_share_and_scale(experts, config, trainer):
    trainer.lm.reset()
    base = {name: p.detach().clone() for name, p in trainer.lm.network.named_parameters()}
    evaluate(experts, trainer, merged(experts, config, {"code": 100, "math": 300}, scale=1.5))
    weights = {domain: w for domain, (*_, w) in experts[1].items()}
    moved = 0.0
    for name, now in trainer.lm.network.named_parameters():
        by_hand = 1.5 * (0.25 * (weights["code"][name] - base[name]) + 0.75 * (weights["math"][name] - base[name]))
        size = float(by_hand.abs().max())
        assert torch.allclose(now - base[name], by_hand, atol=5e-3 * size, rtol=0)
        moved = max(moved, size)
    assert moved > 1e-3


def test_a_merge_trains_nothing_and_stands_for_its_tokens(experts, config, trainer):
    record = evaluate(experts, trainer, merged(experts, config, {"code": 100, "math": 300}))
    assert (record.steps, record.spec.trained_tokens) == (0, 0)
    assert record.tokens == {"code": 100, "math": 300} == record.unique_tokens


def test_a_merge_is_the_same_whatever_ran_before(experts, config, trainer):
    spec = merged(experts, config, {"code": 100, "math": 300})
    first = evaluate(experts, trainer, spec)
    evaluate(experts, trainer, merged(experts, config, {"code": 300, "math": 100}, 3.0))
    assert evaluate(experts, trainer, spec) == first == evaluate(experts, config.build(), spec)


def test_an_expert_keeps_half_as_many_bytes_as_it_trains(experts, trainer):
    runs, found = experts
    spec, *_ = found["code"]
    kept = load_file(runs / spec.folder / WEIGHTS)
    assert sum(t.numel() for t in kept.values()) == trainer.lm.parameters
    assert {t.dtype for t in kept.values()} == {torch.bfloat16}


def test_experts_scale_and_shares_are_part_of_a_merges_identity(experts, config):
    one = merged(experts, config, {"code": 100, "math": 300})
    others = [merged(experts, config, {"code": 100, "math": 300}, 2.0), merged(experts, config, {"code": 1, "math": 3})]
    trained = dataclasses.replace(one, merge=None)
    foreign = dataclasses.replace(one, merge=Merge({"code": "0" * 64, "math": "1" * 64}, one.merge.weights, 1.0))
    heavier = dataclasses.replace(one, merge=Merge(one.merge.experts, {"code": 0.3, "math": 0.7}, 1.0))
    assert len({spec.id for spec in (one, *others, trained, foreign, heavier)}) == 6
    assert RunSpec.from_json(one.to_json()) == one


def test_an_expert_that_is_lost_or_of_another_run_fails_the_merge(experts, config, trainer, tmp_path):
    spec = merged(experts, config, {"code": 100, "math": 300})
    (tmp_path / spec.folder).mkdir()
    with pytest.raises(RunFailed, match=r"has no expert of 'code'.*cannot be read"):
        trainer.run(spec, folder=tmp_path / spec.folder)
    runs, found = experts
    code, math = (found[d][0] for d in ("code", "math"))
    for spec_, source in ((code, math), (math, math)):
        (tmp_path / spec_.folder).mkdir()
        (tmp_path / spec_.folder / WEIGHTS).write_bytes((runs / source.folder / WEIGHTS).read_bytes())
    with pytest.raises(RunFailed, match="is of another run"):
        trainer.run(spec, folder=tmp_path / spec.folder)


def test_a_merge_whose_loss_is_not_finite_is_no_record(experts, config):
    spec = merged(experts, config, {"code": 100, "math": 300})
    with pytest.raises(RunFailed, match="only finite losses are recorded"):
        merged_record(spec, {"code": TargetLoss(float("nan"), 10)}, 5)
