"""Every JSON file that mixlaw writes: the format number it carries, what it must hold, and the one reader of all.

`KINDS` is the table of them. A file without `format` was written by version 0.1, before there were numbers, and is of
format 1. The number tells how a file is written, not what was computed: it is part of no run id, fingerprint or hash,
and the reader leaves it out of what it returns.

To change how a kind is written, raise its `format`, and say in `upgrade` how the content of an older file becomes one
of the new form; or raise `oldest`, where the file can be made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mixlaw.core.errors import DataError, MixlawError, NewerFormat
from mixlaw.core.files import read_json, write_json

T = TypeVar("T")

EACH = "*"
"""In a shape, the one key that stands for all keys of an object, whatever they are."""

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_WORDS |= {dict: "an object", list: "a list"}
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Kind:
    """One kind of JSON file.

    Attributes:
        files: where such files are, as a glob below the study folder.
        remedy: what to do about a file that is damaged or missing, one sentence.
        shape: what the file must hold; other keys are kept as they are. A type, `{key: shape}` for an object (a key
            that ends with "?" may be missing), `{EACH: shape}` for an object of any keys, or `[shape]` for a list.
        format: the number that is written now.
        oldest: the lowest number that is still read.
        upgrade: turns what a file of an older format holds into what one of this format would.
        unnumbered: the type of what files without a number have under the key `format`, which meant something else.
    """

    files: str
    remedy: str
    shape: Any
    format: int = 1
    oldest: int = 1
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict
    unnumbered: type | None = None


_PLAN = "Delete it and run `mixlaw plan mix.yaml`, which writes it again."
_TRAIN = "Delete the run's folder and train it again: mixlaw train mix.yaml."
_CACHE = "Delete its folder: what it held is made again."
_PLACE = "Name another folder with --out, or move this one away."
_NUMBERS, _TEXTS = {EACH: float}, {EACH: str}
_SPEC = {"name": str, "id?": str, "role": str, "seed": int, "tokens": _NUMBERS, "inputs": _TEXTS} | {
    "pools?": _NUMBERS,
    "keep_model?": bool,
}
_LOSS = {"nats": float, "count": float, "bytes?": float}
_ADDED = {"domains": [str], "instead": bool, "runs": [{"name": str, "tokens": {EACH: int}}], "reasons": [str]}
_TRAINER = {"trainer": str, "model": dict, "train": dict, "inputs": _TEXTS, "options?": dict, "folder?": str}
_SOLUTION = dict.fromkeys(("weights", "tokens", "epochs", "expected_regret", "marginal"), _NUMBERS) | {
    **dict.fromkeys(("budget_tokens", "total_loss", "extrapolation_factor"), float),
    **{"status": str, "predicted": {EACH: _NUMBERS}, "baselines": {EACH: dict}, "certificate": dict},
}
_FIT = {"law": str, "procedure": str, "choice": str} | {key: [str] for key in ("domains", "targets", "run_names")}
_FIT |= {"status": _TEXTS, "messages": _TEXTS, "diagnostics": {EACH: dict}, "warnings": [str], "tokens": [list]}
_FIT |= {"parameters": {EACH: _NUMBERS}, "draws": {EACH: {EACH: list}}, "scatter": {EACH: [float]}, "noise": _NUMBERS}
_RECORD = dict.fromkeys(("tokens", "supervised_tokens", "unique_tokens"), _NUMBERS) | {
    **{"spec": _SPEC, "losses": {EACH: _LOSS}, "steps": float, "parameters": float}
}
_PREPARED = {"row_format": str, "rows_per_source": [int]} | dict.fromkeys(
    ("dropped", "truncated", "lost_tokens", "duplicates", "copies"), int
)
_MANIFEST = {"id": str, "budget_tokens": int, "domains": {EACH: dict}, "files": [{"name": str, "sha256": str}]}


def _nested(key: str, shape: Any) -> dict[str, Any]:
    """Return what has changed for files whose own keys, names of the user's, could have been `format`."""
    return {"shape": {key: {EACH: shape}}, "format": 2, "upgrade": lambda value: {key: value}, "unnumbered": dict}


KINDS = {
    # the study
    "config": Kind("config.resolved.json", _PLAN, {"model": dict, "domains": dict, "train": dict}),
    "domains": Kind("domains.json", _PLAN, **_nested("domains", {"train": dict, "validation": dict})),
    "plan": Kind("plan.json", _PLAN, {"runs": [_SPEC]}),
    "trainer": Kind("trainer.json", _PLAN, _TRAINER | {"train_rows": _TEXTS, "validation_rows": _TEXTS}),
    "added": Kind("added.json", "Delete it: the runs are chosen anew.", _ADDED),
    "fit": Kind("fit.json", "Write it again with `mixlaw fit`.", _FIT, format=4, oldest=4),
    "solution": Kind("solution.json", "Run `mixlaw run mix.yaml`, which fits and solves again.", _SOLUTION, 2, 2),
    "report": Kind("report/report.json", "Run `mixlaw report STUDY`, which writes it again.", {"fit": dict}),
    "comparison": Kind("confirmation/comparison-*.json", "Run `mixlaw compare mix.yaml` again.", {"mixtures": dict}),
    "reported": Kind("trackers/reported.json", "Delete it: all is reported again.", **_nested("trackers", _TEXTS)),
    # one run
    "spec": Kind("runs/*/spec.json", _TRAIN, _SPEC),
    "lease": Kind("runs/*/lease.json", "Delete it where no process trains the run.", {"pid": int, "token": str}),
    "timing": Kind("runs/*/timing.json", _TRAIN, {"wall_s?": float}),
    "record": Kind("runs/*/record.json", _TRAIN, _RECORD),
    "error": Kind("runs/*/error.json", "Delete it, and the run is trained again.", {"message": str, "hint?": str}),
    "command_spec": Kind("runs/*/input/spec.json", "Use the mixlaw that wrote it.", {"run": str}),
    "trl_spec": Kind("runs/*/input/spec.json", _TRAIN, {"run": str, "model": dict, "train": dict}),
    "result": Kind("runs/*/output/result.json", _TRAIN, {"losses": dict}),
    "evaluation": Kind(
        "runs/*/evaluation/metrics.json",
        "Delete it and evaluate again: mixlaw eval mix.yaml.",
        **_nested("tasks", {"id": str, "value": float}),
    ),
    # data: cached rows, and what is made of them
    "rows": Kind(
        "cache/tokens/*/*/meta.json", _CACHE, {"rows": int, "tokens": int, "supervised_tokens": int, "fingerprint": str}
    ),
    "prepared": Kind("cache/tokens/*/summary.json", _CACHE, _PREPARED, format=3, oldest=3),
    "census": Kind(
        "cache/collections/*.json", "Delete it: it is counted again.", {"rows": {EACH: int}, "without": int}
    ),
    "likeness": Kind("cache/likeness/*.json", "Delete it: it is counted again.", {"domains": {EACH: {EACH: int}}}),
    "mixture": Kind("mixtures/*/manifest.json", _PLACE, _MANIFEST, format=2),
    "mixture_step": Kind("mixtures/.*.partial/*.json", _CACHE, {"rows": int}),
    "export": Kind("exports/*/export.json", _PLACE, {"tool": str}),
    "model": Kind("models/*/mixlaw.json", _PLACE, {"id": str, "losses": {EACH: {"loss_nats": float}}}),
}
"""Name -> kind, of every JSON file that mixlaw writes. Files of other programs (a model's config.json) have none."""


def document(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file of a kind holds: the format number, then the value."""
    number = {"format": KINDS[kind].format}
    return number | dict(value) | number


def write_document(path: str | Path, kind: str, value: Mapping[str, Any]) -> None:
    """Write a file of a kind, atomically and with its format number.

    Args:
        path: the file.
        kind: a name in `KINDS`.
        value: what it holds.
    """
    write_json(path, document(kind, value))


def read_document(path: str | Path, kind: str, make: Callable[[dict[str, Any]], T] = dict) -> T:
    """Return what a file of a kind holds, without its format number.

    Args:
        path: the file.
        kind: a name in `KINDS`.
        make: builds what is wanted of it; a problem that it meets is an error of the file, too.

    Raises:
        NewerFormat: a newer version of mixlaw has written it.
        DataError: the file is missing, no JSON, no object, of a format that is no longer read, or a key is missing or
            of the wrong kind. The message names file and key, the hint the remedy.
    """
    known = KINDS[kind]
    try:
        value = read_json(path)
    except DataError as error:
        raise DataError(error.message, known.remedy) from None
    if problem := _problem(value, dict, ""):
        raise DataError(f"{path}: {problem}.", known.remedy)
    value = _current(value, known, path)
    if problem := _problem(value, known.shape, ""):
        raise DataError(f"{path}: {problem}.", known.remedy)
    try:
        return make(value)
    except MixlawError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from None
    except KeyError as error:
        raise DataError(f"{path}: {error} is missing.", known.remedy) from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"{path} is damaged: {error}.", known.remedy) from None


def _current(value: dict[str, Any], known: Kind, path: str | Path) -> dict[str, Any]:
    """Return the content in the form that is written now."""
    number = value.get("format", 1)
    if known.unnumbered is not None and isinstance(number, known.unnumbered) and not known.shape.keys() <= value.keys():
        number = 1
    elif isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise DataError(f"{path}: 'format' is {_shown(number)}, it must be a whole number from 1.", known.remedy)
    else:
        value = {key: part for key, part in value.items() if key != "format"}
    if number > known.format:
        raise NewerFormat(
            f"{path} has format {number} and was written by a newer mixlaw; this one reads formats up to "
            f"{known.format}.",
            "Upgrade mixlaw: pip install --upgrade mixlaw.",
        )
    if number < known.oldest:
        raise DataError(
            f"{path} has format {number} and was written by an older mixlaw; this one reads formats from "
            f"{known.oldest}.",
            known.remedy,
        )
    return known.upgrade(value) if number < known.format else value


def _problem(value: Any, shape: Any, at: str) -> str | None:
    """Return what is wrong with a value at a place such as `runs[3].tokens.math`, or None."""
    kind = list if isinstance(shape, list) else dict if isinstance(shape, dict) else shape
    if not _fits(value, kind):
        return f"{f'{at!r}' if at else 'the file'} is {_shown(value)}, it must be {_WORDS[kind]}"
    parts: list[tuple[Any, Any, str]] = []
    if isinstance(shape, list):
        parts = [(part, shape[0], f"{at}[{i}]") for i, part in enumerate(value)]
    elif isinstance(shape, dict):
        names = {key: shape[EACH] for key in value} if EACH in shape else {k.rstrip("?"): v for k, v in shape.items()}
        inside = {name: f"{at}.{name}".lstrip(".") for name in names}
        if missing := [name for name in names if name not in value and f"{name}?" not in shape]:
            return f"'{inside[missing[0]]}' is missing"
        parts = [(value[name], part, inside[name]) for name, part in names.items() if name in value]
    return next(filter(None, (_problem(*part) for part in parts)), None)


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # which Python takes for a whole number
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
