"""Four ways to write a row, made a conversation.

messages            {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}
sharegpt            {"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}
prompt_completion   {"prompt": ..., "completion": ...}, strings or lists of messages; only the completion is learnt;
                    beside them `label: false` marks a completion that is not to be learnt (preferences, as TRL's KTO)
alpaca              {"instruction": ..., "input": ..., "output": ...}, `input`, `system` and `history` optional

Each may have `tools` and `system` beside it. Columns may hold JSON as text; turns may be a dict of lists; a name with
dots (`data.chat`) means a column inside another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.contents import loaded, text_of, unzipped, whole_text
from mixlaw.data.conversations import Conversation, Messages, learnt
from mixlaw.data.turns import ROLE_KEYS, Reader

_COLUMNS = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "prompt_completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
}
FORMATS = tuple(_COLUMNS)
_OPTIONAL = ("system", "tools", "functions", "chat_template_kwargs")
_REFUSED = ("documents", "image", "images", "video", "videos", "audio", "audios")

_ARGUMENTS = {
    *("messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt", "tokenize"),
    *("continue_final_message", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    "return_assistant_tokens_mask",
}
"""Arguments of `apply_chat_template`, which decide what is rendered."""

Convert = Callable[[Mapping[str, Any], str], Conversation]


def detect_format(values: Mapping[str, Any], columns: Mapping[str, str]) -> str | None:
    """Return the format of a row: the first of `FORMATS` whose columns it has, filled; None where it is none.

    Args:
        values: the row.
        columns: renames, standard name -> name in the file.
    """

    def value(name: str) -> Any:
        return _find(values, columns.get(name, name))

    filled = [name for name, needed in _COLUMNS.items() if all(value(column) is not None for column in needed)]
    form = next(iter(filled), None)
    if form in ("messages", "sharegpt"):
        # The column says little: what tells the two apart are the keys of a turn.
        return "sharegpt" if "from" in _first_turn(value(_COLUMNS[form][0])) else "messages"
    return form


def converter(form: str, domain: Domain, reader: Reader | None = None) -> Convert:
    """Return the function (row, place) -> conversation for a format.

    Args:
        form: one of `FORMATS`.
        domain: whose rows they are: its renames, its roles, what it ignores.
        reader: counts what is not carried; a new one without.
    """
    reader = reader or reader_of(domain)
    turns = {
        "messages": _turns,
        "sharegpt": _turns,
        "prompt_completion": _prompt_completion,
        "alpaca": _alpaca,
    }[form]
    row = _Row(reader, form, frozenset({"domain", *([domain.split_by] if domain.split_by else ())}))

    def convert(values: Mapping[str, Any], place: str) -> Conversation:
        messages = turns(row, values, place)
        if len(values) == 1:  # nothing but its turns
            return Conversation.of(row.checked(messages, place))
        messages = row.with_system(values, messages, place)
        tools, kwargs = row.tools(values, place), row.get(values, "chat_template_kwargs")
        row.count(values, place)
        kwargs = _template_kwargs(kwargs, place)
        return Conversation.of(row.checked(messages, place), tools, kwargs)

    return convert


def reader_of(domain: Domain, template_keys: frozenset[str] = frozenset()) -> Reader:
    """Return how the turns of a domain are read, for a chat template that reads some keys (`Template.keys`)."""
    return Reader(domain.columns, domain.roles, frozenset(domain.ignore), template_keys)


class _Row:
    """The columns of a row beside its turns.

    Args:
        reader: of its turns.
        form: how it is written.
        others: columns that mixlaw itself uses or writes.
    """

    def __init__(self, reader: Reader, form: str, others: frozenset[str]) -> None:
        self.reader, self.columns, self.form = reader, reader.columns, form
        own = (*_COLUMNS[form], *_OPTIONAL, *(("input", "history") if form == "alpaca" else ()))
        if form in ("messages", "sharegpt"):
            own = (*own, "messages", "conversations")
        self._known = {self.columns.get(name, name).split(".")[0] for name in own} | others | reader.ignored

    def get(self, values: Mapping[str, Any], name: str) -> Any:
        """Return the value of a standard column, None where it is null, missing or ignored."""
        actual = self.columns.get(name, name)
        return None if actual in self.reader.ignored else _find(values, actual)

    def need(self, values: Mapping[str, Any], name: str, place: str) -> Any:
        """Return the value of a standard column that every row needs."""
        value = self.get(values, name)
        if value is None:
            raise DataError(
                f"{place}: no '{self.columns.get(name, name)}'.", "Every row needs the columns of its format."
            )
        return value

    def turns(self, value: Any, place: str) -> Messages:
        """Return the messages of a column that holds turns."""
        if isinstance(value, str):
            value = loaded(value, "the conversation", place)
        if isinstance(value, Mapping):
            value = unzipped(value, place)
        if not isinstance(value, list) or not value:
            raise DataError(
                f"{place}: the conversation is not a list of turns, or is empty.", "Correct or delete that row."
            )
        message = self.reader.message
        return [message(turn, place, t) for t, turn in enumerate(value, 1)]

    def with_system(self, values: Mapping[str, Any], messages: Messages, place: str) -> Messages:
        """Return the turns with the row's system prompt in front; one of their own must say the same."""
        system = self.get(values, "system")
        if not system:
            return messages
        if messages and messages[0]["role"] in ("system", "developer"):
            if messages[0]["content"].strip() == text_of(system, place).strip():
                return messages
            raise DataError(
                f"{place}: the row's '{self.columns.get('system', 'system')}' and the conversation's first turn are "
                "two system prompts that differ.",
                "Keep one of them, or leave the column out with ignore: [system].",
            )
        return [{"role": "system", "content": text_of(system, place)}, *messages]

    def tools(self, values: Mapping[str, Any], place: str) -> list[Any] | None:
        """Return the row's tools as JSON schemas, None without."""
        tools = self.get(values, "tools")
        tools = loaded(tools, "tools", place) if not isinstance(tools, str) or tools.strip() else None
        tools = _objects(tools, "tools", place)
        functions = [
            {"type": "function", "function": function}
            for function in _objects(loaded(self.get(values, "functions"), "functions", place), "functions", place)
        ]
        if tools and functions and tools not in (functions, [tool["function"] for tool in functions]):
            raise DataError(f"{place}: tools and functions differ.", "Keep one of them.")
        return whole_text(tools or functions, place) or None

    def count(self, values: Mapping[str, Any], place: str) -> None:
        """Count the columns that are not carried; refuse those that a template could need."""
        for key in values.keys() - self._known:
            if key in _REFUSED and values[key]:
                raise DataError(
                    f"{place}: it has '{key}', which mixlaw cannot pass on.",
                    f"Delete that row, or ignore the column with ignore: [{key}].",
                )
            if key == "label" and self.form == "prompt_completion" and str(values[key]).lower() == "false":
                raise DataError(
                    f"{place}: its label is false, which marks a completion that is not to be learnt.",
                    "Write the rows whose label is true to a file of their own, or learn all with ignore: [label].",
                )
            if values[key] is not None:
                self.reader.unused[key] += 1

    def checked(self, messages: Messages, place: str) -> Messages:
        """Return the turns up to the last answer: those behind it carry no loss and follow nothing that does."""
        last, empty = -1, True
        for i, message in enumerate(messages):
            if message["role"] == "assistant":
                last, empty = i, empty and not _says(message)
        if last < 0:
            raise DataError(
                f"{place}: no assistant turn, so there is nothing to learn.", "Delete that row, or add the answer."
            )
        if empty:
            raise DataError(f"{place}: the assistant's turn is empty.", "Delete that row, or add the answer.")
        if last + 1 < len(messages):
            self.reader.unused["turns after the last answer"] += len(messages) - last - 1
        return messages[: last + 1]


def _turns(row: _Row, values: Mapping[str, Any], place: str) -> Messages:
    first, second = ("conversations", "messages") if row.form == "sharegpt" else ("messages", "conversations")
    value, other = row.get(values, first), row.get(values, second)
    if value is None:
        value = other
    elif other is not None:
        row.reader.unused[second] += 1
    return row.turns(row.need(values, first, place) if value is None else value, place)


def _prompt_completion(row: _Row, values: Mapping[str, Any], place: str) -> Messages:
    prompt, completion = (row.need(values, name, place) for name in ("prompt", "completion"))
    # Text that is the JSON of turns is those turns where both are: an answer may well be JSON.
    prompt = _turns_in(prompt) or prompt
    completion = (None if isinstance(prompt, str) else _turns_in(completion)) or completion
    context = [
        {**message, "weight": 0} if learnt(message) else message for message in _part(row, prompt, "user", place)
    ]
    return [*context, *_part(row, completion, "assistant", place)]


def _part(row: _Row, part: Any, role: str, place: str) -> Messages:
    """Return the messages of a prompt or a completion: text is one, and so is a list of text parts."""
    if isinstance(part, Mapping) and any(key in part for key in ROLE_KEYS) and not _is_lists(part):
        part = [part]
    if isinstance(part, Mapping) or (isinstance(part, list) and any(map(_is_turn, part))):
        return row.turns(part, place)
    if isinstance(part, list):
        if len(part) > 1 and all(isinstance(text, str) for text in part):
            name = "prompt" if role == "user" else "completion"
            raise DataError(
                f"{place}: '{row.columns.get(name, name)}' is a list of {len(part)} texts.",
                "Write one text; several answers to a prompt, or the rows of a table, are rows of their own.",
            )
        return [row.reader.message({"role": role, "content": part}, place, 1)]
    return [{"role": role, "content": text_of(part, place)}]


def _turns_in(text: Any) -> list[Any] | None:
    """Return the turns whose JSON a text is, None where it is anything else."""
    if not isinstance(text, str) or not text.lstrip().startswith("[{"):
        return None
    try:
        turns = loaded(text, "", "")
    except DataError:
        return None
    return turns if isinstance(turns, list) and all(map(_is_turn, turns)) else None


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, Mapping) and any(key in turn for key in ROLE_KEYS)


def _objects(value: Any, what: str, place: str) -> list[Any]:
    """Return a list of objects, given as one, or as JSON text each."""
    value = [value] if isinstance(value, Mapping) else value or []
    found = [loaded(item, what, place) for item in value] if isinstance(value, list) else [value]
    if not all(isinstance(item, Mapping) for item in found):
        raise DataError(f"{place}: {what} is not a list of objects.", "Correct or delete that row.")
    for item in found:
        if not isinstance(item.get("function", {}), Mapping):
            raise DataError(f"{place}: the function of a tool is not an object.", "Correct or delete that row.")
    return found


def _template_kwargs(value: Any, place: str) -> dict[str, Any] | None:
    """Return variables for the chat template; refuse those that are no variables but arguments of the tokenizer."""
    value = loaded(value, "chat_template_kwargs", place, "an object")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise DataError(f"{place}: chat_template_kwargs is {type(value).__name__}.", "Write an object.")
    if wrong := [key for key in value if key in _ARGUMENTS]:
        raise DataError(
            f"{place}: chat_template_kwargs has '{wrong[0]}', which is not the name of a template variable.",
            "Delete it.",
        )
    return whole_text(dict(value), place)


def _alpaca(row: _Row, values: Mapping[str, Any], place: str) -> Messages:
    instruction, output = (row.need(values, name, place) for name in ("instruction", "output"))
    more = row.get(values, "input") or ""
    instruction, more = text_of(instruction, place), text_of(more, place)
    prompt = "\n\n".join(part for part in (instruction, more) if part)
    turns = []
    for pair in loaded(row.get(values, "history"), "history", place) or []:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise DataError(f"{place}: history is not a list of pairs.", "Write pairs of a question and its answer.")
        turns += [pair[0], pair[1]]
    turns = [text_of(turn, place) for turn in (*turns, prompt, output)]
    return [{"role": ("user", "assistant")[t % 2], "content": turn} for t, turn in enumerate(turns)]


def _find(values: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, also of one inside another (`data.chat`)."""
    if name in values or "." not in name:
        return values.get(name)
    found: Any = values
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _first_turn(turns: Any) -> Mapping[str, Any]:
    """Return the first turn of a column, or the lists of a dict of them; empty where it is neither."""
    try:
        turns = loaded(turns, "", "")
    except DataError:
        return {}
    first = turns[0] if isinstance(turns, list) and turns else turns
    return first if isinstance(first, Mapping) else {}


def _is_lists(part: Mapping[str, Any]) -> bool:
    return all(value is None or isinstance(value, list) for value in part.values())


def _says(message: Mapping[str, Any]) -> bool:
    return bool((message["content"] or "").strip()) or "tool_calls" in message or "reasoning_content" in message
