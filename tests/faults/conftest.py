"""A small cache of two domains that share rows, with texts, and a finished study of a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mixlaw
from mixlaw.core.domain import Domain
from mixlaw.data.chat import ChatTokenizer, load_tokenizer
from mixlaw.data.prepare import prepare_domains
from mixlaw.data.texts import write_texts
from page_trainer import write_own_trainer
from unit.cli.test_study_files import write_inputs

BASE = Path(mixlaw.__file__).parent / "demo" / "tiny_base"


def conversation(text: str) -> dict:
    return {"messages": [{"role": "user", "content": f"ask {text}"}, {"role": "assistant", "content": f"say {text}"}]}


@pytest.fixture(scope="session")
def tokenizer() -> ChatTokenizer:
    return load_tokenizer(str(BASE))


@pytest.fixture(scope="session")
def domains(tmp_path_factory) -> dict[str, Domain]:
    """Two domains; the second has rows of the first, so that a view of it is in the cache."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for name, numbers in (("first", range(60)), ("second", range(30, 90))):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(conversation(str(n))) + "\n" for n in numbers))
        found[name] = Domain(name, str(path))
    return found


@pytest.fixture(scope="session")
def prepare(domains, tokenizer):
    """Prepare both domains with their texts in a cache."""

    def run(cache: Path):
        prepared = prepare_domains(
            domains.values(), tokenizer, validation_rows=8, max_length=128, cache_dir=cache, workers=1
        )
        for name, tokens in prepared.items():
            write_texts(domains[name], tokens)
        return prepared

    return run


@pytest.fixture(scope="session")
def sound_cache(prepare, tmp_path_factory) -> Path:
    """A cache that no test changes: copy it."""
    cache = tmp_path_factory.mktemp("sound") / "tokens"
    prepare(cache)
    return cache


@pytest.fixture(scope="session")
def counted_study(tmp_path_factory) -> Path:
    """A mix.yaml whose study is finished, by the trainer that counts: no test changes it, copy its folder."""
    folder = tmp_path_factory.mktemp("counted")
    write_own_trainer(folder)
    config = write_inputs(folder)
    text = config.read_text(encoding="utf-8")
    text = (
        text.replace("train: {", "train: {trainer: 'own_trainer:Bigram', ")
        + "fit: {law: transfer, repetition: 'off'}\n"
    )
    config.write_text(text, encoding="utf-8")
    mixlaw.run(config, workers=1)
    return config
