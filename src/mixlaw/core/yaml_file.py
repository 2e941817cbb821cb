"""YAML in which every key is a name and stands once, and which cannot be made to take hours or gigabytes.

The limits (`mixlaw.core.limits`) are far beyond any file that a person writes: they stop text that is small and means
much, such as aliases of aliases, whose few lines would be billions of values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mixlaw.core.errors import ConfigError
from mixlaw.core.limits import limit, raised

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_SHOWN = 40


def read_yaml(path: str | Path, missing: str = "Check the path.") -> Any:
    """Return what a YAML file holds.

    Args:
        path: the file.
        missing: what to do where there is no such file, one sentence.

    Raises:
        ConfigError: the file is missing, too large, no UTF-8, no YAML, has a key twice, a number or
            date that cannot be, or goes beyond a limit; the message names the line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > limit("yaml_bytes"):
            raise ConfigError(
                f"{path} has {path.stat().st_size:,} bytes; a YAML file may have {limit('yaml_bytes'):,}.",
                f"Check the path, or shorten the file. {raised('yaml_bytes')}",
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"No such file: {path}.", missing) from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; a YAML file is needed.", "Give the path of the file in it.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from None
    try:
        loader = UniqueKeys(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        if problem.startswith("but "):  # the end of a sentence that begins with what was expected
            problem = f"{getattr(error, 'context', None) or 'something else was expected'}, {problem}"
        raise ConfigError(f"{where}: {problem}.", "Correct the YAML.") from None


class UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, and what is beyond the limits."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0
        self._most = {name: limit(f"yaml_{name}") for name in ("depth", "values", "digits")}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > self._most["depth"]:
            raise _refused(f"more than {self._most['depth']} nested levels", self.peek_event())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _count(node, {}, self._most["values"])
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        if node.tag in _NUMBERS and ":" in node.value:
            return node.value  # a time, such as 4:00:00, and not a number of base 60
        if node.tag in _NUMBERS and len(node.value) > self._most["digits"]:
            most = self._most["digits"]
            raise _refused(f"a number of {len(node.value):,} characters; at most {most} are read", node)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError):  # 2024-13-45 looks like a date and is none
            text = node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}..."
            what = node.tag.rpartition(":")[2]
            kind = {"timestamp": "date", "int": "number", "float": "number", "bool": "truth value"}.get(what, what)
            problem = f"{text!r} looks like a {kind} but is not one; put a text in quotes"
            raise _refused(problem, node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            # A key is a name: `no`, `2024` and `1.5` are domains like any other, not a truth value and numbers.
            if isinstance(key_node, yaml.ScalarNode):
                key_node.tag = "tag:yaml.org,2002:str"
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if isinstance(key, (str, int)) and key in seen:
                raise _refused(f"the key '{key}' appears twice (first on line {seen[key]})", key_node)
            if isinstance(key, (str, int)):
                seen[key] = line
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, known: dict[int, int], most: int) -> int:
    """Return how many values a node stands for; raise where they are too many, or it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise _refused("a value that contains itself", node)
        return known[id(node)]
    known[id(node)] = 0
    inside = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    total = 1
    for part in inside:
        total += _count(part, known, most)
        if total > most:
            raise _refused(f"more than {most:,} values, counting those that aliases repeat", node)
    known[id(node)] = total
    return total


def _refused(problem: str, at: Any) -> yaml.YAMLError:
    make: Callable[..., yaml.YAMLError] = yaml.constructor.ConstructorError
    return make(None, None, problem, at.start_mark)
