"""The verb `push`: a mixture, a model or a whole study as a repository of the Hugging Face Hub."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args
from urllib.parse import quote

import yaml

from mixlaw.api import hub, licences
from mixlaw.api.final import FACTS
from mixlaw.api.numbers import load_runs
from mixlaw.api.project import Note, Project
from mixlaw.config import as_written
from mixlaw.core.commands import command
from mixlaw.core.documents import read_document
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.files import write_text
from mixlaw.core.notebook import Tabular
from mixlaw.data.materialise import CARD, MANIFEST
from mixlaw.report.cards import notices, study_card

What = Literal["mixture", "model", "study"]
_PUBLISHED_KEYS = ("study", "model", "final_model", "collection", "domains", "validation", "budget_tokens", "plan")
_PUBLISHED_KEYS += ("train", "fit", "solve")
"""Of mix.yaml; executor and trackers name machines and accounts."""
_TEXTS = (".md", ".html", ".yaml", ".csv", ".svg")
_BYTES_A_UNIT = 1000


@dataclass(frozen=True)
class Push(Tabular):
    """What was written to a repository of the Hub, or would be.

    Attributes:
        what: `mixture`, `model` or `study`.
        repository: its name.
        kind: `dataset` or `model`.
        public: whether all can read it.
        files: path in the repository -> bytes.
        licences: domain -> its licence; None where mix.yaml does not say it.
        conditions: what the licences ask, in sentences.
        address: of the repository; None where nothing was written.
    """

    what: str
    repository: str
    kind: hub.Kind
    public: bool
    files: dict[str, int]
    licences: dict[str, str | None]
    conditions: list[str]
    address: str | None = None

    def table(self) -> tuple[str, list[str], list[list[Any]], list[str]]:
        """Return title, columns, rows and notes."""
        seen = "public" if self.public else "private"
        rows: list[list[Any]] = [[name, size_text(size)] for name, size in self.files.items()]
        rows.append(["all files", size_text(sum(self.files.values()))])
        title = f"The {self.what} as the {seen} {self.kind} {self.repository}"
        said = [f"{name}: licence {licence or 'not known'}." for name, licence in self.licences.items()]
        return title, ["file", "size"], rows, said + self.conditions

    def to_json(self) -> dict[str, Any]:
        """Return the value as JSON has it."""
        return {
            "what": self.what,
            "repository": self.repository,
            "kind": self.kind,
            "public": self.public,
            "files": self.files,
            "licenses": self.licences,
            "conditions": self.conditions,
            "address": self.address,
        }


def size_text(size: int) -> str:
    """Return bytes as people write them: `3.2 MB`."""
    value, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= _BYTES_A_UNIT and len(units) > 1:
        value, units = value / _BYTES_A_UNIT, units[1:]
    return f"{size} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def push(
    config: str | Path | Project,
    what: What,
    repository: str,
    *,
    folder: str | Path | None = None,
    public: bool = False,
    dry_run: bool = False,
    note: Note | None = None,
) -> Push:
    """Write a mixture, a model or the study to a repository of the Hub, in one commit.

    A mixture goes as it was written, with its card. Of a study go the run table, fit, solution, report and a mix.yaml,
    without places of this machine and without a row of the data. A private repository takes what is yours to keep;
    a public one takes no mixture whose sources do not allow it.

    Args:
        config: a mix.yaml or its project.
        what: `mixture`, `model` or `study`.
        repository: USER/NAME; it is made where it is missing.
        folder: the mixture's or the model's; None for the only one, or the newest, that the study has.
        public: whether all may read a new repository; one that is there stays public or private.
        dry_run: only say what would be written; nothing is asked of the Hub.
        note: called with a sentence about each step.

    Raises:
        ConfigError: the name or `what` is none, or a licence forbids what is asked.
        StudyError: the study has no such mixture, model, fit or report yet.
        HubError: the Hub cannot be reached or refuses.
        MissingExtra: huggingface_hub is not installed.
    """
    hub.require_name(repository)
    if what not in get_args(What):
        raise ConfigError(f"what is {what!r}; it must be mixture, model or study.", "Name one of them.")
    project = Project.open(config, note)
    kind: hub.Kind = "model" if what == "model" else "dataset"
    if not dry_run and (there := hub.is_public(repository, kind)) is not None and there != public:
        public = there
        project.note(f"{repository} is there already, and {'public' if there else 'private'}; it stays so.")
    with _published(project, what, folder) as (files, domains):
        if public and what == "mixture" and (wrong := licences.problems(project.config, domains)):
            raise ConfigError(
                f"{repository} would be public, and what is in the mixture must not be: {' '.join(wrong)}",
                "Name the licence as domains.<name>.license in mix.yaml, leave the domain out, or use a private one.",
            )
        sizes = {name: path.stat().st_size for name, path in files.items()}
        address = None if dry_run else hub.upload(files, repository, kind, public=public)
    named = {name: project.config.domains[name].license for name in domains}
    return Push(what, repository, kind, public, sizes, named, licences.conditions(project.config, domains), address)


Files = dict[str, Path]
"""Path in the repository -> file."""


@contextmanager
def _published(project: Project, what: What, folder: str | Path | None) -> Iterator[tuple[Files, list[str]]]:
    """Yield what is to be published, and the domains whose rows are in it or were trained on."""
    if what == "study":
        with TemporaryDirectory(prefix="mixlaw-push-") as temporary:
            write_study(project, Path(temporary))
            yield _below(Path(temporary)), []
    elif what == "mixture":
        yield _mixture(project, _chosen(project, folder, MANIFEST, "mix", "mixtures"))
    else:
        place = _chosen(project, folder, FACTS, "final", "models")
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        yield _below(place), [name for name, count in facts["tokens"].items() if count]


def _mixture(project: Project, place: Path) -> tuple[Files, list[str]]:
    """Return the files, the card and the sources' notices of a mixture; its manifest names places of this machine."""
    manifest = read_document(place / MANIFEST, "mixture")
    domains = [name for name, entry in manifest["domains"].items() if entry["rows"] and name in project.config.domains]
    files = {name: place / name for name in (CARD, *(entry["name"] for entry in manifest["files"]))}
    for name in domains:
        files |= {f"notices/{name}/{path.name}": path for path in notices(project.config, name)}
    return files, domains


def _below(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _chosen(project: Project, folder: str | Path | None, marker: str, verb: str, below: str) -> Path:
    """Return the folder that is given, or the newest that the study has."""
    if folder is not None:
        if not (Path(folder) / marker).is_file():
            raise StudyError(f"{folder} has no {marker}: `mixlaw {verb}` did not write it.", f"Run `mixlaw {verb}`.")
        return Path(folder)
    found = sorted(project.study.folder.glob(f"{below}/*/{marker}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise StudyError(f"{project.study.folder} has no {below} yet.", f"Run `mixlaw {verb} mix.yaml` first.")
    return found[-1].parent


def write_study(project: Project, out: Path) -> None:
    """Write what is published of a study into a folder: runs, fit, solution, report, configuration and card.

    Raises:
        StudyError: the study has no fit, solution or report yet.
        DataError: it has no finished run.
    """
    folder = project.study.folder
    for name in ("fit.json", "solution.json", "report/report.html"):
        if not (folder / name).is_file():
            raise StudyError(f"{folder} has no {name} yet.", f"Run `{command('run', project.file)}` first.")
    table = load_runs(project.file if project.file is not None else folder)
    table.to_csv(out / hub.RUNS)
    for name in ("fit.json", "solution.json"):
        shutil.copyfile(folder / name, out / name)
    for path in sorted((folder / "report").rglob("*")):
        if path.is_file() and path.suffix != ".json":  # the report as text has its numbers
            target = out / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    said = project.config.model_dump(mode="json", include=set(_PUBLISHED_KEYS), exclude_none=True)
    write_text(out / "mix.yaml", yaml.safe_dump(as_written(said), sort_keys=False, allow_unicode=True))
    write_text(out / "README.md", study_card(project.config, table, project.study.name))
    forget_places(out, _places(project))


def _places(project: Project) -> dict[str, str]:
    """Return the places of this machine that the configuration names -> what is said instead."""
    study = project.study.folder.resolve()
    places = {place: Path(place).name for place in paths_in(project.config.model_dump())}
    places |= {str(folder): "." for folder in (study.parent, Path.home()) if len(folder.parts) > 1}
    return places | {str(study): "study", project.config.study: "study"}


def forget_places(out: Path, places: Mapping[str, str]) -> None:
    """Replace places by names in all texts of a folder, also as JSON and addresses write them."""
    forms = {form: name for place, name in places.items() for form in (place, json.dumps(place)[1:-1], quote(place))}
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w.~-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")
    for path in out.rglob("*"):
        if path.suffix in _TEXTS and path.is_file():
            before = path.read_text(encoding="utf-8")
            if (after := pattern.sub(lambda match: forms[match[0]], before)) != before:
                write_text(path, after)


def paths_in(value: Any) -> Iterator[str]:
    """Yield the absolute paths in all texts of a configuration: whole values, and words of a command."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from paths_in(item)
    elif isinstance(value, (str, Path)):
        for text in {str(value), *re.split(r"[\s=:,\"']+", str(value))}:
            if Path(text).name and Path(text).expanduser().is_absolute():
                yield text
