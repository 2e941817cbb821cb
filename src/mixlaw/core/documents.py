"""Every JSON file that mixlaw writes: the format number it carries, what it must hold, and the one reader of all.

`KINDS` is the table of them. A file without `format` was written by version 0.1, before there were numbers, and is of
format 1. The number tells how a file is written, not what was computed: it is part of no run id, fingerprint or hash,
and the reader leaves it out of what it returns.

Each file carries the SHA-256 of what it holds (`sha256`), so that a flipped bit or an edit by hand is found out; in
files of earlier versions, which have none, the shape and its bounds are all that is checked. Files that other programs
write or read have none either (`sealed`).

To change how a kind is written, raise its `format`, and say in `upgrade` how the content of an older file becomes one
of the new form; or raise `oldest`, where the file can be made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mixlaw.core.cost import OPERATIONS
from mixlaw.core.errors import DataError, MixlawError, NewerFormat
from mixlaw.core.files import read_json, write_json
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.shapes import COUNT, EACH, NOT_NEGATIVE, SECONDS, SHARE, SOME, Number, problem, shown

T = TypeVar("T")

SEAL = "sha256"
"""The key of the checksum: the fingerprint of the file without this key."""


@dataclass(frozen=True)
class Kind:
    """One kind of JSON file.

    Attributes:
        files: where such files are, as a glob below the study folder.
        remedy: what to do about a file that is damaged or missing, one sentence.
        shape: what the file must hold; see `mixlaw.core.shapes`.
        format: the number that is written now.
        oldest: the lowest number that is still read.
        upgrade: turns what a file of an older format holds into what one of this format would.
        unnumbered: the type of what files without a number have under the key `format`, which meant something else.
        sealed: whether files carry a checksum.
    """

    files: str
    remedy: str
    shape: Any
    format: int = 1
    oldest: int = 1
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict
    unnumbered: type | None = None
    sealed: bool = True


_PLAN = "Delete it and run `mixlaw plan mix.yaml`, which writes it again."
_TRAIN = "Delete the run's folder and train it again: mixlaw train mix.yaml."
_WORKERS = "Delete it once no worker of the study is left (squeue), then run the command again."
_CACHE = "Delete its folder; mixlaw makes its contents again."
_PLACE = "Give another folder with --out, or move this one away."
_NUMBERS, _TEXTS = {EACH: float}, {EACH: str}
_COUNTS = {EACH: COUNT}
_SPEC = {"name": str, "id?": str, "role": str, "seed": int, "tokens": _COUNTS, "inputs": _TEXTS} | {
    "pools?": _COUNTS,
    "keep_model?": bool,
    "merge?": {"experts": _TEXTS, "weights": _NUMBERS, "scale": NOT_NEGATIVE},
    "points?": [SHARE],
}
_LOSS = {"nats": NOT_NEGATIVE, "count": SOME, "bytes?": COUNT}
_ADDED = {"domains": [str], "instead": bool, "runs": [{"name": str, "tokens": _COUNTS}], "reasons": [str]}
_PRICES = {"budget_tokens": SOME, "evaluation_tokens": COUNT} | {
    **dict.fromkeys(("parameters", "final_parameters"), (None, SOME)),
    **dict.fromkeys(("kind", "final_kind"), frozenset(kind for kind, cost in OPERATIONS.items() if cost)),
}
_TRAINER = {"trainer": str, "model": dict, "train": dict, "inputs": _TEXTS, "options?": dict, "folder?": str}
_INTERVAL, _REGRET = dict.fromkeys(("mean", "low", "high"), float), dict.fromkeys(("mean", "p95"), float)
_BASELINE = {"weights": {EACH: SHARE}, "predicted": {EACH: _INTERVAL}, "total_loss": float, "regret": _REGRET}
_SOLUTION = {"expected_regret": _REGRET, "marginal": _NUMBERS} | {
    **{"weights": {EACH: SHARE}, "tokens": _COUNTS, "epochs": {EACH: NOT_NEGATIVE}, "budget_tokens": SOME},
    **{"total_loss": float, "extrapolation_factor": NOT_NEGATIVE, "status": str, "predicted": {EACH: _INTERVAL}},
    **{"baselines": {EACH: _BASELINE}, "warnings": [str]},
    "certificate": {"kkt_residual": float, "gap": float, "multiplier": float, "kind": str},
}
_FIT = {"law": str, "procedure": str, "choice": str} | {key: [str] for key in ("domains", "targets", "run_names")}
_FIT |= {"status": _TEXTS, "messages": _TEXTS, "diagnostics": {EACH: dict}, "warnings": [str]}
_FIT |= {"tokens": [[NOT_NEGATIVE]], "losses": [list], "parameters": {EACH: _NUMBERS}, "draws": {EACH: {EACH: list}}}
_FIT |= {"scatter": {EACH: [float]}, "noise": {EACH: NOT_NEGATIVE}}
_REPORT = {"fit": dict, "inputs?": str, "files?": _TEXTS}
_COUNTED = dict.fromkeys(("tokens", "supervised_tokens", "unique_tokens"), _COUNTS) | {
    **{"losses": {EACH: _LOSS}, "steps": COUNT}
}
_RECORD = _COUNTED | {"spec": _SPEC, "parameters": COUNT, "points?": [_COUNTED]}
_PACE = {"start_s": SECONDS, "fixed_s": SECONDS, "tokens_per_s": Number(1e-9, 1e15), "evaluation_s": SECONDS}
_TOGETHER = {"identity": _TEXTS, "limit": SOME, "tokens_per_s": {EACH: Number(1e-9, 1e15)}}
_PREPARED = {"row_format": str, "rows_per_source": [COUNT], "files?": _TEXTS} | dict.fromkeys(
    ("dropped", "truncated", "lost_tokens", "duplicates", "copies"), COUNT
)
_PREPARED |= {"carried": _COUNTS, "unused": _COUNTS}
_LIMITS = {"limits?": {"held_out": SOME, "evaluated": (None, SOME), "at_longest?": bool}}
_DOMAIN = {"train": dict, "validation": dict, "sources?": [{"path": str, "sha256": str}]}
_MANIFEST = {"id": str, "budget_tokens": SOME, "domains": {EACH: dict}, "files": [{"name": str, "sha256": str}]}
_MODEL = {"id": str, "losses": {EACH: {"loss_nats": float}}, "files?": _TEXTS}
_ROWS = {"rows": COUNT, "tokens": COUNT, "supervised_tokens": COUNT, "fingerprint": str, "files?": _TEXTS}


def _nested(key: str, shape: Any, **more: Any) -> dict[str, Any]:
    """Return what has changed for files whose own keys, names of the user's, could have been `format`."""
    shapes = {key: {EACH: shape}, **more}
    return {"shape": shapes, "format": 2, "upgrade": lambda value: {key: value}, "unnumbered": dict}


KINDS = {
    # the study
    "config": Kind("config.resolved.json", _PLAN, {"model": dict, "domains": dict, "train": dict}, 2),
    "domains": Kind("domains.json", _PLAN, **_nested("domains", _DOMAIN, **_LIMITS)),
    "plan": Kind("plan.json", _PLAN, {"runs": [_SPEC]}),
    "origin": Kind("origin.json", "Delete it; mixlaw writes it again.", {"file": str, "parts": {"domains": dict}}),
    "trainer": Kind("trainer.json", _PLAN, _TRAINER | {"train_rows": _TEXTS, "validation_rows": _TEXTS}),
    "prices": Kind("prices.json", "Delete it and run `mixlaw plan mix.yaml`, which writes it again.", _PRICES),
    "pace": Kind("pace.json", "Delete it; it is measured again.", {"identity": _TEXTS, "wall": _PACE, "cpu": _PACE}),
    "together": Kind("together.json", "Delete it; it is measured again.", _TOGETHER),
    "added": Kind("added.json", "Delete it; the runs are then chosen again.", _ADDED),
    "fit": Kind("fit.json", "Write it again with `mixlaw fit`.", _FIT, format=4, oldest=4),
    "fit_inputs": Kind("fit_inputs.json", "Delete it; the runs are then fitted again.", {"inputs": str, "fit": str}),
    "solution": Kind("solution.json", "Run `mixlaw run mix.yaml`, which fits and solves again.", _SOLUTION, 3, 2),
    "report": Kind("report/report.json", "Run `mixlaw report STUDY`, which writes it again.", _REPORT),
    "comparison": Kind("confirmation/comparison-*.json", "Run `mixlaw compare mix.yaml` again.", {"mixtures": dict}),
    "reported": Kind(
        "trackers/reported.json", "Delete it; everything is then reported again.", **_nested("trackers", _TEXTS)
    ),
    "slurm_arrays": Kind("slurm/arrays.json", _WORKERS, {"arrays": [{"name": str, "number": str, "threads": SOME}]}),
    "slurm_task": Kind("slurm/*/*.json", _WORKERS, {"task": str, "node": str, "restart": COUNT, "clock": SECONDS}),
    # one run
    "spec": Kind("runs/*/spec.json", _TRAIN, _SPEC),
    "lease": Kind("runs/*/lease.json", "Delete it if no process is training the run.", {"pid": COUNT, "token": str}),
    "timing": Kind("runs/*/timing.json", _TRAIN, {"wall_s?": SECONDS, "files?": _TEXTS}),
    "checkpoint": Kind(
        "runs/*/checkpoint.json",
        "Delete it: the run begins anew.",
        {"identity": dict, "step": COUNT, "files": _TEXTS, "points?": {"count": COUNT, "reached": [_COUNTED]}},
    ),
    "record": Kind("runs/*/record.json", _TRAIN, _RECORD),
    "error": Kind("runs/*/error.json", "Delete it; the run is then trained again.", {"message": str, "hint?": str}),
    "command_spec": Kind(
        "runs/*/input/spec.json", "Use the version of mixlaw that wrote it.", {"run": str}, sealed=False
    ),
    "trl_spec": Kind("runs/*/input/spec.json", _TRAIN, {"run": str, "model": dict, "train": dict}, sealed=False),
    "result": Kind("runs/*/output/result.json", _TRAIN, {"losses?": dict, "metrics?": dict}, sealed=False),
    "evaluation": Kind(
        "runs/*/evaluation/metrics.json",
        "Delete it and evaluate again: mixlaw eval mix.yaml.",
        **_nested("tasks", {"id": str, "value": float}),
    ),
    # data: cached rows, and what is made of them
    "rows": Kind("cache/tokens/*/*/meta.json", _CACHE, _ROWS),
    "texts": Kind("cache/tokens/*/text/meta.json", _CACHE, {"files": _TEXTS}),
    "prepared": Kind("cache/tokens/*/summary.json", _CACHE, _PREPARED, format=3, oldest=3),
    "tokenizer": Kind("cache/tokenizers/*.json", "Delete it; mixlaw then reads the tokenizer.", {"fingerprint": str}),
    "census": Kind(
        "cache/collections/*.json", "Delete it; mixlaw then counts again.", {"rows": _COUNTS, "without": COUNT}
    ),
    "likeness": Kind(
        "cache/likeness/*.json", "Delete it; mixlaw then counts again.", {"domains": {EACH: {EACH: COUNT}}}
    ),
    "mixture": Kind("mixtures/*/manifest.json", _PLACE, _MANIFEST, format=2),
    "mixture_step": Kind("mixtures/.*.partial/*.json", _CACHE, {"rows": COUNT}),
    "export": Kind("exports/*/export.json", _PLACE, {"tool": str, "files?": _TEXTS}),
    "model": Kind("models/*/mixlaw.json", _PLACE, _MODEL),
}
"""Name -> kind, of every JSON file that mixlaw writes. Files of other programs (a model's config.json) have none."""


def document(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file of a kind holds: the format number, then the value."""
    number = {"format": KINDS[kind].format}
    return number | dict(value) | number


def write_document(path: str | Path, kind: str, value: Mapping[str, Any]) -> None:
    """Write a file of a kind, atomically, with its format number and checksum.

    Args:
        path: the file.
        kind: a name in `KINDS`.
        value: what it holds.
    """
    write_json(path, sealed(kind, value))


def sealed(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written into a file of a kind: the format number, the value, and at last their checksum.

    Raises:
        ValueError: the value has the checksum's key, for something of its own that would be lost.
    """
    content = document(kind, value)
    if not KINDS[kind].sealed:
        return content
    if SEAL in content:
        raise ValueError(f"a file of kind '{kind}' has a key '{SEAL}' of its own")
    return content | {SEAL: fingerprint(content)}


def read_document(path: str | Path, kind: str, make: Callable[[dict[str, Any]], T] = dict) -> T:
    """Return what a file of a kind holds, without its format number and checksum.

    Args:
        path: the file.
        kind: a name in `KINDS`.
        make: builds what is wanted of it; a problem that it meets is an error of the file, too.

    Raises:
        NewerFormat: a newer version of mixlaw has written it.
        DataError: the file is missing, no JSON, no object, of a format that is no longer read, or not as it was
            written; a key is missing or of the wrong kind, or a number cannot be. The message names file and key, the
            hint the remedy.
    """
    known = KINDS[kind]
    try:
        value = read_json(path, finite=True)
    except DataError as error:
        raise DataError(error.message, known.remedy) from None
    if wrong := problem(value, dict):
        raise DataError(f"{path}: {wrong}.", known.remedy)
    seal = value.pop(SEAL, None) if known.sealed else None
    whole = dict(value)
    value = _current(value, known, path)
    if wrong := problem(value, known.shape):
        raise DataError(f"{path}: {wrong}.", known.remedy)
    if known.sealed and (_renamed_seal(whole) if seal is None else seal != _fingerprint(whole)):
        raise DataError(
            f"{path} has changed since it was written: its contents do not match its checksum ('{SEAL}'). It was "
            "damaged or edited by hand.",
            known.remedy,
        )
    try:
        return make(value)
    except MixlawError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from None
    except KeyError as error:
        raise DataError(f"{path}: {error} is missing.", known.remedy) from None
    except (TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}.", known.remedy) from None


def as_read(kind: str, value: Mapping[str, Any], make: Callable[[dict[str, Any]], T] = dict) -> T:
    """Return what `read_document` would make of a file that holds a value; numbers of numpy become Python's.

    Args:
        kind: a name in `KINDS`.
        value: what the file would hold.
        make: as for `read_document`.

    Raises:
        DataError: it could not be written, or would be refused; the message says what cannot be.
    """
    try:
        read = json.loads(json.dumps(value, default=lambda number: number.item()))
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"It cannot be written as JSON: {error}.") from None
    if wrong := problem(read, KINDS[kind].shape):
        raise DataError(f"{wrong}.")
    try:
        json.dumps(read, allow_nan=False)
    except ValueError:
        raise DataError("It holds a number that is not finite.") from None
    return make(read)


def _current(value: dict[str, Any], known: Kind, path: str | Path) -> dict[str, Any]:
    """Return the content in the form that is written now."""
    number = value.get("format", 1)
    if known.unnumbered is not None and isinstance(number, known.unnumbered) and not known.shape.keys() <= value.keys():
        number = 1
    elif isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise DataError(f"{path}: 'format' is {shown(number)}; it must be a whole number of at least 1.", known.remedy)
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


def _fingerprint(value: dict[str, Any]) -> str:
    try:
        return fingerprint(value)
    except (ValueError, RecursionError):  # half of a surrogate pair, thousands of brackets
        return ""


def _renamed_seal(value: dict[str, Any]) -> bool:
    """Whether the last key of a file without a checksum is that of one, with its name damaged."""
    *rest, (_, last) = value.items() or [("", None)]
    return isinstance(last, str) and len(last) == len(_fingerprint({})) and last == _fingerprint(dict(rest))
