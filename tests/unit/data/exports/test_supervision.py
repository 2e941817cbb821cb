"""What TRL and Axolotl would supervise: their own rules, on templates that make them differ from mixlaw's."""

import pytest

from mixlaw.core.domain import Domain
from mixlaw.data.chat import ChatTokenizer, load_tokenizer
from mixlaw.data.exports.supervision import axolotl_supervision, differing, eot_tokens, trl_supervision
from mixlaw.data.formats import converter
from unit.conftest import MARKED, rich_rows, trl_template, turn

read = converter("messages", Domain("d", "d"))


@pytest.fixture(scope="module")
def chat(base_with):
    def make(template):
        return load_tokenizer(str(base_with(template)))

    return make


def supervised(chat: ChatTokenizer, found):
    ids, bits = found
    return chat.tokenizer.decode([i for i, bit in zip(ids, bits, strict=True) if bit])


def test_axolotl_takes_answers_calls_and_the_token_that_ends_a_turn(chat):
    made = chat(trl_template("qwen2_5.jinja"))
    rows = [read(row, "p") for row in rich_rows(20) if not any("reasoning_content" in m for m in row["messages"])]
    assert differing("axolotl", made, [(row, "p") for row in rows]) == 0
    weighted = next(row for row in rows if any("weight" in m for m in row.messages))
    text = supervised(made, axolotl_supervision(made, weighted))
    assert "bad" not in text and text.startswith("answer") and text.endswith("<|im_end|>")
    assert eot_tokens(made) == ["<|im_end|>"]


def test_axolotl_does_not_learn_the_think_block_that_a_template_puts_in_front(chat):
    made = chat(trl_template("qwen3.jinja"))
    conversation = read({"messages": [turn("user", "q"), turn("assistant", "Paris.")]}, "p")
    assert supervised(made, axolotl_supervision(made, conversation)) == "Paris.<|im_end|>"
    assert differing("axolotl", made, [(conversation, "p")]) == 1


def test_trl_takes_what_the_markers_hold(chat):
    for template, count in (
        (MARKED, 0),
        (MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>"), 1),
    ):
        made = chat(template)
        conversation = read({"messages": [turn("user", "q"), turn("assistant", "Paris.")]}, "p")
        assert supervised(made, trl_supervision(made, conversation)).startswith("Paris.")
        assert differing("trl", made, [(conversation, "p")]) == count
