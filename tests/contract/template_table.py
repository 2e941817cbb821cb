"""Chat templates x kinds of conversations: the supervised tokens of mixlaw against an oracle of its own.

The oracle shares no code with the masks. It renders with transformers, finds each answer's own words in the text, and
takes from behind the nearest header before them to behind the first end of a turn after them. Header and end are
written down here for each family of templates, from its documentation.
"""

from __future__ import annotations

import copy
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

import mixlaw
from mixlaw.core.errors import DataError
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.conversations import Conversation

OWN = Path(__file__).parent / "templates"

FAMILIES = {
    "qwen": ("<|im_start|>assistant\n", ("<|im_end|>",)),
    "smollm": ("<|im_start|>assistant\n", ("<|im_end|>",)),
    "generation_without_end": ("<|im_start|>assistant\n", ("<|im_end|>",)),
    "lfm2": ("<|im_start|>assistant\n", ("<|im_end|>",)),
    "nemotron": ("<|im_start|>assistant\n", ("<|im_end|>",)),
    "llama3": ("<|start_header_id|>assistant<|end_header_id|>\n\n", ("<|eot_id|>",)),
    "gemma4_v2": ("<|turn>model\n", ("<turn|>",)),
    "gemma4": ("<|turn>model\n", ("<turn|>", "<tool_call|>")),
    "gemma": ("<start_of_turn>model\n", ("<end_of_turn>",)),
    "gptoss": ("<|start|>assistant", ("<|end|>", "<|return|>", "<|call|>")),
    "deepseek": ("<｜Assistant｜>", ("<｜end▁of▁sentence｜>",)),
    "glm": ("<|assistant|>", ("<|user|>", "<|observation|>")),
    "phi": ("<|assistant|>\n", ("<|end|>",)),
    "cohere2": ("<|CHATBOT_TOKEN|><|START_RESPONSE|>", ("<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",)),
    "cohere": ("<|CHATBOT_TOKEN|>", ("<|END_OF_TURN_TOKEN|>",)),
    "mistral": ("[/INST]", ("</s>",)),
}
"""Start of a template's name -> what opens an answer, and what may end it; the first that fits counts."""

_SPECIAL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|<end_of_turn>|<start_of_turn>|<bos>|<eos>"
    r"|<turn\|>|<\|turn>|<\|channel>|<channel\|>|<\|tool_call>|<tool_call\|>|<\|tool_response>|<tool_response\|>"
)


def _turn(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALL = [{"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "oslo"}}}]
_PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "town"}},
    "required": ["city"],
}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "sky", "parameters": _PARAMETERS}}]
RESULT = _turn("tool", "threedegrees", name="weather", tool_call_id="abcdefghi")
ASK, SAY = _turn("user", "firstquestion"), _turn("assistant", "firstanswer")
MORE, LAST = _turn("user", "nextquestion"), _turn("assistant", "lastanswer")

CASES: dict[str, tuple[Conversation, list[tuple[str, str]]]] = {
    "one turn": (Conversation.of([ASK, SAY]), [("firstanswer", "firstanswer")]),
    "several": (Conversation.of([ASK, SAY, MORE, LAST]), [("firstanswer",) * 2, ("lastanswer",) * 2]),
    "system": (Conversation.of([_turn("system", "besober"), ASK, SAY]), [("firstanswer",) * 2]),
    "calls": (
        Conversation.of([ASK, _turn("assistant", None, tool_calls=CALL), RESULT, LAST], TOOLS),
        [("weather", "oslo"), ("lastanswer",) * 2],
    ),
    "text + calls": (
        Conversation.of([ASK, _turn("assistant", "lookingup", tool_calls=CALL), RESULT, LAST], TOOLS),
        [("lookingup", "oslo"), ("lastanswer",) * 2],
    ),
    "reasoning": (
        Conversation.of([ASK, _turn("assistant", "firstanswer", reasoning_content="becausethus")]),
        [("becausethus", "firstanswer")],
    ),
    "earlier reasoning": (
        Conversation.of([ASK, _turn("assistant", "firstanswer", reasoning_content="becausethus"), MORE, LAST]),
        [("becausethus", "firstanswer"), ("lastanswer",) * 2],
    ),
    "assistant first": (Conversation.of([SAY, ASK, LAST]), [("firstanswer",) * 2, ("lastanswer",) * 2]),
    "weight 0": (
        Conversation.of([ASK, _turn("assistant", "firstanswer", weight=0), MORE, LAST]),
        [("lastanswer",) * 2],
    ),
}
"""Kind -> a conversation, and the first and last own word of each answer that carries loss."""


def names() -> list[str]:
    """Return the templates: those of the installed TRL that a family is known of, and ours."""
    spec = importlib.util.find_spec("trl")
    folder = Path(spec.origin).parent / "chat_templates" if spec and spec.origin else None
    theirs = sorted(folder.glob("*.jinja")) if folder and folder.is_dir() else []
    paths = [*sorted(OWN.glob("*.jinja")), *theirs]
    return [str(path) for path in paths if _family(path.stem) is not None]


def _family(name: str) -> tuple[str, tuple[str, ...]] | None:
    return next((value for key, value in FAMILIES.items() if name.startswith(key)), None)


@cache
def _base() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(Path(mixlaw.__file__).parent / "demo" / "tiny_base"))


def tokenizer_with(path: str) -> Any:
    """Return the bundled tokenizer with a template, and the special tokens that this writes."""
    template = Path(path).read_text(encoding="utf-8")
    tokenizer = copy.deepcopy(_base())
    found = sorted({*_SPECIAL.findall(template), "<s>", "</s>"} - set(tokenizer.all_special_tokens))
    tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": found})
    if Path(path).stem.startswith("mistral"):
        tokenizer.eos_token = "</s>"
    tokenizer.chat_template = template
    return tokenizer


def expected(tokenizer: Any, name: str, conversation: Conversation, own: list[tuple[str, str]]) -> list[int]:
    """Return 1 for every token that is supervised, 0 for the others, by the oracle."""
    header, ends = _family(name) or ("", ())
    messages = [{k: v for k, v in m.items() if k != "weight"} for m in conversation.messages]
    if name.startswith("gptoss"):
        for message in messages:
            if "reasoning_content" in message:
                message["thinking"] = message.pop("reasoning_content")
    text, spans = _text(tokenizer, messages, conversation.tools), []
    at = 0 if conversation.messages[0] == SAY else text.index(str(ASK["content"]))
    for first, last in own:
        begin = text.find(first, at)
        begin = text.index(last, at) if begin < 0 else begin  # reasoning that the template leaves out
        behind = last == "oslo" and begin > text.index(last, at)  # Gemma 4 writes the text behind the call
        if behind and text.index("threedegrees") > begin:
            first, last, begin = "weather", first, text.index("weather", at)
        if last == "oslo" and begin > text.index("threedegrees"):  # and even behind its result
            stop = min(text.index(end, text.index(last, at)) + len(end) for end in ends if end in text)
            spans.append((text.index("<|tool_call>"), stop))
            last = first
            start = begin
        else:
            place = text.rfind(header, at, begin)
            start = place + len(header) if place >= 0 else begin
        at = text.index(last, begin) + len(last)
        stops = [text.index(end, at) + len(end) for end in ends if end in text[at:]]
        spans.append((start, min(stops) if stops else len(text.rstrip())))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return [int(any(a < e and b > s for s, e in spans)) for a, b in encoded["offset_mapping"]]


def _text(tokenizer: Any, messages: list[dict[str, Any]], tools: Any) -> str:
    """Return what the template writes: arguments as an object or as text, a missing content as null or as text."""
    errors = []
    for arguments in ({"city": "oslo"}, '{"city": "oslo"}'):
        for empty in ("", None):
            for message in messages:
                message["content"] = message["content"] or empty
                for call in message.get("tool_calls", ()):
                    call["function"] = {"name": "weather", "arguments": arguments}
            try:
                text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
            except Exception as error:  # whatever a template's author chose
                errors.append(error)
                continue
            if not tools or "oslo" in text:
                return text
    raise errors[0]


def cell(path: str, case: str) -> str:
    """Return `ok`, `wrong` or why the row is refused, of one template and one kind of conversation."""
    tokenizer, (conversation, own) = tokenizer_with(path), CASES[case]
    chat = ChatTokenizer(tokenizer, Path(path).stem)
    try:
        rendered = chat.render(conversation, "row")
    except DataError as error:
        assert error.message and error.hint
        return error.message.partition(f"'{Path(path).stem}' ")[2]
    (tokens,) = chat.encode([rendered], 10_000)
    right = expected(tokenizer, Path(path).stem, copy.deepcopy(conversation), own)
    return "ok" if tokens.supervised.tolist() == right else f"wrong: {[rendered[0][a:b] for a, b in rendered[1]]}"


_REASONS = {
    "tools": "a",
    "tool calls": "a",
    "reasoning": "b",
    "content": "c",
    "refuses": "d",
}
"""A word of a refusal -> its letter in the table."""


def table() -> str:
    """Return the table for docs/data.md: a row for each template, training variants left out."""
    lines = [f"| template | {' | '.join(CASES)} |", "|---|" + "---|" * len(CASES)]
    for path in sorted(names(), key=lambda path: Path(path).stem):
        stem = Path(path).stem
        if stem.endswith("_training") or stem == "generation_without_end":
            continue
        cells = [cell(path, case) for case in CASES]
        shown = ["✓" if found == "ok" else next(v for k, v in _REASONS.items() if k in found) for found in cells]
        lines.append(f"| {stem} | {' | '.join(shown)} |")
    return "\n".join(lines)
