import dataclasses
import shutil

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.train.settings import ModelSettings, TrainSettings, model_fingerprint


def test_json_round_trip_keeps_the_fingerprint():
    settings = TrainSettings(learning_rate=1e-3, eval_rows=7, bf16=False)
    again = TrainSettings.from_json(settings.to_json())
    assert again == settings and again.fingerprint == settings.fingerprint
    assert ModelSettings.from_json(ModelSettings("a/b", "c0ffee").to_json()) == ModelSettings("a/b", "c0ffee")


def test_every_field_of_the_settings_changes_the_fingerprint():
    other = {
        "learning_rate": 1e-3, "num_train_epochs": 2, "max_length": 99, "packing": False,
        "per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "lr_scheduler_type": "linear",
        "warmup_ratio": 0.5, "weight_decay": 0.1, "adam_beta1": 0.5, "adam_beta2": 0.5, "adam_epsilon": 1e-6,
        "max_grad_norm": 0.5, "bf16": False, "per_device_eval_batch_size": 3, "eval_rows": 5,
    }  # fmt: skip
    assert set(other) == {field.name for field in dataclasses.fields(TrainSettings)}
    prints = {TrainSettings(**{name: value}).fingerprint for name, value in other.items()}
    assert len(prints | {TrainSettings().fingerprint}) == len(other) + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0), ("learning_rate", float("nan")), ("num_train_epochs", 0), ("num_train_epochs", 1.5),
        ("max_length", 1), ("per_device_train_batch_size", True), ("lr_scheduler_type", "cosin"), ("warmup_ratio", 2),
        ("adam_beta1", 1.0), ("bf16", "yes"), ("eval_rows", 0),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_named(name, value):
    with pytest.raises(ConfigError, match=f"train.{name}"):
        TrainSettings(**{name: value})


def test_an_unknown_field_is_named():
    with pytest.raises(ConfigError, match="learning_rat'"):
        TrainSettings.from_json({"learning_rat": 1})


def test_a_models_fingerprint_follows_its_files_and_not_its_place(tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "elsewhere")
    first = model_fingerprint(ModelSettings(str(tiny_llama)))
    assert model_fingerprint(ModelSettings(str(copy))) == first
    (copy / "README.md").write_text("words")
    assert model_fingerprint(ModelSettings(str(copy))) == first
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_fingerprint(ModelSettings(str(copy))) != first


def test_a_hub_models_fingerprint_is_name_and_revision():
    prints = {model_fingerprint(ModelSettings("org/model", revision)) for revision in (None, "a", "b")}
    assert len(prints) == 3
    assert model_fingerprint(ModelSettings("org/model", "main")) == model_fingerprint(ModelSettings("org/model"))


def test_a_folder_without_weights_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no safetensors"):
        model_fingerprint(ModelSettings(str(tmp_path)))
    with pytest.raises(ConfigError, match="not a folder"):
        model_fingerprint(ModelSettings("./missing"))
