"""What the columns of a run table are called, and which unknown column is one of them by another name.

A run table may have columns of the user's own, which no fit reads: notes, settings, what a tracker exports. A column is
taken for a known one by another name only where nothing else is likely: then leaving it out would change the fit, and
nobody would notice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mixlaw.core.fidelity import is_missing

PREFIXES = ("tokens", "loss", "count", "unique", "metric", "error")
SINGLE = ("run", "seed", "params", "checkpoint_of", "fidelity", "study")

_NEAR = 0.75
"""Likeness (difflib's) from which a prefix is taken for a misspelt one: `token`, `losses`, `Loss`. No data."""

_LONG = 5
"""Letters from which a name with one wrong letter is taken for a misspelt one: `speed` is no `seed`. No data."""

_PREFIX_SAYS = {
    **dict.fromkeys(("tok", "toks", "ntokens", "numtokens", "tokencount", "traintokens", "trainingtokens"), "tokens"),
    **dict.fromkeys(("valloss", "validloss", "validationloss", "evalloss", "evaluationloss"), "loss"),
    **dict.fromkeys(("testloss", "devloss", "heldoutloss", "nll", "nats", "crossentropy"), "loss"),
    **dict.fromkeys(("uniq", "uniquetokens", "distinct", "distincttokens", "availabletokens"), "unique"),
    **dict.fromkeys(("stderr", "stderror", "standarderror"), "error"),
}
"""What else people write before the colon, letters only -> the right prefix."""

_PREFIX_MAY_SAY = {
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "heldout"), "loss"),
    **dict.fromkeys(("train", "training", "trained"), "tokens"),
    **dict.fromkeys(("available", "pool"), "unique"),
}
"""The same, of what means it only before the name of a domain or target of the table, whose right column is lacking."""

_NAME_SAYS = {
    **dict.fromkeys(("nparams", "numparams", "parameters", "nparameters", "numparameters", "paramcount"), "params"),
    **dict.fromkeys(("modelparams", "modelparameters", "modelsize"), "params"),
    **dict.fromkeys(("studyname", "studyid"), "study"),
}
"""The same for columns without a colon. One value in all rows tells a fit nothing, and such a column is left alone."""

_EVALUATED = ("", "eval", "val", "valid", "validation", "test")
_WHOLE = ("total", "all", "sum", "mean", "average", "overall")
"""Names of targets with which `tokens_total` may well be a sum."""


def meant(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return unknown column -> the known one that it is by another name; users' own columns are not in it.

    Args:
        columns: of a run table, name -> cells. A column of empty cells is never in the result.
    """
    names = {prefix: [c.partition(":")[2] for c in columns if c.startswith(f"{prefix}:")] for prefix in PREFIXES}
    joined = _joined(names)
    found = {}
    for column in unknown(columns):
        cells = columns[column]
        right = _with_colon(column, columns, names) if ":" in column else _without_colon(column, columns, cells, joined)
        if right and not all(map(is_missing, cells)):
            found[column] = right
    return found


def unknown(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that no run table has, by their names as they are."""
    return tuple(c for c in columns if c not in SINGLE and not (":" in c and c.partition(":")[0] in PREFIXES))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def _with_colon(column: str, columns: Iterable[str], names: Mapping[str, list[str]]) -> str:
    before, _, name = column.partition(":")
    prefix = _letters(before)
    if right := _PREFIX_SAYS.get(prefix, ""):
        return f"{right}:{name.strip()}"
    right = _PREFIX_MAY_SAY.get(prefix, "")
    if right and name.strip() in {*names["tokens"], *names["loss"]} and f"{right}:{name.strip()}" not in columns:
        return f"{right}:{name.strip()}"
    near = difflib.get_close_matches(prefix, PREFIXES, n=1, cutoff=_NEAR)
    return f"{near[0]}:{name.strip()}" if near else ""


def _without_colon(column: str, columns: Iterable[str], cells: Sequence[Any], joined: Mapping[str, str]) -> str:
    letters = _letters(column)
    for right in SINGLE:
        if letters in (_letters(right), f"{_letters(right)}s"):
            return right
    for right in SINGLE:
        if right not in columns and len(right) >= _LONG and _one_letter_apart(letters, _letters(right)):
            return right
    right = _NAME_SAYS.get(letters, "")
    if right and right not in columns and len({str(cell) for cell in cells}) > 1:
        return right
    return joined.get(letters, "")


def _joined(names: Mapping[str, list[str]]) -> dict[str, str]:
    """Return how a column could be written that is lacking of a known domain or target: letters -> the right column."""
    found: dict[str, str] = {}

    def add(prefix: str, name: str, ways: Callable[[str, str], tuple[str, ...]]) -> None:
        if name in names[prefix] or _letters(name) in _WHOLE or not _letters(name):
            return
        for said in (prefix, *(word for word, right in _PREFIX_SAYS.items() if right == prefix)):
            found.update(dict.fromkeys(ways(said, _letters(name)), f"{prefix}:{name}"))

    for name in names["tokens"]:
        add("loss", name, lambda said, of: (said + of, of + said, *(f"{e}{of}loss" for e in _EVALUATED)))
        add("unique", name, lambda said, of: (said + of, of + said))
    for name in names["loss"]:
        add("tokens", name, lambda said, of: (said + of, of + said))
    return found


def _one_letter_apart(one: str, other: str) -> bool:
    """Return whether a letter too many, too few or wrong, or two in the wrong order, sets two words apart."""
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    one, other = one[start:], other[start:]
    return (
        one[1:] == other[1:] or one[1:] == other or one == other[1:] or (one[1::-1], one[2:]) == (other[:2], other[2:])
    )
