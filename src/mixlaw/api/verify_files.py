"""Reads every file of a study, or of what was made of one, and computes its hashes anew; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixlaw.core.checksums import FILES, damage
from mixlaw.core.documents import KINDS, read_document
from mixlaw.core.errors import DataError, MixlawError
from mixlaw.core.fingerprints import file_fingerprint
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.data.entries import SUMMARY
from mixlaw.data.rows import TokenRows
from mixlaw.data.texts import TextRows, text_folder
from mixlaw.solve import Solution
from mixlaw.study.store import Study

_PARTS = ("", "confirmation", "final")
"""A study, and the studies in it."""

_GROUPS = {
    "settings and plan": ("config", "domains", "plan", "origin", "trainer", "prices", "added", "reported"),
    "runs": ("spec", "lease", "timing", "record", "error", "evaluation"),
    "fit and solution": ("fit", "fit_inputs", "solution", "comparison"),
    "counts of data": ("census", "likeness"),
}
"""What JSON files are called together. Those of mixtures, exports, models and the cache are read with what they are of;
those that pass between mixlaw and another program are read once, while the run is at work."""

_MAKE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "record": RunRecord.from_json,
    "spec": RunSpec.from_json,
    "plan": lambda value: [RunSpec.from_json(spec) for spec in value["runs"]],
    "solution": Solution.from_json,
}
_MOVED = "Put the file back, or run `mixlaw plan mix.yaml`, which counts what is there now."


@dataclass(frozen=True)
class Problem:
    """A file that is not as it was written.

    Attributes:
        path: the file, or the folder.
        problem: what is wrong, a sentence.
        remedy: what to do.
    """

    path: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class Checked:
    """What was read of one kind.

    Attributes:
        what: the kind.
        files: how many files.
        problems: those that are not sound.
    """

    what: str
    files: int
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def check_files(study: Study) -> list[Checked]:
    """Return what was read of each kind, and what is wrong with it.

    Args:
        study: its folder.
    """
    found = []
    parts = [Study(study.folder / part) for part in _PARTS if (study.folder / part).is_dir()]
    for what, kinds in _GROUPS.items():
        checks = [_document(path, kind) for part in parts for kind in kinds for path in _paths(part.folder, kind)]
        found.append(_checked(what, checks))
    found.append(_checked("reports", [_beside(path, "report") for p in parts for path in _paths(p.folder, "report")]))
    logs = [_beside(path, "timing") for part in parts for path in _paths(part.folder, "timing")]
    found.append(_checked("training logs and kept models", logs))
    found.append(
        _checked("records and their runs", [_same_run(path) for p in parts for path in _paths(p.folder, "record")])
    )
    found.append(_checked("the fit and its runs", list(_fitted_runs(study))))
    found.append(_checked("cached tokens and texts", list(_cache(study.folder / "cache" / "tokens"))))
    found.append(_checked("mixtures", [_mixture(path) for path in _paths(study.folder, "mixture")]))
    for what, kind in (("exports", "export"), ("models", "model")):
        found.append(_checked(what, [_beside(path, kind) for path in _paths(study.folder, kind)]))
    found.append(_checked("sources of the data", list(_sources(study))))
    return [checked for checked in found if checked.files]


def check_made(folder: Path) -> list[Checked]:
    """Return what was read of a mixture, an export or a model in any folder; nothing where it is none of them."""
    found = []
    for what, kind, check in (
        ("mixture", "mixture", _mixture),
        ("export", "export", lambda path: _beside(path, "export")),
        ("model", "model", lambda path: _beside(path, "model")),
    ):
        path = folder / Path(KINDS[kind].files).name
        if path.is_file():
            found.append(_checked(what, [check(path)]))
    return found


def _paths(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(KINDS[kind].files))


def _checked(what: str, checks: list[tuple[int, Problem | None]]) -> Checked:
    return Checked(what, sum(files for files, _ in checks), tuple(p for _, p in checks if p is not None))


def _document(path: Path, kind: str) -> tuple[int, Problem | None]:
    try:
        read_document(path, kind, _MAKE.get(kind, dict))
    except MixlawError as error:
        return 1, Problem(str(path), error.message, error.hint)
    return 1, None


def _beside(path: Path, kind: str) -> tuple[int, Problem | None]:
    """Check the files whose checksums a JSON file has; that file itself is another group's, or a model's own."""
    try:
        files: Mapping[str, str] = read_document(path, kind).get(FILES, {})
    except MixlawError as error:
        return 1, Problem(str(path), error.message, error.hint)
    problem = damage(path.parent, files)
    return len(files) + (kind != "timing"), Problem(str(path.parent), problem, KINDS[kind].remedy) if problem else None


def _same_run(path: Path) -> tuple[int, Problem | None]:
    """Check that a record lies in the folder of its run: its id is computed anew from what determines the run."""
    try:
        record = read_document(path, "record", RunRecord.from_json)
    except MixlawError:
        return 0, None  # said already
    folder = Study(path.parents[2]).run_folder(record.spec)
    if folder.name == path.parent.name:
        return 1, None
    said = f"{path} is the record of run {record.spec.id[:8]}, which belongs into {folder.name}."
    return 1, Problem(str(path), said, KINDS["record"].remedy)


def _fitted_runs(study: Study) -> Iterator[tuple[int, Problem | None]]:
    """Check that the losses of the fit are those of the records."""
    path = study.folder / "fit.json"
    try:
        fit = read_document(path, "fit")
        names, targets = fit["run_names"], fit["targets"]
        fitted = {name: dict(zip(targets, row, strict=True)) for name, row in zip(names, fit["losses"], strict=True)}
        records = study.records()
    except (MixlawError, ValueError):
        return  # said already, or not there
    for record in records:
        losses = {t: loss.loss_nats for t, loss in record.losses.items()}
        told = {t: loss for t, loss in fitted.get(record.spec.name, {}).items() if t in losses}
        if other := [t for t, loss in told.items() if loss != losses[t]]:
            said = f"{path} was fitted to another loss of '{other[0]}' in run '{record.spec.name}' than its record has."
            yield 1, Problem(str(path), said, "Run `mixlaw run mix.yaml`, which fits and solves again.")
        elif told:
            yield 1, None


def _cache(cache: Path) -> Iterator[tuple[int, Problem | None]]:
    remedy = "Run `mixlaw plan mix.yaml`, which makes it again."
    for entry in sorted(path.parent for path in cache.glob(f"*/{SUMMARY}")):
        try:
            files = read_document(entry / SUMMARY, "prepared").get(FILES, {})
            if problem := damage(entry, files):
                raise DataError(problem)
            parts = [TokenRows.open(entry / part) for part in ("train", "validation")]
            count = 1 + len(files) + sum(len(list(rows.folder.iterdir())) for rows in parts)
            texts = [rows for rows in parts if text_folder(rows).is_dir()]
            for rows in texts:
                TextRows.open(rows)
            yield count + 2 * len(texts), None
        except MixlawError as error:
            yield 1, Problem(str(entry), error.message, remedy)


def _mixture(path: Path) -> tuple[int, Problem | None]:
    remedy = "Delete the folder and run `mixlaw mix mix.yaml`, which writes it again."
    try:
        files = {file["name"]: file["sha256"] for file in read_document(path, "mixture")["files"]}
    except MixlawError as error:
        return 1, Problem(str(path), error.message, remedy)
    problem = damage(path.parent, files)
    return 1 + len(files), Problem(str(path.parent), problem, remedy) if problem else None


def _sources(study: Study) -> Iterator[tuple[int, Problem | None]]:
    """Check that the files that were counted are there and have the same bytes; data sets of a hub are not asked."""
    try:
        domains = read_document(study.domains_path, "domains")["domains"] if study.domains_path.is_file() else {}
        sources = {s["path"]: s["sha256"] for domain in domains.values() for s in domain.get("sources", ())}
    except (MixlawError, AttributeError, KeyError, TypeError):
        return  # said already
    for name, digest in sources.items():
        path = Path(name)
        if not path.is_absolute():
            continue
        if not path.is_file():
            yield 1, Problem(name, f"{name} is not there any more.", _MOVED)
        elif file_fingerprint(path) != digest:
            yield 1, Problem(name, f"{name} is not the file that was counted: its content has changed.", _MOVED)
        else:
            yield 1, None
