"""The suite for chat templates: it passes the bundled one and finds what is wrong with others."""

import copy
from pathlib import Path

import pytest

import mixlaw
from mixlaw.api.files import check_model
from mixlaw.data.chat import ChatTokenizer
from mixlaw.testing import TEMPLATE_CHECKS, check_template, template_cases

BASE = str(Path(mixlaw.__file__).parent / "demo" / "tiny_base")


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


def variant(tokenizer, template):
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


def test_the_bundled_template_conforms_and_its_refusals_are_named(tokenizer):
    check_template(tokenizer)
    cases = template_cases(tokenizer, "tiny")
    assert cases["one turn"] == cases["an answer without loss"] == "ok"
    assert cases["tool calls"] == "refused: does not write the tool calls"
    assert check_model(BASE) == (template_cases(tokenizer, BASE), ("<|im_end|>",), [])


def test_a_refused_role_is_named_without_a_turn(tokenizer):
    plain = "{% for m in messages if m.role != 'system' %}{{ m.role + m.content + '<|im_end|>' }}{% endfor %}"
    assert template_cases(variant(tokenizer, plain))["system prompt"] == "refused: does not write the role 'system'"


@pytest.mark.parametrize("settings", ['{"eos_token_id": [3]}', None])
def test_a_base_that_stops_at_another_token_is_told_of(tokenizer, tmp_path, settings):
    other = copy.deepcopy(tokenizer)
    other.eos_token = "<|pad|>"
    other.save_pretrained(tmp_path)
    if settings:
        (tmp_path / "generation_config.json").write_text(settings)
    (warning,) = check_model(str(tmp_path)).warnings
    ends = tokenizer.convert_ids_to_tokens(3) if settings else "<|pad|>"
    assert f"stops at {ends}, but its chat template ends answers with <|im_end|>" in warning
    assert warning.endswith("Models that mixlaw saves stop at <|im_end|>.")


@pytest.mark.parametrize("model", ["missing", "generation_config.json"])
def test_a_base_that_stops_at_one_more_token_is_not_told_of(tokenizer, tmp_path, model):
    tokenizer.save_pretrained(tmp_path)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    (tmp_path / model).write_text(f'{{"eos_token_id": [0, {end}]}}')
    assert check_model(str(tmp_path)).warnings == []


def test_a_template_that_refuses_plain_conversations_does_not_conform(tokenizer):
    with pytest.raises(AssertionError, match="one turn: refused"):
        check_template(variant(tokenizer, "{{ raise_exception('never') }}"))


@pytest.mark.parametrize(
    ("spans", "check"),
    [
        (lambda text: [(0, 0)], "answers_are_supervised"),
        (lambda text: [(0, len(text))], "nothing_else_is_supervised"),
        (lambda text: [(text.rfind("z"), len(text))], "an_answer_ends_with_one_token"),
    ],
)
def test_wrong_masks_are_found(tokenizer, spans, check, monkeypatch):
    right = ChatTokenizer.render

    def wrong(self, conversation, place):
        text, _ = right(self, conversation, place)
        return text, spans(text)

    monkeypatch.setattr(ChatTokenizer, "render", wrong)
    found = next(c for c in TEMPLATE_CHECKS if c.__name__ == check)
    with pytest.raises(AssertionError, match="chat template"):
        found(tokenizer)


def test_a_template_without_an_end_or_with_a_date_is_warned_of(tokenizer):
    endless = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    first, second = ChatTokenizer(variant(tokenizer, endless), "endless").warnings
    assert "learns no stop token" in first and "write 'assistant:' itself" in second
    dated = "{{ strftime_now('%d %b %Y') }}" + tokenizer.chat_template
    (warning,) = ChatTokenizer(variant(tokenizer, dated), "dated").warnings
    assert "today's date (strftime_now)" in warning
    assert ChatTokenizer(tokenizer, "tiny").warnings == []


def test_what_is_shown_of_a_conversation_are_its_tokens(tokenizer):
    from mixlaw.testing.templates import CASES

    chat = ChatTokenizer(tokenizer, "tiny")
    rendered = chat.render(CASES["several turns"][0], "row")
    parts = chat.parts(rendered)
    assert "".join(text for text, _ in parts) == rendered[0]
    assert [text for text, on in parts if on] == ["zanswer<|im_end|>", "zlast<|im_end|>"]
