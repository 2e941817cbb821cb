"""What --help says of a verb: its docstring as text, the examples in it at the end, where Rich sets them apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rich.markup import escape

_PANELS = {
    "Whole job": ("demo", "init", "check", "run"),
    "Runs": ("plan", "train", "status", "cancel", "verify", "adopt"),
    "Numbers": ("fit", "laws", "solve", "predict"),
    "Results": ("mix", "report", "export", "compare", "final", "evaluate", "push"),
}
_EXAMPLES = "\n\nExamples:\n"


def described(verb: Callable[..., None]) -> dict[str, Any]:
    """Return the keywords that Typer's `command` takes for a verb: its help, its examples and its panel.

    Examples are the indented lines after `Examples:`, which ends the docstring.

    Raises:
        ValueError: the docstring has no examples.
        StopIteration: no panel has the verb.
    """
    text, found, examples = (inspect.getdoc(verb) or "").partition(_EXAMPLES)
    if not found:
        raise ValueError(f"The docstring of the verb '{verb.__name__}' does not end with 'Examples:'.")
    lines = ["[bold]Examples[/bold]", *(f"[dim]$[/dim] {escape(line.strip())}" for line in examples.splitlines())]
    panel = next(name for name, verbs in _PANELS.items() if verb.__name__ in verbs)
    # Lines of a docstring end where its source is wide; those of a terminal end where it is.
    text = "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in text.split("\n\n"))
    return {"help": escape(text), "epilog": "\n".join(lines), "rich_help_panel": panel}
