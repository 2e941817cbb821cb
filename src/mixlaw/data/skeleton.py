"""Chat templates that put contents into the text as they are: rendered once for each order of roles, then filled in.

A template is a program, and running it takes most of the time of rendering. Most of them look at the roles and the
place of a message, and only write its content. That is read off the template's syntax tree: where a content stands
anywhere but in what is written out, or anything else is done that is not known here, there is no skeleton, and the
template is run for every conversation.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.data.conversations import Conversation
from mixlaw.data.tokenised import Rendered

_OPEN, _CLOSE = "\ue000", "\ue001"
_SLOT = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_LOOP = ("first", "last", "index", "index0", "revindex", "revindex0", "length")
_MOST = 4096
"""Orders of roles that are kept."""


@dataclass(frozen=True)
class Skeleton:
    """The text of all conversations with the same roles.

    Attributes:
        text: with %s where contents go.
        order: the message whose content goes into each place.
        bounds: of the spans of the assistant, first and last in turn: characters of the template before it, and
            contents before it.
    """

    text: str
    order: tuple[int, ...]
    bounds: list[tuple[int, int]]

    def fill(self, contents: Sequence[str]) -> Rendered:
        """Return the text and the spans of the assistant for the contents of some messages."""
        filled = tuple([contents[m] for m in self.order])
        ends = [0, *itertools.accumulate(map(len, filled))]
        places = [fixed + ends[before] for fixed, before in self.bounds]
        return self.text % filled, list(zip(places[::2], places[1::2], strict=True))


class Skeletons:
    """Skeletons of one template, made when they are first needed.

    Args:
        render: the template: (conversation, place for messages) -> text and spans of the assistant.
    """

    def __init__(self, render: Callable[[Conversation, str], Rendered]) -> None:
        self._render = render
        self._known: dict[tuple[str, ...], Skeleton | None] = {}

    def fill(self, conversation: Conversation, place: str) -> Rendered:
        """Return what the template says of a plain conversation; of the first with its roles, the template is asked."""
        roles = tuple([message["role"] for message in conversation.messages])
        contents = [message["content"] for message in conversation.messages]
        if roles not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            rendered = self._render(conversation, place)
            try:
                skeleton = self._make(roles, place)
            except DataError:  # it writes an empty turn, and would not write one with a content
                self._known[roles] = None
                return rendered
            self._known[roles] = skeleton if skeleton.fill(contents) == rendered else None
            return rendered
        skeleton = self._known[roles]
        return self._render(conversation, place) if skeleton is None else skeleton.fill(contents)

    def _make(self, roles: tuple[str, ...], place: str) -> Skeleton:
        turns = [{"role": role, "content": f"{_OPEN}{i}{_CLOSE}"} for i, role in enumerate(roles)]
        text, spans = self._render(Conversation(turns), place)
        parts = _SLOT.split(text)
        # Where each place for a content begins and ends in the text with the marks.
        slots = [match.span() for match in _SLOT.finditer(text)]
        bounds = []
        for border in itertools.chain.from_iterable(spans):
            before = [b - a for a, b in slots if b <= border]
            bounds.append((border - sum(before), len(before)))
        return Skeleton("%s".join(part.replace("%", "%%") for part in parts[::2]), tuple(map(int, parts[1::2])), bounds)


def only_writes_contents(tree: Any) -> bool:
    """Whether a template, as Jinja's syntax tree, depends on the roles alone but for the contents that it writes."""
    return all(_statement(node, frozenset()) for node in tree.body)


def _statement(node: Any, loops: frozenset[str]) -> bool:
    from jinja2 import nodes

    def each(body: Sequence[Any], inside: frozenset[str] = loops) -> bool:
        return all(_statement(child, inside) for child in body)

    if isinstance(node, nodes.Output):
        return all(_written(child, loops) for child in node.nodes)
    if isinstance(node, nodes.If):
        return _safe(node.test, loops) and each(node.body) and each(node.elif_) and each(node.else_)
    if isinstance(node, nodes.For):
        target: Any = node.target
        plain = isinstance(target, nodes.Name) and _is_messages(node.iter) and not loops
        return plain and not (node.test or node.recursive) and each(node.body, frozenset({target.name}))
    if isinstance(node, nodes.CallBlock):  # {% generation %}, as transformers has it
        called: Any = node.call.node
        named = isinstance(called, nodes.ExtensionAttribute) and called.name == "_generation_support"
        return named and not (node.call.args or node.call.kwargs or node.args) and each(node.body)
    return False


def _written(node: Any, loops: frozenset[str]) -> bool:
    """Whether an expression that is written out does no more with contents than to put them beside other text."""
    from jinja2 import nodes

    if isinstance(node, nodes.Add):
        return _written(node.left, loops) and _written(node.right, loops)
    if isinstance(node, nodes.Concat):
        return all(_written(child, loops) for child in node.nodes)
    if isinstance(node, nodes.CondExpr):
        both = [node.expr1] if node.expr2 is None else [node.expr1, node.expr2]
        return _safe(node.test, loops) and all(_written(child, loops) for child in both)
    return _key_of_message(node, loops) == "content" or _safe(node, loops)


def _safe(node: Any, loops: frozenset[str]) -> bool:
    """Whether an expression is the same for all conversations with the same roles."""
    from jinja2 import nodes

    if isinstance(node, (nodes.Const, nodes.TemplateData)):
        return True
    if isinstance(node, nodes.Name):
        return node.name not in loops | {"messages", "loop", "self"}
    if isinstance(node, (nodes.Getattr, nodes.Getitem)):
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            return isinstance(node, nodes.Getattr) and node.attr in _LOOP
        # What a message does not have is undefined, always; but in Jinja a dict's methods are attributes as well.
        key = _key_of_message(node, loops)
        return key is not None and key != "content" and not hasattr(dict, key)
    if isinstance(node, nodes.Filter):
        return node.name == "length" and node.node is not None and _is_messages(node.node)
    if isinstance(node, nodes.Test):
        bare = not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
        return node.name in ("defined", "undefined", "none") and bare and _safe(node.node, loops)
    if isinstance(node, (nodes.BinExpr, nodes.UnaryExpr, nodes.Compare, nodes.Operand, nodes.CondExpr, nodes.Concat)):
        return all(_safe(child, loops) for child in node.iter_child_nodes())
    return isinstance(node, (nodes.List, nodes.Tuple)) and all(_safe(child, loops) for child in node.items)


def _key_of_message(node: Any, loops: frozenset[str]) -> str | None:
    """Return the key where an expression is a message's value, of a loop's message or of one by its number."""
    from jinja2 import nodes

    if isinstance(node, nodes.Getattr):
        key: Any = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        key = node.arg.value
    else:
        return None
    of: Any = node.node
    one = isinstance(of, nodes.Name) and of.name in loops
    if isinstance(of, nodes.Getitem) and _is_messages(of.node):
        number: Any = of.arg.node if isinstance(of.arg, nodes.Neg) else of.arg
        one = isinstance(number, nodes.Const) and type(number.value) is int
    return key if isinstance(key, str) and one else None


def _is_messages(node: Any) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Name) and node.name == "messages"
