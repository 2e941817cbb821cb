"""The fingerprint of a tokenizer is kept as long as nothing that it depends on has changed."""

import json
import shutil
from pathlib import Path

import pytest

import mixlaw.data.known_tokenizer as known_tokenizer
from mixlaw.core.errors import DataError
from mixlaw.data.chat import load_tokenizer
from mixlaw.data.known_tokenizer import KnownTokenizer

BASE = Path(known_tokenizer.__file__).parents[1] / "demo" / "tiny_base"


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(BASE, tmp_path / "model"))


@pytest.fixture
def loads(monkeypatch):
    """Names of the models whose tokenizers were loaded."""
    found = []

    def load(name, revision=None):
        found.append(name)
        return load_tokenizer(name, revision)

    monkeypatch.setattr(known_tokenizer, "load_tokenizer", load)
    return found


def known(model, tmp_path) -> str:
    return KnownTokenizer(str(model), None, tmp_path / "cache").fingerprint


def test_a_tokenizer_that_is_known_is_not_loaded(model, tmp_path, loads) -> None:
    first = known(model, tmp_path)
    assert first == load_tokenizer(str(model)).fingerprint and len(loads) == 1
    (model / "model.safetensors").write_bytes(b"other weights")
    assert known(model, tmp_path) == first and len(loads) == 1


def test_another_template_vocabulary_or_version_is_another_tokenizer(model, tmp_path, loads, monkeypatch) -> None:
    seen = {known(model, tmp_path)}
    settings = json.loads((model / "tokenizer_config.json").read_text())
    template = model / "chat_template.jinja"
    if template.exists():
        template.write_text(template.read_text() + "{# another #}")
    else:
        settings["chat_template"] += "{# another #}"
        (model / "tokenizer_config.json").write_text(json.dumps(settings))
    seen.add(known(model, tmp_path))
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "tool_use.jinja").write_text("{{ messages }}")
    known(model, tmp_path)
    assert len(seen) == 2 and len(loads) == 3
    monkeypatch.setattr(known_tokenizer, "version", lambda package: "0")
    known(model, tmp_path)
    assert len(loads) == 4


def test_what_is_kept_may_be_damaged(model, tmp_path, loads) -> None:
    first = known(model, tmp_path)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(file.read_text().replace(first[:8], "00000000"))
    assert known(model, tmp_path) == first and len(loads) == 2


@pytest.mark.parametrize("left_out", ["tokenizer.json", None])
def test_a_model_of_which_not_all_is_known_is_loaded(model, tmp_path, loads, monkeypatch, left_out) -> None:
    if left_out:
        (model / left_out).unlink()
    else:
        monkeypatch.setattr(known_tokenizer, "_LARGEST_BYTES", 10)
    for _ in range(2):
        try:
            known(model, tmp_path)
        except DataError:
            assert left_out
    assert len(loads) == 2
