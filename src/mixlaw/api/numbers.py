"""Verbs that need numbers only: no torch, no data, no GPU."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from mixlaw.api.hub import is_published, published_runs
from mixlaw.api.pooled import pooled
from mixlaw.core.documents import read_document
from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.core.renamed import renamed, with_new_names
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.fit import Fit, Prediction, fit_law
from mixlaw.fit.choosing.held_out import compare_laws, folds
from mixlaw.fit.choosing.table import LawTable
from mixlaw.fit.metrics import with_metrics
from mixlaw.fit.studies import aligned
from mixlaw.solve import Solution, SolveWishes, solve_mixture
from mixlaw.solve.wishes import OLD_NAMES, WishesByName, wishes_of, with_wishes

_log = logging.getLogger(__name__)


def load_runs(source: Any) -> RunTable:
    """Return a run table.

    Args:
        source: a RunTable, the path of a CSV, Parquet or JSON run table, of a study folder or of a mix.yaml, a
            published study (`hf:USER/NAME`), or anything with columns such as a DataFrame or a dict. JSON has one
            object with a list per column, or a list with one object per run. A list or tuple of these: the runs of
            several studies of one base model and the same data (see `mixlaw.fit.studies`).

    Raises:
        DataError: no such file, a malformed value (the message names its row and column), or studies whose runs do
            not belong together.
        ConfigError: a mix.yaml with problems.
    """
    if isinstance(source, (list, tuple)):
        tables = [load_runs(one) for one in source]
        return tables[0] if len(tables) == 1 else pooled(source, tables)
    if isinstance(source, RunTable):
        return source
    if not isinstance(source, (str, Path)):
        source = source.reset_index() if getattr(getattr(source, "index", None), "name", None) == "run" else source
        return RunTable.from_columns({str(column): list(source[column]) for column in source})
    path = published_runs(str(source)) if is_published(source) else Path(source)
    if path.is_dir() or path.suffix in (".yaml", ".yml"):
        return _study_runs(path)
    if path.suffix == ".parquet":
        return RunTable.from_columns(parquet_columns(path), str(path))
    return RunTable.from_columns(_json_columns(path), str(path)) if path.suffix == ".json" else RunTable.from_csv(path)


def _json_columns(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a JSON run table; null, or a key that a run lacks, is an empty cell."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"No such run table: {path}.", "Check the path.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not readable as JSON: {error}.", "Write it again, or as CSV.") from None
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        names = dict.fromkeys(name for row in value for name in row)
        value = {name: [row.get(name) for row in value] for name in names}
    if not isinstance(value, dict) or not all(isinstance(cells, list) for cells in value.values()):
        raise DataError(
            f"{path} is not a run table.",
            "Write an object with one list per column, or a list with one object per run.",
        )
    if len({len(cells) for cells in value.values()}) > 1:
        raise DataError(f"{path}: the columns have different lengths.", "Write null where nothing was measured.")
    return value


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
    with waiting(*(runs if isinstance(runs, (list, tuple)) else [runs]), out):
        result = fit_law(with_metrics(load_runs(runs), metrics or {}), law, procedure, seed, repetition)
        if out is not None:
            result.save(out)
    return result


def laws(runs: Any, names: Sequence[Any] | None = None, plot: str | Path | None = None) -> LawTable:
    """Return every law's errors on held-out mixtures of the same runs, best first; see `mixlaw.fit.choosing`.

    Args:
        runs: whatever `load_runs` takes.
        names: laws and regressors, by name, class or instance; None for all.
        plot: a folder for one SVG figure per law, predicted against measured; None for no figures.

    Raises:
        ConfigError: no such law.
        DataError: fewer than two different mixtures.
    """
    from mixlaw.laws import find
    from mixlaw.laws import names as all_names

    if names is not None and not names:
        raise ConfigError("No laws were named.", f"Choose from: {', '.join(all_names())}.")
    table = load_runs(runs)
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
    if not isinstance(source, (str, Path)):
        return fit_law(load_runs(source), law or "auto")
    path = Path(source)
    if not path.exists():
        with waiting(path):  # another process may be making it
            pass
    if path.suffix == ".json" and not _is_json_table(path):
        return Fit.load(path, law)
    if path.is_dir() or path.suffix in (".yaml", ".yml"):
        stored = _folder(path) / "fit.json"
        if stored.exists():
            return Fit.load(stored, law)
    elif path.suffix not in (".csv", ".parquet", ".json"):
        return Fit.load(path, law)
    return fit(path, law or "auto")


def _is_json_table(path: Path) -> bool:
    """Whether a JSON file holds runs: a list of them, or columns such as `tokens:code`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, dict) for row in value)
    return isinstance(value, dict) and any(key.startswith("tokens:") for key in value)


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
            `objective`, `target_weight`, `min`, `max`, `available` (numbers, or texts such as "3M"), `max_epochs`,
            `groups`, `floor`, `no_worse`, `reference`, `prior` and `prior_strength`. What is not given is taken from
            the part `solve` of a mix.yaml and from its data, where `fit` is one.

    Raises:
        ConfigError: a value out of its range, an unknown name, or a group that cannot be read.
        Infeasible: no mixture meets the constraints; the message names those that conflict.
    """
    given: dict[str, Any] = dict(with_new_names(named, OLD_NAMES))
    if wishes is None and isinstance(fit, (str, Path)):
        given = asked_in(fit) | _said(given)
    wishes = wishes_of(wishes, given)
    if wishes.available is not None:
        wishes = replace(wishes, available={name: _count(value, name) for name, value in wishes.available.items()})
    return solve_mixture(load_fit(fit), parse_tokens(budget, "the budget"), wishes)


def asked_in(source: str | Path) -> dict[str, Any]:
    """Return what a mix.yaml asks of the mixture, as fields of `SolveWishes`; nothing of any other file or folder.

    Args:
        source: the path. The tokens that its domains have are those that were counted when runs were planned.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml") or path.is_dir():
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


def _count(value: float | str, name: str) -> float:
    return parse_tokens(value, f"available tokens of '{name}'") if isinstance(value, str) else value


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

    if path.suffix in (".yaml", ".yml") and not path.is_dir():
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


def parquet_columns(path: Path) -> dict[str, list[Any]]:
    """Return a Parquet file's columns, name -> values; raise DataError where it cannot be read."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", "Reading Parquet") from None
    try:
        table = parquet.read_table(path)
    except FileNotFoundError:
        raise DataError(f"No such run table: {path}.", "Check the path.") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}.", "Write it again.") from None
    return {name: table[name].to_pylist() for name in table.column_names}
