"""Two tokenizers, one whose template marks what the assistant writes and one whose template does not; small files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import mixlaw
from mixlaw.core.domain import Domain
from mixlaw.data.chat import ChatTokenizer, load_tokenizer
from mixlaw.data.prepare import prepare_domain

UNMARKED_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def byte_level_tokenizer(template: str | None = UNMARKED_TEMPLATE):
    """A byte-level BPE without a single merge: every byte is a token, beside four special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<pad>", "<bos>", "<|start|>", "<|end|>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<|end|>",
        pad_token="<pad>",
        chat_template=template,
    )


@pytest.fixture(scope="session")
def marked() -> ChatTokenizer:
    return load_tokenizer(str(Path(mixlaw.__file__).parent / "demo" / "tiny_base"))


@pytest.fixture(scope="session")
def unmarked() -> ChatTokenizer:
    return ChatTokenizer(byte_level_tokenizer(), "byte-level")


@pytest.fixture(scope="session")
def make_tokenizer():
    return byte_level_tokenizer


@pytest.fixture
def write_lines(tmp_path):
    """Write rows (values, or lines as bytes) as JSONL under tmp_path, gzipped where the name says so."""

    def write(name: str, rows) -> Path:
        lines = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in rows]
        data, path = b"\n".join(lines) + b"\n", tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def chats():
    """Make `count` distinct conversations of various lengths."""

    def make(count: int, tag: str = "") -> list[dict]:
        return [
            {
                "messages": [
                    {"role": "user", "content": f"{tag}question {i}"},
                    {"role": "assistant", "content": f"answer {i} " + "and so on " * (i % 7)},
                ]
            }
            for i in range(count)
        ]

    return make


@pytest.fixture
def prepare(tmp_path, unmarked):
    """Prepare a file with the byte-level tokenizer."""

    def run(path, name: str = "d", *, tokenizer=None, **changes):
        settings = {"validation_rows": 5, "max_length": 512, "cache_dir": tmp_path / "cache", **changes}
        domain = path if isinstance(path, Domain) else Domain(name, str(path))
        return prepare_domain(domain, tokenizer or unmarked, **settings)

    return run
