"""In which form a tool reads a mixture: its rows as conversations, or as tokens with labels.

As conversations where the tool carries all that the rows hold and would supervise the tokens that mixlaw counted. As
tokens elsewhere: ids and labels, on which nothing is left to interpret. Two tools cannot read tokens: for these, rows
that they would change are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.data.exports.traits import Traits

ROWS = ("auto", "conversations", "tokens")
READS_TOKENS = ("trl", "axolotl", "llamafactory")
CARRIES: dict[str, frozenset[str]] = {
    "trl": frozenset({"tools", "calls", "results", "loose_results", "reasoning", "names", "developer"}),
    "axolotl": frozenset({"tools", "calls", "results", "loose_results", "reasoning", "weights", "names", "developer"}),
    "llamafactory": frozenset(
        {"tools", "calls", "results", "loose_results", "reasoning", "names", "developer", "text_arguments"}
    ),
    "open-instruct": frozenset(),
    "nemo": frozenset({"tools", "calls", "results", "reasoning", "names"}),
}
"""Tool -> what it carries in conversations. What LLaMA-Factory cannot read of single rows, `sharegpt` says."""
NAMES = {"trl": "TRL", "axolotl": "Axolotl", "llamafactory": "LLaMA-Factory", "nemo": "NeMo"}


@dataclass(frozen=True)
class Form:
    """How the rows are written.

    Attributes:
        tokens: whether as tokens.
        why: the reason, a sentence.
    """

    tokens: bool
    why: str


def lost(tool: str, traits: Traits) -> set[str]:
    """Return the traits of the rows that a tool does not carry in conversations."""
    return set(traits.counts) - CARRIES.get(tool, frozenset())


def form_by_traits(tool: str, traits: Traits, rows: str, marked: bool) -> Form | None:
    """Return the form that follows from what rows hold; None where the tool's masks must be looked at.

    Args:
        tool: one of the known tools.
        traits: of the rows.
        rows: one of `ROWS`, as asked for.
        marked: whether the chat template has {% generation %} markers.

    Raises:
        ConfigError: tokens are asked of a tool that cannot read them.
        DataError: the tool would lose a part of the rows, and cannot read tokens or shall not.
    """
    name = NAMES.get(tool, tool)
    if rows not in ROWS:
        raise ConfigError(f"--rows: there is no form '{rows}'.", f"Choose one of: {', '.join(ROWS)}.")
    if rows == "tokens":
        if tool not in READS_TOKENS:
            raise ConfigError(f"--rows tokens: {name} reads no tokens.", f"Tools that do: {', '.join(READS_TOKENS)}.")
        return Form(True, "Rows are tokens with labels, because of --rows tokens.")
    gone = lost(tool, traits)
    if gone:
        what = f"{name} would lose {traits.said(gone)}"
        if tool not in READS_TOKENS:
            raise DataError(f"{what}.", f"Export to a tool that reads tokens ({', '.join(READS_TOKENS)}).")
        if rows == "conversations":
            raise DataError(f"{what}.", "Export with --rows tokens: token ids and labels, which lose nothing.")
        return Form(True, f"Rows are tokens with labels: {what}.")
    if tool == "trl" and not marked:
        what = "TRL finds the answers only by a chat template's {% generation %} markers, and the model's has none"
        if rows == "conversations":
            raise DataError(f"{what}.", "Export with --rows tokens, or add the markers to the template.")
        return Form(True, f"Rows are tokens with labels: {what}.")
    if tool == "trl" and not traits.plain and rows == "auto":
        return Form(
            True,
            "Rows are tokens with labels: TRL gets rows by datasets, whose versions before 5 give turns keys that they "
            f"do not have ({traits.said(traits.counts)}).",
        )
    return None


def form_by_masks(tool: str, differ: int, compared: int, rows: str) -> Form:
    """Return the form that follows from the tokens that a tool would supervise in some rows.

    Raises:
        DataError: it would supervise others, and conversations were asked for.
    """
    name = NAMES.get(tool, tool)
    if not differ:
        return Form(
            False,
            f"Rows are conversations: {name} supervises the same tokens as mixlaw ({compared:,} rows compared).",
        )
    what = f"{name} would supervise tokens other than mixlaw's in {differ:,} of {compared:,} rows that were compared"
    if rows == "conversations":
        raise DataError(f"{what}.", "Export with --rows tokens: token ids and labels as mixlaw counted them.")
    return Form(True, f"Rows are tokens with labels: {what}.")
