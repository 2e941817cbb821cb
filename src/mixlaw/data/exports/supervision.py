"""Which tokens TRL and Axolotl would supervise, by their own rules, held against those that mixlaw counted.

TRL takes what the template's {% generation %} markers hold. Axolotl renders the conversation again with each answer
replaced by two other texts; what differs is the answer, and of the three tokens behind it one that ends turns.

Shape letters: T tokens.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation, learnt
from mixlaw.data.exports.own_data import message_row

_SENTINELS = ("[[dummy_message]]", "zzdummymessagezz")
_BEHIND = 3

Supervision = tuple[Sequence[int], Sequence[int]]
"""Ids (T,) and whether each is supervised (T,)."""


def trl_supervision(chat: ChatTokenizer, conversation: Conversation) -> Supervision:
    """Return what `SFTTrainer` with assistant_only_loss takes of a conversation."""
    row = message_row(conversation, text_arguments=False)
    tools = None if conversation.plain else json.loads(row["tools"])
    found = chat.tokenizer.apply_chat_template(
        row["messages"], tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return found["input_ids"], found["assistant_masks"]


def axolotl_supervision(chat: ChatTokenizer, conversation: Conversation) -> Supervision:
    """Return what Axolotl's chat_template strategy with `train_on_eos: turn` takes of a conversation (0.19)."""
    turns = [axolotl_turn(chat, message) for message in conversation.messages]
    tokenizer = chat.tokenizer

    def written(turns: list[dict[str, Any]]) -> str:
        return tokenizer.apply_chat_template(turns, tools=conversation.tools, tokenize=False)

    text = written(turns)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    starts, ends = [a for a, _ in offsets], [b for _, b in offsets]
    stops = [{tokenizer.convert_tokens_to_ids(token) for token in eot_tokens(chat)}, {tokenizer.eos_token_id}]
    found = np.zeros(len(ids), np.uint8)
    for i, message in enumerate(conversation.messages):
        if not learnt(message):
            continue
        others = [written([*turns[:i], {"role": "assistant", "content": s}, *turns[i + 1 :]]) for s in _SENTINELS]
        spans = [_different(text, other) for other in others]
        first, last = min(a for a, _ in spans), max(b for _, b in spans)
        if last <= first:
            continue
        a, b = bisect_right(ends, first), bisect_left(starts, last)
        found[a:b] = 1
        for stop in stops:
            place = next((n for n in range(b, len(ids)) if ids[n] in stop), -1)
            if 0 <= place - b <= _BEHIND:
                found[place] = 1
    return ids, found.tolist()


def axolotl_turn(chat: ChatTokenizer, message: dict[str, Any]) -> dict[str, Any]:
    """Return a turn as Axolotl hands it to the template, of the row that is written for it."""
    turn = {key: value for key, value in message.items() if key not in ("weight", "reasoning_content")}
    turn["content"] = message["content"] or ""
    if "reasoning_content" in message:
        turn |= dict.fromkeys(thinking_keys(chat), message["reasoning_content"])
    return turn


def thinking_keys(chat: ChatTokenizer) -> tuple[str, ...]:
    """Return the keys of a turn from which the template reads reasoning."""
    return chat.template.reasoning_keys or ("reasoning_content",)


def eot_tokens(chat: ChatTokenizer) -> list[str]:
    """Return the tokens that end an answer, for Axolotl's `eot_tokens`; the tokenizer's own where there are none."""
    vocabulary = chat.tokenizer.get_vocab()
    found = [token for token in dict.fromkeys(chat.masks.frame.ends[0]) if token in vocabulary]
    return found or [token for token in [chat.tokenizer.eos_token] if token]


def _different(text: str, other: str) -> tuple[int, int]:
    """Return the span of a text in which it differs from another one."""
    start = _shared(text, other)
    rest = min(len(text), len(other)) - start
    return start, len(text) - _shared(text[len(text) - rest :][::-1], other[len(other) - rest :][::-1])


def _shared(text: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if text[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


SUPERVISIONS: dict[str, Callable[[ChatTokenizer, Conversation], Supervision]] = {
    "trl": trl_supervision,
    "axolotl": axolotl_supervision,
}
"""Tool -> its rule; of the others it cannot be said."""


def differing(tool: str, chat: ChatTokenizer, rows: Sequence[tuple[Conversation, str]]) -> int:
    """Return in how many of some (conversation, place) pairs a tool would supervise other tokens, or fail."""
    count = 0
    for conversation, place in rows:
        (wanted,) = chat.encode([chat.render(conversation, place)])
        try:
            ids, supervised = SUPERVISIONS[tool](chat, conversation)
            same = np.array_equal(ids, wanted.ids) and np.array_equal(supervised, wanted.supervised)
        except Exception:  # the template refuses what the tool hands over, by whatever error
            same = False
        count += not same
    return count
