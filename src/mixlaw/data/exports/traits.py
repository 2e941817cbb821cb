"""What rows hold beside turns of text: what a tool must carry, or the model learns something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mixlaw.data.conversations import Conversation

TRAITS = {
    "tools": "the tools of a row",
    "calls": "tool calls",
    "text_arguments": "arguments of a call that are not a JSON object",
    "results": "tool results",
    "loose_results": "tool results without a tool_call_id",
    "reasoning": "reasoning_content",
    "weights": "answers without loss (weight: 0)",
    "variables": "chat_template_kwargs",
    "names": "names of turns",
    "developer": "turns of role developer",
}
"""Name -> how it is said."""


@dataclass
class Traits:
    """The traits of some rows.

    Attributes:
        rows: how many rows.
        counts: trait -> rows that have it.
    """

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(conversations: Iterable[Conversation]) -> Traits:
        """Return the traits of conversations."""
        found = Traits()
        for conversation in conversations:
            found.add(conversation)
        return found

    def add(self, conversation: Conversation) -> None:
        """Count one more row."""
        self.rows += 1
        self.counts.update(traits_of(conversation))

    @property
    def plain(self) -> bool:
        """Whether all rows are turns of text by system, user and assistant."""
        return not self.counts

    def said(self, names: Iterable[str]) -> str:
        """Return a sentence's part about some of them: `tool calls in 12 rows, reasoning_content in 3`."""
        parts = [f"{TRAITS[name]} in {self.counts[name]:,}" for name in TRAITS if name in {*names}]
        return ", ".join(parts) + f" of {self.rows:,} rows"


def traits_of(conversation: Conversation) -> set[str]:
    """Return the traits of a conversation."""
    found: set[str] = set()
    if conversation.tools:
        found.add("tools")
    if conversation.template_kwargs:
        found.add("variables")
    for message in conversation.messages:
        if message["role"] == "developer":
            found.add("developer")
        if message["role"] == "tool":
            found |= {"results"} if message.get("tool_call_id") else {"results", "loose_results"}
        elif "name" in message:
            found.add("names")
        if "reasoning_content" in message:
            found.add("reasoning")
        if message.get("weight") == 0 and message["role"] == "assistant":
            found.add("weights")
        for call in message.get("tool_calls", ()):
            found.add("calls")
            if not isinstance(call["function"]["arguments"], dict):
                found.add("text_arguments")
    return found
