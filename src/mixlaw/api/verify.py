"""The verb `verify`: reads every file of a study, computes hashes anew, and trains a sample of its runs again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixlaw.api.facts import is_study
from mixlaw.api.project import Note, Project
from mixlaw.api.verify_files import Checked, Problem, check_files, check_made
from mixlaw.core.documents import read_document
from mixlaw.core.errors import ConfigError, DataError, MixlawError
from mixlaw.core.notebook import Tabular
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.core.seeds import generator
from mixlaw.study.executor_local import run_pending
from mixlaw.study.status import RunEvent
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

_BUNDLED = ("native", "trl")
"""Trainers that run no code which only a study's files name."""


@dataclass(frozen=True)
class Retrained:
    """A finished run that was trained again.

    Attributes:
        run: its name.
        equal: whether the new record is the old one, bit for bit.
        largest_difference_nats: between a validation loss of the two, nats per supervised token; None without a new
            record.
        remark: why they differ, or could not be compared; empty where they are equal.
    """

    run: str
    equal: bool
    largest_difference_nats: float | None
    remark: str = ""


@dataclass(frozen=True, repr=False)
class Verified(Tabular):
    """What was found about a study.

    Attributes:
        study: its folder.
        checked: what was read, by kind.
        retrained: runs that were trained again.
        not_retrained: why no run was trained again; empty where that was done, or not asked for.
    """

    study: Path
    checked: list[Checked]
    retrained: list[Retrained]
    not_retrained: str = ""

    @property
    def problems(self) -> list[Problem]:
        """All files that are not as they were written."""
        return [problem for checked in self.checked for problem in checked.problems]

    @property
    def sound(self) -> bool:
        """Whether every file is as it was written, and every run that was trained again gave the same record."""
        return not self.problems and all(run.equal for run in self.retrained)

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Return title, columns and rows: a row a kind of file."""
        files, wrong = sum(c.files for c in self.checked), len(self.problems)
        title = f"{files:,} files read: " + (
            f"{wrong} not as they were written" if wrong else "all as they were written"
        )
        rows = [[c.what, c.files, len(c.problems) or "none"] for c in self.checked]
        return title, ["what", "files", "problems"], rows

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "sound": self.sound,
            "checked": [checked.to_json() for checked in self.checked],
            "retrained": [asdict(run) for run in self.retrained],
            "not_retrained": self.not_retrained,
        }


def verify(
    source: str | Path | Project,
    *,
    retrain: int = 1,
    seed: int = 0,
    on_event: Callable[[RunEvent], None] | None = None,
    note: Note | None = None,
) -> Verified:
    """Read every file of a study, compute its hashes anew, train a sample of its runs again, and say what is sound.

    The runs are trained in a temporary folder; the study is not changed. On the machine, with the
    versions and the number of threads of the first time, a record is the same bit for bit.

    Args:
        source: a study folder or a mix.yaml, or the folder of a mixture, an export or a model, wherever it is, of
            which the files alone are read. A trainer that runs code or a program of the user's is started only
            where the mix.yaml, which names it, is given.
        retrain: how many finished runs are trained again; 0 for none.
        seed: of the choice of these runs.
        on_event: called for everything that happens in the training.
        note: called with a sentence about each step.

    Raises:
        DataError: there is no study.
        ConfigError: a mix.yaml with problems, or a number of runs below 0.
    """
    if retrain < 0:
        raise ConfigError(f"--retrain is {retrain}; it must be 0 or more.", "Correct it.")
    said = note or (lambda text: None)
    project, study = _opened(source, note)
    if not is_study(study.folder):
        if made := check_made(study.folder):
            return Verified(study.folder, made, [])
        raise DataError(
            f"{study.folder} is no study folder: it has no plan.json.",
            "Name a study, a mix.yaml, or the folder of a mixture, an export or a model.",
        )
    said(f"reading the files of {study.folder}")
    checked = check_files(study)
    if retrain == 0:
        return Verified(study.folder, checked, [])
    try:
        specs = _sample(study, retrain, seed)
        config = study.load_trainer()
        _require_known(config, project)
    except MixlawError as error:
        return Verified(study.folder, checked, [], str(error))
    if not specs:
        return Verified(study.folder, checked, [], "No run is finished.")
    said(f"training {len(specs)} of the finished runs again: {', '.join(spec.name for spec in specs)}")
    return Verified(study.folder, checked, [_again(study, config, spec, on_event) for spec in specs])


def _opened(source: str | Path | Project, note: Note | None) -> tuple[Project | None, Study]:
    if not isinstance(source, Project):
        if Path(source).is_dir():
            return None, Study(source)
        source = Project.open(source, note)
    return source, source.study


def _sample(study: Study, count: int, seed: int) -> list[RunSpec]:
    """Return some of the finished runs of the plan, drawn by their ids."""
    done = sorted((spec for spec in study.load_plan() if study.record(spec) is not None), key=lambda spec: spec.id)
    chosen = generator("verify", seed).permutation(len(done))[:count]
    return [done[i] for i in sorted(chosen)]


def _require_known(config: TrainerConfig, project: Project | None) -> None:
    if config.trainer in _BUNDLED:
        return
    train = None if project is None else project.config.train
    if train is None or (train.trainer, asdict(train.options)) != (config.trainer, dict(config.options)):
        raise ConfigError(
            f"The runs were trained by '{config.trainer}'; code and programs that only a study's file names are not "
            "run.",
            "Name the study's mix.yaml instead.",
        )


def _again(
    study: Study, config: TrainerConfig, spec: RunSpec, on_event: Callable[[RunEvent], None] | None
) -> Retrained:
    """Train a run in a study of its own, and compare the records."""
    before = study.record(spec)
    assert before is not None
    timing = _timing(study, spec)
    threads = timing.get("threads") if isinstance(timing.get("threads"), int) else None
    folder = Path(tempfile.mkdtemp(prefix="mixlaw-verify-"))
    try:
        other = Study(folder)
        other.save_plan([spec])
        (status,) = run_pending(other, config, 1, on_event, threads=threads)
        after = other.record(spec)
        if after is None:
            return Retrained(spec.name, False, None, f"It could not be trained again: {status.reason}")
        return _compared(before, after, timing, _timing(other, spec))
    except MixlawError as error:
        return Retrained(spec.name, False, None, f"It could not be trained again: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _timing(study: Study, spec: RunSpec) -> dict[str, Any]:
    try:
        return read_document(study.run_folder(spec) / "timing.json", "timing")
    except DataError:
        return {}


def _compared(before: RunRecord, after: RunRecord, then: dict[str, Any], now: dict[str, Any]) -> Retrained:
    if before.to_json() == after.to_json():
        return Retrained(before.spec.name, True, 0.0)
    common = before.losses.keys() & after.losses.keys()
    largest = max((abs(before.losses[t].loss_nats - after.losses[t].loss_nats) for t in common), default=None)
    others = _others(then, now)
    why = (
        f"It was trained with another {', '.join(others)}, which may explain it."
        if others
        else (
            "The machine and the versions are those of the first time, so the record or what the run read has changed."
        )
    )
    return Retrained(before.spec.name, False, largest, why)


def _others(then: dict[str, Any], now: dict[str, Any]) -> Sequence[str]:
    """Return what of the machine and the versions is not as it was."""
    keys = ("host", "device", "precision", "attention", "arithmetic", "threads", "together")
    keys += ("python", "torch", "transformers")
    return [key for key in keys if then.get(key) != now.get(key)]
