"""A template by skeletons says what the template says, and one that looks at contents has no skeletons."""

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation
from mixlaw.data.skeleton import Skeletons, only_writes_contents

ROLES = ("system", "user", "assistant", "tool")
TEXTS = st.text(st.sampled_from("ab %s{}\n<|im_end|>é漢\ue000\ue0010"), max_size=12)
GENERATION = "{% generation %}{{ message.content ~ eos_token }}{% endgeneration %}"

PLAIN = {
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message.role == 'assistant' %}" + GENERATION + "{% else %}{{ message['content'] }}{% endif %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'x' }}{% endif %}",
    "default system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ 'You help. 100%s' }}{% endif %}{% if message.role in ['user', 'tool'] %}{{ '[' + message.content + ']' }}"
    "{% elif message.role == 'assistant' and not message.tool_calls and loop.index0 > 0 %}" + GENERATION + "{% else %}"
    "{{ message.content ~ ('' if message.name is defined else 'role ' ~ message.role ~ loop.last) }}{% endif %}"
    "{% endfor %}",
    "twice": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content + m.content }}"
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}{{ messages | length }}"
    "{{ messages[-1].content }}",
}

LOOKS = (
    "{{ message.content | trim }}",
    "{{ message['content'].strip() }}",
    "{{ message.content[0] }}",
    "{% if message.content %}a{% endif %}",
    "{% if '<think>' in message.content %}a{% endif %}",
    "{{ 'a' if message.content else 'b' }}",
    "{{ message }}",
    "{{ message | tojson }}",
    "{{ messages }}",
    "{{ loop.previtem.content }}",
    "{{ message.items() }}",
    "{{ message.keys }}",
    "{{ message[key] }}",
    "{% set content = message.content %}{{ content }}",
    "{{ raise_exception('no') }}",
    "{{ messages[1:][0].content }}",
    "{{ message.content * 2 }}",
    "{{ message.content % 2 }}",
    "{{ strftime_now('%Y') }}",
    "{% for c in message.content %}{{ c }}{% endfor %}",
    "{% for m in messages %}{{ 1 }}{% endfor %}",
    "{% filter upper %}{{ message.content }}{% endfilter %}",
)


def with_template(tokenizer, template):
    import copy

    other = copy.deepcopy(tokenizer.tokenizer)
    other.chat_template = template
    return ChatTokenizer(other, "variant")


@pytest.mark.parametrize("kind", PLAIN)
@settings(deadline=None)
@given(turns=st.lists(st.tuples(st.sampled_from(ROLES), TEXTS), min_size=1, max_size=5))
def test_texts_and_spans_are_the_templates(marked, kind, turns):
    tokenizer = with_template(marked, PLAIN[kind])
    assert tokenizer._skeletons is not None
    turns = [("user", "q"), *turns, ("assistant", "a")]
    messages = [{"role": role, "content": content} for role, content in turns]
    for content in ("again", "", "%s"):
        messages[0]["content"] = content
        conversation = Conversation([dict(message) for message in messages])
        assert tokenizer.render(conversation, "row") == tokenizer.masks.render(conversation, "row")


@pytest.mark.parametrize("part", LOOKS)
def test_a_template_that_looks_at_contents_has_no_skeletons(part):
    environment = jinja2.Environment()
    assert only_writes_contents(environment.parse("{% for message in messages %}{{ message.role }}{% endfor %}"))
    inside = "{% for message in messages %}" + part + "{% endfor %}"
    assert not only_writes_contents(environment.parse(inside))


def test_a_message_outside_of_its_loop_is_not_taken_for_one():
    assert not only_writes_contents(jinja2.Environment().parse("{{ messages.content }}"))


def test_a_skeleton_that_differs_from_its_template_is_not_used():
    skeletons = Skeletons(lambda talk, _: (talk.messages[0]["content"].strip(), [(0, 1)]))
    for text in (" a", " b"):
        talk = Conversation([{"role": "assistant", "content": text}])
        assert skeletons.fill(talk, "row") == (text.strip(), [(0, 1)])
