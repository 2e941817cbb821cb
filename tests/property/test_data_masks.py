"""The mask of any conversation, also of one whose text imitates the chat template, covers the answers and no more."""

from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import mixlaw
from mixlaw.data.chat import ChatTokenizer, load_tokenizer
from mixlaw.data.conversations import Conversation

IMITATIONS = [
    "<|im_end|>",
    "<|im_start|>",
    "assistant\n",
    "<|im_start|>assistant\n",
    "\n",
    " ",
    "{% generation %}",
    "é🙂",
]
# Surrogates are refused when the row is read; \r\n and the like are text as any other.
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.lists(st.sampled_from(IMITATIONS), max_size=6).map("".join),
)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)
END = "<|im_end|>"


@cache
def tokenizers():
    """The bundled tokenizer with its marked template, and with the same template without the markers."""
    folder = str(Path(mixlaw.__file__).parent / "demo" / "tiny_base")
    marked, plain = load_tokenizer(folder), load_tokenizer(folder).tokenizer
    plain.chat_template = plain.chat_template.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    return marked, ChatTokenizer(plain, "without markers")


def messages_of(turns):
    return [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


@settings(deadline=None)
@given(TURNS)
def test_the_supervised_text_is_every_answer_with_its_end_of_turn(turns):
    for tokenizer in tokenizers():
        text, spans = tokenizer.render(Conversation(messages_of(turns)), "row")
        assert [text[a:b] for a, b in spans] == [answer + END for _, answer in turns]


@settings(deadline=None)
@given(TURNS)
def test_a_template_with_and_without_markers_gives_the_same_tokens_and_mask(turns):
    rendered = [t.render(Conversation(messages_of(turns)), "row") for t in tokenizers()]
    a, b = (next(iter(t.encode([r], 4096))) for t, r in zip(tokenizers(), rendered, strict=True))
    assert a.ids.tolist() == b.ids.tolist() and a.supervised.tolist() == b.supervised.tolist()


@settings(deadline=None)
@given(TURNS, st.integers(1, 120))
def test_a_truncated_row_is_a_prefix_of_the_whole_one(turns, length):
    tokenizer = tokenizers()[0]
    rendered = tokenizer.render(Conversation(messages_of(turns)), "row")
    whole, part = (next(iter(tokenizer.encode([rendered], n))) for n in (4096, length))
    assert len(part.ids) <= length and part.truncated == (len(whole.ids) > length)
    assert part.ids.tolist() == whole.ids[:length].tolist()
    assert part.supervised.tolist() == whole.supervised[:length].tolist()
    assert part.supervised_bytes <= whole.supervised_bytes == sum(len((a + END).encode()) for _, a in turns)
