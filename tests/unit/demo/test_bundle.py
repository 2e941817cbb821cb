"""The bundle loads with plain transformers, and its data are what their README says."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

import mixlaw

BUNDLE = Path(mixlaw.__file__).parent / "demo"
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(BUNDLE / "tiny_base")


def test_the_model_loads_and_has_about_a_million_parameters() -> None:
    pytest.importorskip("torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(BUNDLE / "tiny_base")
    assert sum(p.numel() for p in model.parameters()) == 1_053_824
    assert model.config.architectures == ["LlamaForCausalLM"]


def test_the_model_writes_and_stops(tokenizer) -> None:
    pytest.importorskip("torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(BUNDLE / "tiny_base")
    inputs = tokenizer("The", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert output.shape[1] > inputs["input_ids"].shape[1]


@pytest.mark.parametrize(
    "text", ["plain", "héllo — 12345\n\t  x", "日本 \U0001f600\x00", "def f(x):\n    return x**2\n"]
)
def test_any_text_survives_the_tokenizer(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_every_plane_of_unicode_survives_the_tokenizer(tokenizer) -> None:
    # A stride through all code points but the surrogates, which UTF-8 cannot hold.
    text = "".join(chr(point) for point in range(0, 0x110000, 97) if not 0xD800 <= point < 0xE000)
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_digits_are_tokens_of_their_own(tokenizer) -> None:
    assert len(tokenizer("12345", add_special_tokens=False)["input_ids"]) == 5


def test_the_templates_mask_covers_exactly_what_the_assistant_says(tokenizer) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes."},
    ]
    encoded = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    said = [i for i, on in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if on]
    assert tokenizer.decode(said) == "Four.<|im_end|>Yes.<|im_end|>"
    prompt = tokenizer.apply_chat_template(messages[:2], tokenize=False, add_generation_prompt=True)
    assert prompt.endswith("<|im_start|>assistant\n")


def test_an_end_of_turn_typed_by_the_user_does_not_widen_the_mask(tokenizer) -> None:
    messages = [
        {"role": "user", "content": "What does <|im_end|> do?"},
        {"role": "assistant", "content": "It ends a turn."},
    ]
    encoded = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    said = [i for i, on in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if on]
    assert tokenizer.decode(said) == "It ends a turn.<|im_end|>"
    # The known weakness that the model card names: typed text becomes the real token.
    assert encoded["input_ids"].count(tokenizer.eos_token_id) == 3


def test_generation_ends_at_the_end_of_a_turn(tokenizer) -> None:
    config = transformers.GenerationConfig.from_pretrained(BUNDLE / "tiny_base")
    assert config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize(("domain", "rows"), [("sql", 1150), ("shell", 4500), ("translation", 4500)])
def test_every_row_is_a_conversation_of_a_named_source(domain: str, rows: int) -> None:
    with gzip.open(BUNDLE / "data" / f"{domain}.jsonl.gz", "rt", encoding="utf-8") as file:
        values = [json.loads(line) for line in file]
    assert len(values) == rows
    notice = (BUNDLE / "data" / "README.md").read_text()
    for source in Counter(value["source"] for value in values):
        assert f"`{source}`" in notice
    for value in values:
        roles = [message["role"] for message in value["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(message["content"].strip() for message in value["messages"])
