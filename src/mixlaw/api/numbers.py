"""Verbs that need numbers only: no torch, no data, no GPU."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from mixlaw.api.hub import is_published, published_runs
from mixlaw.api.pooled import pooled
from mixlaw.core.documents import read_document
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.files import require_other_file, require_place
from mixlaw.core.renamed import renamed, with_new_names
from mixlaw.core.runtable import RunTable
from mixlaw.core.table_checks import check_arrays
from mixlaw.core.table_columns import are_records
from mixlaw.core.table_files import JSON, LINES, PARQUET, TEXT, begins_with, file_columns, is_json_table
from mixlaw.core.tokens import parse_tokens
from mixlaw.fit import Fit, Prediction, fit_law
from mixlaw.fit.choosing.held_out import compare_laws, folds
from mixlaw.fit.choosing.table import LawTable
from mixlaw.fit.fitting import require_losses
from mixlaw.fit.metrics import with_metrics
from mixlaw.fit.studies import aligned
from mixlaw.solve import Solution, SolveWishes, solve_mixture
from mixlaw.solve.wishes import OLD_NAMES, WishesByName, wishes_of, with_wishes

_log = logging.getLogger(__name__)

_GIVEN = "The run table"
_YAML = (".yaml", ".yml")


def load_runs(source: Any) -> RunTable:
    """Return a run table.

    Args:
        source: a RunTable, the path of a run table, of a study folder or of a mix.yaml, a published study
            (`hf:USER/NAME`), a DataFrame, a dict with a list per column, or a list with a dict per run. A file is CSV
            (with commas, semicolons or tabs), JSON, JSON lines or Parquet. JSON has one object with a list per column,
            or a list with one object per run. A list or tuple of these: the runs of several studies of one base model
            and the same data (see `mixlaw.fit.studies`).

    Raises:
        DataError: no such file, a malformed value (the message names its row and column), a column that is a known one
            by another name, or studies whose runs do not belong together.
        ConfigError: a mix.yaml with problems.
    """
    if isinstance(source, (list, tuple)):
        if not source:
            raise DataError(
                "There are no runs: the list is empty.", "Give at least one run table, or one dict per run."
            )
        if are_records(source):
            return RunTable.from_columns(source, _GIVEN)
        tables = [load_runs(one) for one in source]
        return tables[0] if len(tables) == 1 else pooled(source, tables)
    if isinstance(source, RunTable):
        check_arrays(source)
        return source
    if not isinstance(source, (str, Path)):
        return RunTable.from_columns(source, _GIVEN)
    path = published_runs(str(source)) if is_published(source) else Path(source)
    if path.is_dir() or path.suffix.lower() in _YAML:
        return _study_runs(path)
    columns, lines = file_columns(path)
    return RunTable.from_columns(columns, str(path), None if lines is None else lambda i: f"line {lines[i]}")


def fit(
    runs: Any,
    law: Any = "auto",
    procedure: str = "joint",
    seed: int = 0,
    out: str | Path | None = None,
    *,
    repetition: float | str = "auto",
    metrics: Mapping[str, str] | None = None,
) -> Fit:
    """Fit a law to runs; see `mixlaw.fit.fit_law`.

    Args:
        runs: whatever `load_runs` takes.
        law: `auto`, or a law by name, class or instance (see `mixlaw.laws.find`).
        procedure: `joint`, `own_curve` or `published`.
        seed: seed of the posterior draws.
        out: where to write fit.json, or None.
        repetition: how repeated tokens count: `auto`, `off`, or the decay R*.
        metrics: name of a `metric:` column -> `higher` or `lower`: further targets, `metric:<name>`.
    """
    sources = runs if isinstance(runs, (list, tuple)) else [runs]
    if out is not None:
        require_other_file(out, *sources)
        require_place(out)
    with waiting(*sources, out):
        result = fit_law(with_metrics(load_runs(runs), metrics or {}), law, procedure, seed, repetition)
        if out is not None:
            result.save(out)
    return result


def laws(
    runs: Any,
    names: Sequence[Any] | None = None,
    plot: str | Path | None = None,
    *,
    metrics: Mapping[str, str] | None = None,
) -> LawTable:
    """Return every law's errors on held-out mixtures of the same runs, best first; see `mixlaw.fit.choosing`.

    Args:
        runs: whatever `load_runs` takes.
        names: laws and regressors, by name, class or instance; None for all.
        plot: a folder for one SVG figure per law, predicted against measured; None for no figures.
        metrics: as in `fit`.

    Raises:
        ConfigError: no such law.
        DataError: no losses, or fewer than two different mixtures.
        NotIdentifiable: a target has one loss in all runs.
    """
    from mixlaw.laws import find
    from mixlaw.laws import names as all_names

    if names is not None and not names:
        raise ConfigError("No laws were named.", f"Choose from: {', '.join(all_names())}.")
    table = with_metrics(load_runs(runs), metrics or {})
    require_losses(table)
    if not folds(table):
        raise DataError("All runs have the same mixture, so none can be held out.", "Add runs with other mixtures.")
    rows = compare_laws(aligned(table, find("pairwise")), names)
    if plot is not None:
        from mixlaw.report.lawplot import write_law_plots

        write_law_plots(rows, table, Path(plot))
    return rows


def load_fit(source: Fit | str | Path, params: float | str | None = None, law: Any = None) -> Fit:
    """Return a fit: as given, read from its file, a study's own, or made of a run table.

    Args:
        source: a fit, the path of fit.json, or whatever `load_runs` takes. A study without a fit and a run table are
            fitted as `fit` does it by default.
        params: size of the model to predict for, 7e9 or "7B"; None: the largest among the runs.
        law: the law of the fit, if it is your own and not registered (see `mixlaw.laws.find`).

    Raises:
        DataError: the file is missing or malformed.
        FitError: a model size was asked for, and the runs are of one size.
    """
    fit = source if isinstance(source, Fit) else _read_or_made(source, law)
    return fit if params is None else fit.at_size(parse_tokens(params, "the model size"))


def _read_or_made(source: Any, law: Any) -> Fit:
    if not isinstance(source, (str, Path)) or is_published(source):
        return fit_law(load_runs(source), law or "auto")
    path = Path(source)
    if not path.exists():
        with waiting(path):  # another process may be making it
            pass
    if path.is_dir() or path.suffix.lower() in _YAML:
        stored = _folder(path) / "fit.json"
        if stored.exists():
            return Fit.load(stored, law)
    elif _may_be_fit(path):
        return Fit.load(path, law)
    return fit(path, law or "auto")


def _may_be_fit(path: Path) -> bool:
    """Whether a file is no run table: by its name where it is not there, else by what it begins with."""
    kind = path.suffix.lower()
    if kind in (*TEXT, *PARQUET, *LINES):
        return False
    if not path.exists() or kind in JSON:
        return not is_json_table(path)
    return begins_with(path, "{") and not is_json_table(path)


def spread_ratios(fit: Fit | str | Path, samples: int = 40) -> dict[str, float]:
    """Return target -> spread of bootstrapped predictions over that of the draws."""
    from mixlaw.fit.choosing.bootstrap import bootstrap_ratios

    fit = load_fit(fit)
    return dict(zip(fit.targets, map(float, bootstrap_ratios(fit, samples=samples)), strict=True))


@with_wishes
@renamed(budget_tokens="budget")
def solve(fit: Any, budget: float | str, wishes: SolveWishes | None = None, **named: Unpack[WishesByName]) -> Solution:
    """Return the best weights at a budget; see `mixlaw.solve.solve_mixture`.

    Args:
        fit: a fit, the path of fit.json, or what `load_runs` takes: a study or a run table.
        budget: training tokens, 20e6 or "20M".
        wishes: objective and constraints as one value; None for the defaults.
        named: the fields of `mixlaw.solve.SolveWishes` by name, which are those of mix.yaml and the command line:
            `objective`, `target_weight`, `min`, `max` (shares, or texts such as "30 %"), `available` (numbers, or texts
            such as "3M"), `max_epochs`, `groups`, `floor`, `no_worse`, `certainty`, `reference`, `prior` and
            `prior_strength`. What is not given is taken from the part `solve` of a mix.yaml and from its data, where
            `fit` is one.

    Raises:
        ConfigError: a value out of its range, an unknown name, or a group that cannot be read.
        Infeasible: no mixture meets the constraints; the message names those that conflict.
    """
    given: dict[str, Any] = dict(with_new_names(named, OLD_NAMES))
    if wishes is None and isinstance(fit, (str, Path)):
        given = asked_in(fit) | _said(given)
    return solve_mixture(load_fit(fit), parse_tokens(budget, "the budget"), wishes_of(wishes, given))


def asked_in(source: str | Path) -> dict[str, Any]:
    """Return what a mix.yaml asks of the mixture, as fields of `SolveWishes`; nothing of any other file or folder.

    Args:
        source: the path. The tokens that its domains have are those that were counted when runs were planned.
    """
    path = Path(source)
    if path.suffix.lower() not in _YAML or path.is_dir():
        return {}
    from mixlaw.api.project import Project

    project = Project.open(path)
    counted, available = project.study.domains_path, None
    if counted.is_file():
        domains = read_document(counted, "domains")["domains"]
        available = {name: domains[name]["train"]["tokens"] for name in project.domains if name in domains}
    return _said(vars(SolveWishes.of_config(project.config.solve.model_dump(), available)))


def _said(wishes: dict[str, Any]) -> dict[str, Any]:
    """Return the wishes that ask for something."""
    return {name: value for name, value in wishes.items() if value not in (None, {}, [], ())}


def predict(
    fit: Any,
    tokens: RunTable | Mapping[str, float] | np.ndarray,
    *,
    at: Literal["draws", "point"] = "draws",
    interval: Literal["run", "law"] = "run",
) -> Prediction:
    """Return expected losses with their intervals; see `mixlaw.fit.result.Fit.predict`."""
    return load_fit(fit).predict(tokens, at=at, interval=interval)


@contextlib.contextmanager
def waiting(*sources: Any) -> Iterator[None]:
    """Wait for other processes that are at work in the study that a source is, or that a file lies in."""
    from mixlaw.api.facts import is_study
    from mixlaw.study.alone import alone
    from mixlaw.study.store import Study

    paths = [Path(source) for source in sources if isinstance(source, (str, Path))]
    folders = {_folder(path) for path in paths}
    with contextlib.ExitStack() as held:
        for folder in sorted(folders):
            if is_study(folder):
                held.enter_context(alone(Study(folder), _log.warning))
        yield


def _folder(path: Path) -> Path:
    from mixlaw.api.project import Project

    if path.suffix.lower() in _YAML and not path.is_dir():
        return Project.open(path).study.folder
    return path if path.is_dir() else path.parent


def _study_runs(path: Path) -> RunTable:
    from mixlaw.api.facts import is_study, records_table
    from mixlaw.api.project import Project
    from mixlaw.study.store import Study

    if not path.is_dir():
        return Project.open(path).run_table()
    if not is_study(path):
        raise DataError(
            f"{path} is not a study folder: it has no plan.json.", "Give a study folder, a mix.yaml or a CSV file."
        )
    study = Study(path)
    if study.config_path.is_file():
        names = list(read_document(study.config_path, "config")["domains"])
    else:
        names = sorted({name for spec in study.load_plan() for name in spec.tokens})
    return records_table(study, names, names)
