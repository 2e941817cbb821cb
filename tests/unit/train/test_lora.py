import dataclasses
import shutil
import sys
from pathlib import Path

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.train import memory
from mixlaw.train.native import NativeOptions, NativeTrainer
from mixlaw.train.trainer_config import TrainerConfig
from mixlaw.train.trl import TrlOptions, TrlTrainer
from tiny_training import VOCABULARY, make_specs

PEFT = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}


def with_options(config, **options):
    return TrainerConfig.of(config.model, config.train, config.train_rows, config.validation_rows, options=options)


@pytest.fixture(scope="module")
def lora(tiny_config):
    pytest.importorskip("peft")
    config = with_options(tiny_config, peft=PEFT)
    return config, config.build()


def test_lora_trains_the_adapter_alone_and_every_run_begins_anew(lora, tmp_path):
    import torch

    config, trainer = lora
    base = {name: p.clone() for name, p in trainer.lm.network.named_parameters() if "lora" not in name}
    short, long = make_specs(config, (400, 3000))
    first = trainer.run(short, folder=tmp_path)
    assert first.parameters < 0.5 * sum(p.numel() for p in base.values())
    other = trainer.run(long, folder=tmp_path)
    assert all(other.losses[name].loss_nats < first.losses[name].loss_nats for name in first.losses)
    assert trainer.run(short, folder=tmp_path) == first
    assert all(torch.equal(p, base[n]) for n, p in trainer.lm.network.named_parameters() if "lora" not in n)


def test_an_adapter_is_merged_as_it_is_saved_and_the_next_run_knows_nothing_of_it(lora, tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    config, trainer = lora
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0")
    tokenizer.save_pretrained(config.model.name_or_path)
    (spec,) = make_specs(config, (400,))
    plain = trainer.run(spec, folder=tmp_path)
    kept = trainer.run(dataclasses.replace(spec, keep_model=True), folder=tmp_path)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert not any("lora" in name for name, _ in saved.named_parameters())
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    assert kept.losses == plain.losses == trainer.run(spec, folder=tmp_path).losses


@pytest.mark.parametrize(
    "peft",
    [
        {"modules_to_save": ["lm_head"]},
        {"bias": "all"},
        {"init_lora_weights": "pissa"},
        {"layer_replication": [[0, 1]]},
    ],
)
def test_keys_that_would_change_the_base_are_refused(peft):
    with pytest.raises(ConfigError, match=next(iter(peft))):
        NativeOptions(peft=peft)


@pytest.mark.parametrize(
    ("peft", "said"),
    [
        ({"rank": 4}, "train.peft.rank is no key of PEFT's LoraConfig; did you mean 'r'"),
        ({"lora_alpa": 4}, "train.peft.lora_alpa is no key of PEFT's LoraConfig; did you mean 'lora_alpha'"),
        ({"target_modules": ["foo"]}, "Target modules .*foo.* not found"),
        ({"layers_pattern": "layers", "target_modules": ["q_proj"]}, "layers_to_transform"),
    ],
)
def test_what_peft_refuses_for_the_model_is_one_clear_error_without_its_weights(tiny_config, tmp_path, peft, said):
    pytest.importorskip("peft")
    shutil.copy(Path(tiny_config.model.name_or_path) / "config.json", tmp_path)
    model = dataclasses.replace(tiny_config.model, name_or_path=str(tmp_path))
    for options in (NativeOptions(peft=peft), TrlOptions(peft=peft)):
        trainer = NativeTrainer if isinstance(options, NativeOptions) else TrlTrainer
        with pytest.raises(ConfigError, match=said) as caught:
            trainer.check_model(options, model)
        assert "Correct it" in caught.value.hint
        if "target_modules" in peft:
            assert "q_proj" in caught.value.hint
        trainer.check_model(trainer.Options(peft=PEFT), model)


@pytest.mark.parametrize(
    "peft", [{"r": 0}, {"r": "8"}, {"lora_alpha": 0}, {"lora_dropout": 1}, {"target_modules": []}, {"r": True}]
)
def test_a_value_that_no_adapter_can_have_is_refused_as_it_is_read(peft):
    for kind in (NativeOptions, TrlOptions):
        with pytest.raises(ConfigError, match=f"train.peft.{next(iter(peft))} is .*must be"):
            kind(peft=peft)


def test_options_are_part_of_a_runs_identity_and_none_are_as_before(tiny_config):
    assert with_options(tiny_config).inputs == tiny_config.inputs
    changed = [with_options(tiny_config, gradient_checkpointing=True), with_options(tiny_config, peft=PEFT)]
    assert len({config.inputs["train"] for config in (tiny_config, *changed)}) == 3


def test_neither_checkpoints_nor_rows_one_by_one_change_a_loss_beyond_rounding(tiny_config, tmp_path, monkeypatch):
    (spec,) = make_specs(tiny_config, (600,))
    usual = tiny_config.build().run(spec, folder=tmp_path)
    saving = with_options(tiny_config, gradient_checkpointing=True).build()
    assert (
        any(getattr(m, "gradient_checkpointing", False) for m in saving.lm.network.modules())
        and saving.lm.rows_at_once == sys.maxsize
    )
    again = saving.run(dataclasses.replace(spec, inputs={}), folder=tmp_path)
    monkeypatch.setattr(memory, "ACTIVATIONS", 1)
    alone = tiny_config.build()
    assert alone.lm.rows_at_once == 1
    for record in (again, alone.run(spec, folder=tmp_path)):
        assert record.steps == usual.steps
        for name, loss in usual.losses.items():
            assert record.losses[name].loss_nats == pytest.approx(loss.loss_nats, abs=1e-4)
