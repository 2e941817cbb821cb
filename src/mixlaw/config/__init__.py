"""mix.yaml: one file, read into a typed tree. Every problem is reported at once, with its path and a suggestion."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AliasChoices,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from mixlaw.config.answer import FitNode, SolveNode
from mixlaw.config.base import Node, suggest
from mixlaw.config.executor import ExecutorNode
from mixlaw.config.plan import PlanNode
from mixlaw.config.sources import CollectionNode, DomainNode, Path_, collection_problems, name_problem
from mixlaw.config.trackers import Trackers
from mixlaw.config.train import Train, default_train, train_keys, train_problem
from mixlaw.config.values import Tokens
from mixlaw.core.domain import FILE_SUFFIXES, Domain
from mixlaw.core.errors import ConfigError
from mixlaw.core.linear_constraint import LinearConstraint
from mixlaw.core.yaml_file import read_yaml

_log = logging.getLogger(__name__)
_hinted: set[str] = set()
"""Files of which an old key has been named."""
_LONGEST_SHOWN = 80
"""Characters of a value in a message."""


class ModelNode(Node):
    """The base model: Hugging Face's names."""

    name_or_path: Path_
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attn_implementation: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"


class ValidationNode(Node):
    """What the losses are measured on: rows held out of each domain."""

    rows: Annotated[int, Field(ge=1)] = 500


class Config(Node):
    """The whole of mix.yaml. Relative paths have been resolved against its folder."""

    study: Path_
    model: ModelNode
    final_model: ModelNode | None = None
    collection: CollectionNode | None = None
    domains: dict[str, DomainNode]
    validation: ValidationNode = ValidationNode()
    budget_tokens: Tokens = Field(validation_alias=AliasChoices("budget", "budget_tokens"))
    plan: PlanNode = PlanNode()
    train: Train = Field(default_factory=default_train)
    fit: FitNode = FitNode()
    solve: SolveNode = SolveNode()
    executor: ExecutorNode = ExecutorNode()
    report_to: Trackers = ()

    @model_validator(mode="before")
    @classmethod
    def _a_collection_is_enough(cls, tree: Any) -> Any:
        if isinstance(tree, Mapping) and tree.get("collection") is not None and "domains" not in tree:
            return {**tree, "domains": {}}
        return tree

    @field_validator("domains")
    @classmethod
    def _some_domains(cls, value: dict[str, DomainNode], info: ValidationInfo) -> dict[str, DomainNode]:
        if not value and info.data.get("collection", ...) is None:
            raise ValueError("there must be at least one domain")
        for wrong in filter(None, map(name_problem, value)):
            raise ValueError(wrong)
        return value

    def domain_values(self) -> dict[str, Domain]:
        """Return name -> Domain."""
        return {
            name: Domain(
                name,
                **node.model_dump(exclude={"license", "values", "ignore"}),
                ignore=tuple(node.ignore),
                values=tuple(node.values or ()),
            )
            for name, node in self.domains.items()
        }

    @property
    def names_known(self) -> bool:
        """Whether all domains are known, or only the rows of the collection say what there are."""
        return self.collection is None or self.collection.domains is not None

    def with_collection(self, domains: Mapping[str, list[str]], source: str) -> Config:
        """Return it with the domains of its collection, name -> values; raise ConfigError with all problems of them."""
        if self.collection is None:
            return self
        collection = self.collection.model_copy(update={"domains": dict(domains)})
        nodes = collection.nodes()
        problems = collection_problems(self.domains, nodes)
        config = self.model_copy(update={"collection": collection, "domains": {**self.domains, **nodes}})
        if problems := problems or _solve_problems(config):
            raise _as_error(source, problems)
        return config


def as_written(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a dumped configuration as mix.yaml has them."""
    return {"budget" if key == "budget_tokens" else key: value for key, value in tree.items()}


def load_config(path: str | Path) -> Config:
    """Read mix.yaml.

    Raises:
        ConfigError: `read_yaml` cannot read it, or any number of wrong or unknown keys (in one message).
    """
    path = Path(path)
    tree = read_yaml(path, "Write one with `mixlaw init`.")
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no keys.", "Write one with `mixlaw init`.")
    folder = path.resolve().parent
    if "budget_tokens" in tree:
        if "budget" in tree:
            raise _as_error(str(path), ["budget_tokens: the old name of budget, which is there, too; leave it out"])
        if str(path) not in _hinted:
            _log.warning("%s: use `budget: ...` instead of `budget_tokens: ...`.", path)
            _hinted.add(str(path))
    return _resolved(parse_config(tree, str(path), folder), folder)


def parse_config(tree: Mapping[str, Any], source: str = "configuration", folder: Path = Path(".")) -> Config:
    """Return the typed configuration of a tree; raise ConfigError with every problem of it.

    Args:
        tree: the keys and their values.
        source: what messages call it.
        folder: where relative paths begin.
    """
    try:
        config = Config.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        problems = [_problem(keys, e["type"], e["msg"], e.get("input"), tree) for keys, e in _told(error, tree)]
        raise _as_error(source, problems) from None
    if config.collection is not None and config.collection.domains is not None:
        return config.with_collection(config.collection.domains, source)
    if problems := _solve_problems(config):
        raise _as_error(source, problems)
    return config


def _solve_problems(config: Config) -> list[str]:
    """Return what is wrong with `solve` given the domains and its other keys."""
    wishes, problems = config.solve, []
    metrics = [f"metric:{name}" for name in config.fit.metrics]
    for key in ("target_weight", "floor", "no_worse", "reference", "prior", "min", "max"):
        given = getattr(wishes, key)
        for name in given if isinstance(given, dict) else ():
            known = [*config.domains, *(metrics if key in ("target_weight", "floor", "no_worse") else ())]
            if name not in known and config.names_known:
                problems.append(f"solve.{key}.{name}: no such domain{suggest(name, known)}")
    for key in ("reference", "prior"):
        shares = getattr(wishes, key)
        if isinstance(shares, dict) and abs(sum(shares.values()) - 1) > 1e-6:
            problems.append(f"solve.{key}: the shares sum to {sum(shares.values()):.6g}; they must sum to 1")
    for place, text in enumerate(wishes.groups):
        try:
            LinearConstraint.parse(text, config.domains if config.names_known else ())
        except ConfigError as error:
            problems.append(f"solve.groups.{place}: {error}".rstrip("."))
    if wishes.objective == "weighted" and not wishes.target_weight:
        problems.append("solve.target_weight: objective 'weighted' needs the weight of at least one target")
    if wishes.target_weight and not any(wishes.target_weight.values()):
        problems.append("solve.target_weight: every weight is 0; at least one target must count")
    if wishes.objective == "mean" and wishes.target_weight:
        problems.append("solve.target_weight: objective 'mean' counts all targets the same; set objective: weighted")
    if wishes.reference is not None and not wishes.no_worse:
        problems.append("solve.reference: there is no target in solve.no_worse to compare with it")
    if wishes.certainty is not None and not (wishes.no_worse or wishes.floor):
        problems.append("solve.certainty: there is no limit, solve.no_worse or solve.floor, that is to hold with it")
    if wishes.reference == "base" and config.plan.base_model is False:
        problems.append("solve.reference: base needs the base model's losses; drop plan.base_model: false")
    if (wishes.prior is None) != (wishes.prior_strength is None):
        missing = "prior" if wishes.prior is None else "prior_strength"
        problems.append(f"solve.{missing}: missing; prior and prior_strength go together")
    return problems


def _as_error(source: str, problems: list[str]) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(f"{source}: {problems[0]}{'' if problems[0].endswith('?') else '.'}", "")
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return ConfigError(f"{source} has {len(problems)} problems:{lines}", "")


def _keys(error: ErrorDetails, tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that users wrote; Pydantic also names the branch of a union that it tried, such as `bool`."""
    keys: list[str] = []
    at: Any = tree
    for place, part in enumerate(error["loc"]):
        last = place == len(error["loc"]) - 1
        entries: Any = dict(enumerate(at)) if isinstance(at, list) else at
        if isinstance(entries, Mapping) and part in entries:
            at = entries[part]
        elif not (isinstance(at, Mapping) and last and error["type"] in ("missing", "trainer")):
            continue
        keys.append(str(part))
    return tuple(keys)


def _told(error: ValidationError, tree: Mapping[str, Any]) -> list[tuple[list[str], ErrorDetails]]:
    """Return keys and errors, without those of branches of a union that the user cannot have meant.

    A wrong shape is not told where another branch says what the value may be, nor a mapping where its keys are told.
    Branches that each say what the value may be are one error.
    """
    every = [(_keys(e, tree), e) for e in error.errors()]
    values = {keys for keys, e in every if e["type"] not in _SHAPES}
    within = {keys[:n] for keys, _ in every for n in range(len(keys))}
    told: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for keys, e in every:
        if (e["type"] not in _SHAPES or keys not in values) and not (
            keys in within and isinstance(e.get("input"), Mapping)
        ):
            told.setdefault(keys, []).append(e)
    return [(list(keys), e) for keys, errors in told.items() for e in _joined(errors)]


def _joined(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors of one key, as one where each says what the value may be."""
    wanted = [_wanted(error) for error in errors]
    if len(errors) == 1 or not all(wanted):
        return errors
    return [{**errors[0], "type": "wanted", "msg": " or ".join(dict.fromkeys(wanted))}]


def _wanted(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    least = f"at least {context['ge']}" if "ge" in context else ""
    return _VALUES.get(error["type"]) or context.get("expected") or least


def _problem(keys: list[str], kind: str, message: str, value: Any, tree: Mapping[str, Any]) -> str:
    path = ".".join(keys)
    if keys[:-1] == ["train"] and (problem := train_problem(kind, keys[-1], tree["train"])):
        return problem
    if kind == "extra_forbidden":
        known = train_keys(tree["train"]) if keys[:-1] == ["train"] else _known(keys[:-1])
        return f"{path}: unknown key{suggest(keys[-1], known)}"
    if kind == "missing":
        return f"{path}: missing"
    if kind in _SHAPES:
        return f"{path}: must be {_SHAPES[kind]}, not {_in_yaml(value)}"
    if kind in _VALUES or kind == "wanted":
        quoted = "; put it in quotes" if kind == "string_type" and isinstance(value, (bool, int, float, date)) else ""
        given = _in_yaml(value).removeprefix("the single value ")
        return f"{path}: must be {_VALUES.get(kind, message)}, not {given}{quoted}"
    message = message.removeprefix("Value error, ").rstrip(".")
    # The type first: what an alias stands for may be too much to write down.
    if value is not None and not isinstance(value, (dict, list)) and (said := _said(value)) not in message:
        message = f"{said}: {message[0].lower()}{message[1:]}"
    return message if message.startswith(f"{path}.") else f"{path}: {message}"


_SHAPES = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping, with one `key: value` per line"),
    "list_type": "a list",
}
"""Pydantic's kind of error -> what is wanted, in YAML's terms."""


_VALUES = {
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
}
"""Pydantic's kind of error -> what is wanted in the place of one value."""


def _in_yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else "nothing" if value is None else f"the single value {_said(value)}"


def _said(value: Any) -> str:
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _known(parents: list[str]) -> list[str]:
    """Return the keys allowed under a path."""
    node: Any = Config
    for part in parents:
        if not (isinstance(node, type) and issubclass(node, Node)):
            return []
        field = node.model_fields.get(part)
        if field is None:
            continue  # a domain's name: its node was entered already
        node = field.annotation
        for inner in get_args(node):
            if isinstance(inner, type) and issubclass(inner, Node):
                node = inner
    known = list(node.model_fields) if isinstance(node, type) and issubclass(node, Node) else []
    return ["budget" if name == "budget_tokens" else name for name in known]


def _resolved(config: Config, folder: Path) -> Config:
    """Return the configuration with local paths made absolute."""

    def local(path: str) -> str:
        there = folder / Path(path).expanduser()
        looks_local = path.startswith((".", "~", "/")) or there.exists() or path.lower().endswith(FILE_SUFFIXES)
        return str(there.resolve()) if looks_local or any(sign in path for sign in "*?[") else path

    domains = {name: node.model_copy(update={"path": local(node.path)}) for name, node in config.domains.items()}
    collection = config.collection and config.collection.model_copy(update={"path": local(config.collection.path)})
    model = config.model.model_copy(update={"name_or_path": local(config.model.name_or_path)})
    study = str((folder / Path(config.study).expanduser()).resolve())
    train = config.train
    if train.trainer_class.working_directory != "unused":
        train = train.model_copy(update={"working_directory": str((folder / train.folder.expanduser()).resolve())})
    final = config.final_model
    if final is not None:
        final = final.model_copy(update={"name_or_path": local(final.name_or_path)})
    resolved = {
        "final_model": final,
        "collection": collection,
        "domains": domains,
        "model": model,
        "study": study,
        "train": train,
    }
    return config.model_copy(update=resolved)
