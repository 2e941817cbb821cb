"""Writes docs/constants.md: every constant of laws, fit, design and solve, with what its file says of it.

python tests/docs/constants_reference.py docs/constants.md
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[2] / "src" / "mixlaw"
PARTS = ("laws", "fit", "design", "solve")

HEAD = """# Constants

Every number that has a name in the laws, the fit, the designs and the solver: its value, what it does, and where it
comes from.

- *Source*: it is somebody else's, or follows from a formula.
- *Chosen on*: values were compared on these data, and this one was taken. [The lab log](lab.md) has the comparisons.
- *No data*: set by reasoning, custom or for speed. As far as is recorded, nothing was compared.

The benchmarks now have halves: constants may be chosen on the tuning half, and only the reporting half is quoted.
*Before the split* means that a constant was chosen on all of a benchmark's held-out mixtures, so also on some that are
quoted today. *Earlier planted worlds* have none of the seeds that are quoted; all domains of such a world were alike.
"""


class Constant(NamedTuple):
    """A constant and what is said of it."""

    name: str
    value: str
    text: str


def numeric(node: ast.expr) -> bool:
    """Return whether a value is made of numbers, texts and arithmetic on them."""
    allowed = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Attribute)
    kinds = (*allowed, ast.Subscript, ast.operator, ast.unaryop, ast.expr_context, ast.Starred, ast.keyword, ast.Load)
    parts = list(ast.walk(node))
    some = any(isinstance(part, ast.Constant) and type(part.value) in (int, float) for part in parts)
    return some and all(isinstance(part, kinds) for part in parts)


def constants(path: Path) -> Iterator[Constant]:
    """Yield the constants of a file: assignments of numbers to names in capitals at its top level."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for place, node in enumerate(body):
        after = body[place + 1] if place + 1 < len(body) else None
        if not (isinstance(node, ast.Assign) and numeric(node.value)):
            continue
        targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if not names or not all(name.strip("_").isupper() for name in names):
            continue
        said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        text = " ".join(str(after.value.value).split()) if said else ""  # type: ignore[union-attr]
        yield Constant(", ".join(names), ast.unparse(node.value), text)


def files() -> list[Path]:
    """Return the files of the parts."""
    return [path for part in PARTS for path in sorted((PACKAGE / part).rglob("*.py"))]


def reference() -> str:
    """Return the page."""
    lines = [HEAD]
    for path in files():
        found = list(constants(path))
        if found:
            module = ".".join(("mixlaw", *path.relative_to(PACKAGE).with_suffix("").parts))
            lines += [f"## {module}\n", "| constant | value | what it does, and where it comes from |", "|---|---|---|"]
            lines += [f"| `{c.name}` | `{c.value}` | {c.text} |" for c in found]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
