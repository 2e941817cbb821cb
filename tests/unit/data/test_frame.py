"""What a template writes around answers: where they begin without a header, and where they end."""

import pytest

from mixlaw.core.errors import DataError
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation

USER, SAY = {"role": "user", "content": "zuser"}, {"role": "assistant", "content": "zanswer"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "look", "arguments": {"city": "zoslo"}}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "zresult", "name": "look", "tool_call_id": "abcdefghi"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]

# As DeepSeek's: the answer behind a result has no header.
BEHIND_RESULT = (
    "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|assistant|>"
    "{% elif m.role == 'tool' %}OPEN{{ m.content }}CLOSE"
    "{% elif m.tool_calls %}{% for c in m.tool_calls %}CALL{{ c.function.name }}<|sep|>"
    "{{ c.function.arguments | tojson }}{% endfor %}<|end|>"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
)
OPENED_IN_TEXT = [
    BEHIND_RESULT.replace("OPEN", "<|out|>").replace("CLOSE", "<|/out|>").replace("CALL", "<|call|>"),
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}",
    "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<|end|>{% endif %}{% endfor %}",
]


@pytest.mark.parametrize("content", ["<|assistant|>zresult", "zresult<|assistant|>", "zresult<|call|>", "<|end|>z"])
@pytest.mark.parametrize("template", OPENED_IN_TEXT)
def test_what_looks_like_an_opening_in_another_turn_opens_no_answer(make_tokenizer, template, content):
    special = ["<|user|>", "<|assistant|>", "<|sep|>", "<|out|>", "<|/out|>", "<|call|>"]
    turns = [{**USER, "content": content}, SAY, {**RESULT, "role": "user", "content": content}, SAY]
    if "tool_calls" in template:
        turns = [USER, CALLS, {**RESULT, "content": content}, SAY]
    found = supervised(make_tokenizer, template, turns, special)
    assert found[-1].removeprefix("<|assistant|>") == "zanswer<|end|>" and "zresult" not in "".join(found)


# As Cohere's: two tokens end a turn, and what opens an answer stands behind every text.
ALWAYS_OPENED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|turn|><|bot|>"
    "{% if m.tool_calls %}<|action|>{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}"
    "{% endfor %}<|/action|>{% else %}<|say|>{{ m.content }}<|/say|>{% endif %}<|over|>"
    "{% else %}<|turn|><|{{ m.role }}|>{{ m.content }}<|over|>{% endif %}{% endfor %}<|turn|><|bot|>"
)


def supervised(make_tokenizer, template, turns, special, tools=None):
    tokenizer = make_tokenizer(template)
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    text, spans = ChatTokenizer(tokenizer, "a model").render(Conversation.of(turns, tools), "row")
    return [text[a:b] for a, b in spans]


@pytest.mark.parametrize(
    "marks",
    [
        ("<|out|>", "<|/out|>", "<|call|>"),
        ("<result>", "</result>", "<call>"),
        ("[RESULT]", "[/RESULT]", "[CALL]"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_no_part_of_what_closes_a_result_is_learnt_with_the_answer_behind_it(make_tokenizer, marks, named):
    template = BEHIND_RESULT
    for word, mark in zip(("OPEN", "CLOSE", "CALL"), marks, strict=True):
        template = template.replace(word, mark)
    special = ["<|user|>", "<|assistant|>", "<|sep|>", *(marks if named else ())]
    found = supervised(make_tokenizer, template, [USER, CALLS, RESULT, SAY], special)
    assert found == [f'{marks[2]}look<|sep|>{{"city": "zoslo"}}<|end|>', "zanswer<|end|>"]


def test_all_tokens_that_end_a_turn_are_learnt_and_not_the_opening_of_the_next(make_tokenizer):
    special = [f"<|{name}|>" for name in ["turn", "bot", "say", "/say", "action", "/action", "over", "user", "tool"]]
    for turns in ([USER, CALLS, RESULT, SAY], [USER, SAY, USER, SAY], [USER, CALLS]):
        found = supervised(make_tokenizer, ALWAYS_OPENED, turns, special)
        answers = {"zoslo": "<|action|>look", "zanswer": "<|say|>zanswer<|/say|><|over|>"}
        assert all(text.endswith("<|over|>") and text.count("<|over|>") == 1 for text in found)
        assert len(found) == sum(turn["role"] == "assistant" for turn in turns)
        assert all(text.startswith(answers["zoslo" if "zoslo" in text else "zanswer"]) for text in found)


def test_a_template_that_opens_no_answer_when_asked_is_warned_of(make_tokenizer):
    turns = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    (warning,) = ChatTokenizer(make_tokenizer(turns), "a model").warnings
    assert "must write '<|start|>assistant' itself" in warning
    for prompt in ("{% if add_generation_prompt %}<|start|>assistant\n{% endif %}", "<|start|>assistant\n"):
        assert not ChatTokenizer(make_tokenizer(turns + prompt), "a model").warnings


def test_rows_with_tools_name_the_template_that_is_for_them(make_tokenizer):
    plain = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content or '' }}<|end|>\n{% endfor %}"
    tokenizer = make_tokenizer(None)
    tokenizer.chat_template = {"default": plain, "tool_use": "{{ tools | tojson }}" + plain}
    chat = ChatTokenizer(tokenizer, "a model")
    for turns in ([USER, SAY], [USER, CALLS, RESULT, SAY]):
        with pytest.raises(DataError, match="does not write the tool") as refused:
            chat.render(Conversation.of(turns, TOOLS), "row")
        assert "'tool_use'" in refused.value.hint
    with pytest.raises(DataError, match="does not write the tools"):
        chat.render(Conversation.of([USER, SAY], TOOLS, {"any": 1}), "row")


# As Gemma 4's: contents are stripped, and the text of a turn that calls stands behind the results.
TEXT_BEHIND_RESULTS = (
    "{% for m in messages %}{% if m.role == 'tool' %}{% elif m.role == 'assistant' %}<|bot|>"
    "{% for c in m.tool_calls or [] %}<|call|>{{ c.function.name }}{{ c.function.arguments | tojson }}<|/call|>"
    "{% endfor %}{% if m.tool_calls %}{% for r in messages[loop.index:] if r.role == 'tool' %}"
    "<|out|>{{ r.content }}<|/out|>{% endfor %}{% endif %}{{ (m.content or '') | trim }}<|over|>"
    "{% else %}<|{{ m.role }}|>{{ m.content | trim }}<|over|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bot|>{% endif %}"
)


@pytest.mark.parametrize("result", ["zresult", " zresult\n", "", " "])
@pytest.mark.parametrize("user", ["zuser", " zuser", "zuser\n", ""])
def test_results_between_the_parts_of_a_turn_are_not_learnt_whatever_is_around_contents(make_tokenizer, user, result):
    special = [f"<|{name}|>" for name in ["bot", "call", "/call", "out", "/out", "over", "user"]]
    calls = {**CALLS, "content": "ztext"}
    turns = [{**USER, "content": user}, calls, {**RESULT, "content": result}, SAY]
    found = supervised(make_tokenizer, TEXT_BEHIND_RESULTS, turns, special)
    assert found == ['<|call|>look{"city": "zoslo"}<|/call|>', "ztext<|over|>", "zanswer<|over|>"]
