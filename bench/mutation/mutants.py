"""Small wrong changes to a file of Python, one at a time, and a sample of them.

A mutant is a number that is changed, a comparison turned or moved by its boundary, an operator exchanged, a term or a
factor dropped, a statement left out, a result replaced by nothing. Texts, types, messages of exceptions and `__repr__`
are left alone: no test should depend on them.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_QUIET = {"__repr__", "_repr_html_", "__str__"}
_TURNED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_EXCHANGED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.FloorDiv: ast.Div,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLS = [("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("all", "any"), ("floor", "ceil")]
_CALLS += [("nanmin", "nanmax"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("mean", "median"), ("std", "var")]
_RENAMED = {**dict(_CALLS), **{b: a for a, b in _CALLS}}
_UNWRAPPED = {
    "abs",
    "sqrt",
    "exp",
    "log",
    "log1p",
    "expm1",
    "clip",
    "nan_to_num",
    "sorted",
    "cumsum",
    "round",
    "square",
}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: path from the root of the repository.
        number: place among the file's mutants.
        line: where the change lies.
        first: where its statement begins.
        where: the function, with its class; `<module>` outside.
        kind: what sort of change.
        before: the statement, or its first line, as it is.
        after: as the mutant has it.
        names: constants of the module that the statement sets.
        id: the same for the same change in a file of another name.
    """

    file: str
    number: int
    line: int
    first: int
    where: str
    kind: str
    before: str
    after: str
    names: tuple[str, ...]
    id: str


@dataclass
class _Change:
    kind: str
    node: ast.AST
    statement: ast.stmt
    where: str
    apply: Callable[[], None]
    undo: Callable[[], None]


def mutants(root: Path, file: str) -> list[Mutant]:
    """Return all mutants of a file."""
    tree = ast.parse((root / file).read_text())
    found, seen = [], defaultdict(int)
    for number, change in enumerate(_changes(tree)):
        before = _head(change.statement)
        change.apply()
        after = _head(change.statement) if not isinstance(change.statement, ast.Pass) else "pass"
        change.undo()
        if change.kind == "statement dropped":
            after = "pass"
        key = f"{change.where}|{before}|{change.kind}|{after}"
        seen[key] += 1
        name = hashlib.sha256(f"{key}|{seen[key]}".encode()).hexdigest()[:10]
        line = getattr(change.node, "lineno", change.statement.lineno)
        place = (file, number, line, change.statement.lineno)
        found.append(Mutant(*place, change.where, change.kind, before, after, _sets(change.statement), name))
    return [mutant for mutant in found if mutant.before != mutant.after]


def mutated(source: str, number: int) -> ast.Module:
    """Return the tree of a file with one of its changes made."""
    tree = ast.parse(source)
    for place, change in enumerate(_changes(tree)):
        if place == number:
            change.apply()
            return ast.fix_missing_locations(tree)
    raise IndexError(number)


def sample(root: Path, files: list[str], count: int, seed: int) -> list[Mutant]:
    """Return `count` mutants: files in proportion to their mutable lines, at most one mutant a line.

    A larger count with the same seed holds nearly all of a smaller one.
    """
    lines = {}
    for file in files:
        by_line = defaultdict(list)
        for mutant in mutants(root, file):
            by_line[mutant.line].append(mutant)
        lines[file] = by_line
    total = sum(map(len, lines.values()))
    exact = {file: min(count / total, 1.0) * len(by_line) for file, by_line in lines.items()}
    quota = {file: int(share) for file, share in exact.items()}
    for file in sorted(files, key=lambda file: quota[file] - exact[file])[: min(count, total) - sum(quota.values())]:
        quota[file] += 1
    chosen = []
    for file, by_line in lines.items():
        rng = random.Random(f"{seed}:{file.rsplit('/', 1)[-1]}")
        places = sorted(by_line)
        rng.shuffle(places)
        chosen += [rng.choice(by_line[line]) for line in places][: quota[file]]
    return chosen


def _head(statement: ast.stmt) -> str:
    """Return the statement as text; of a compound one the first line."""
    text = ast.unparse(statement)
    return text.split("\n")[0] if hasattr(statement, "body") else text


def _sets(statement: ast.stmt) -> tuple[str, ...]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return tuple(target.id for target in targets if isinstance(target, ast.Name))


def _changes(tree: ast.Module) -> Iterator[_Change]:
    """Yield the changes of a tree, always in the same order; each must be undone before the next."""
    yield from _block(tree, "<module>")


def _block(parent: ast.AST, where: str) -> Iterator[_Change]:
    for field in ("body", "orelse", "finalbody"):
        for place, statement in enumerate(getattr(parent, field, [])):
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                if statement.name in _QUIET:
                    continue
                name = statement.name if where == "<module>" else f"{where}.{statement.name}"
                if isinstance(statement, ast.FunctionDef):
                    for default in [*statement.args.defaults, *[d for d in statement.args.kw_defaults if d]]:
                        yield from _constant(statement.args, default, statement, name)
                yield from _block(statement, name)
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom) or "TYPE_CHECKING" in _head(statement):
                continue
            yield from _statement(getattr(parent, field), place, statement, where)
            yield from _block(statement, where)
    for handler in getattr(parent, "handlers", []):
        yield from _block(handler, where)


def _statement(siblings: list[ast.stmt], place: int, statement: ast.stmt, where: str) -> Iterator[_Change]:
    def put(kind: str, new: ast.stmt) -> _Change:
        def undo() -> None:
            siblings[place] = statement

        ast.copy_location(new, statement)
        return _Change(kind, statement, statement, where, lambda: siblings.__setitem__(place, new), undo)

    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    stored = isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Name | ast.Tuple)
    dropped = isinstance(statement, ast.AugAssign | ast.Expr | ast.Raise | ast.Continue | ast.Break)
    if stored or dropped:
        yield put("statement dropped", ast.Pass())
    if isinstance(statement, ast.Raise):
        return
    if isinstance(statement, ast.If):
        for value in (False, True):
            yield _swap("condition fixed", statement, "test", None, ast.Constant(value), statement, where)
    if isinstance(statement, ast.Return) and statement.value is not None:
        neutral = _neutral(statement.value)
        if neutral is not None:
            yield _swap("result replaced", statement, "value", None, neutral, statement, where)
    if isinstance(statement, ast.AugAssign) and type(statement.op) in _EXCHANGED:
        new = _EXCHANGED[type(statement.op)]()
        yield _swap("operator exchanged", statement, "op", None, new, statement, where)
    for field, value in ast.iter_fields(statement):
        if field in ("body", "orelse", "finalbody", "handlers", "annotation", "type_comment", "op", "msg"):
            continue
        for index, child in _children(value):
            yield from _expression(statement, field, index, child, statement, where)


def _neutral(value: ast.expr) -> ast.expr | None:
    if isinstance(value, ast.Constant | ast.JoinedStr | ast.Tuple | ast.Dict):
        return None
    if isinstance(value, ast.Compare | ast.BoolOp) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    ):
        return ast.UnaryOp(ast.Not(), value)
    if isinstance(value, ast.BinOp):
        return ast.BinOp(value, ast.Mult(), ast.Constant(0.0))
    return ast.Constant(None)


def _children(value: object) -> Iterator[tuple[int | None, ast.AST]]:
    if isinstance(value, ast.AST):
        yield None, value
    elif isinstance(value, list):
        yield from ((index, child) for index, child in enumerate(value) if isinstance(child, ast.AST))


def _swap(
    kind: str, parent: ast.AST, field: str, index: int | None, new: ast.AST, statement: ast.stmt, where: str
) -> _Change:
    old = getattr(parent, field) if index is None else getattr(parent, field)[index]
    if hasattr(old, "lineno") and not hasattr(new, "lineno"):
        ast.copy_location(new, old)

    def put(node: ast.AST) -> None:
        if index is None:
            setattr(parent, field, node)
        else:
            getattr(parent, field)[index] = node

    at = old if hasattr(old, "lineno") else parent
    return _Change(kind, at, statement, where, lambda: put(new), lambda: put(old))


def _constant(parent: ast.AST, node: ast.AST, statement: ast.stmt, where: str) -> Iterator[_Change]:
    """Yield another value of a number or truth value, wherever in the parent it stands."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, bool | int | float):
        return
    old = node.value
    new = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else old * 1.5 if old else 1.0

    def put(value: object) -> None:
        node.value = value  # type: ignore[assignment]

    yield _Change("constant changed", node, statement, where, lambda: put(new), lambda: put(old))


def _expression(
    parent: ast.AST, field: str, index: int | None, node: ast.AST, statement: ast.stmt, where: str
) -> Iterator[_Change]:
    if isinstance(node, ast.JoinedStr):
        return

    def swap(kind: str, new: ast.AST) -> _Change:
        return _swap(kind, parent, field, index, new, statement, where)

    def inner(kind: str, name: str, new: ast.AST, at: int | None = None) -> _Change:
        return _swap(kind, node, name, at, new, statement, where)

    yield from _constant(parent, node, statement, where)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for op in _TURNED[type(node.ops[0])]:
            yield inner("comparison turned", "ops", op(), 0)
    elif isinstance(node, ast.BinOp) and not _text(node):
        if type(node.op) in _EXCHANGED:
            yield inner("operator exchanged", "op", _EXCHANGED[type(node.op)]())
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
            yield swap("second operand dropped", node.left)
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            yield swap("first operand dropped", node.right)
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield swap("sign or not dropped", node.operand)
    elif isinstance(node, ast.BoolOp):
        yield inner("and exchanged with or", "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for place in range(len(node.values)):
            rest = node.values[:place] + node.values[place + 1 :]
            yield swap("condition dropped", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest))
    elif isinstance(node, ast.IfExp):
        yield swap("branch fixed", node.body)
        yield swap("branch fixed", node.orelse)
    elif isinstance(node, ast.comprehension):
        for place in range(len(node.ifs)):
            yield inner("filter dropped", "ifs", ast.Constant(True), place)
    elif isinstance(node, ast.Call):
        yield from _call(node, swap, inner)
    for name, value in ast.iter_fields(node):
        if name not in ("op", "ops", "ctx", "annotation", "returns"):
            for at, child in _children(value):
                yield from _expression(node, name, at, child, statement, where)


def _call(node: ast.Call, swap: Callable[..., _Change], inner: Callable[..., _Change]) -> Iterator[_Change]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _RENAMED:
        other = _RENAMED[name]
        if isinstance(node.func, ast.Attribute):
            yield inner("call exchanged", "func", ast.Attribute(node.func.value, other, ast.Load()))
        elif name in ("min", "max", "all", "any"):
            yield inner("call exchanged", "func", ast.Name(other, ast.Load()))
    if name in _UNWRAPPED and node.args:
        yield swap("call dropped", node.args[0])
    for place, keyword in enumerate(node.keywords):
        if keyword.arg in ("axis", "keepdims", "where", "initial", "default", "ddof", "x_scale", "weights"):
            rest = node.keywords[:place] + node.keywords[place + 1 :]
            yield swap("argument dropped", ast.Call(node.func, node.args, rest))


def _text(node: ast.BinOp) -> bool:
    sides = [node.left, node.right]
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in sides
    )
