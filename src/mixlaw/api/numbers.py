"""Verbs that need numbers only: no torch, no data, no GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.documents import read_document
from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.core.linear import LinearConstraint
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.fit import Fit, Prediction, fit_law
from mixlaw.fit.lawtable import LawTable
from mixlaw.fit.metrics import with_metrics
from mixlaw.solve import Solution, solve_mixture


def load_runs(source: Any) -> RunTable:
    """Return a run table.

    Args:
        source: a RunTable, the path of a CSV or Parquet run table, of a study folder or of a mix.yaml, or anything
            with columns such as a DataFrame.

    Raises:
        DataError: no such file, or a malformed value (its row and column are named).
        ConfigError: a mix.yaml with problems.
    """
    if isinstance(source, RunTable):
        return source
    if not isinstance(source, (str, Path)):
        return RunTable.from_columns({str(column): list(source[column]) for column in source})
    path = Path(source)
    if path.is_dir() or path.suffix in (".yaml", ".yml"):
        return _study_runs(path)
    if path.suffix == ".parquet":
        return RunTable.from_columns(parquet_columns(path), str(path))
    return RunTable.from_csv(path)


def fit(
    runs: Any,
    law: str = "auto",
    procedure: str = "joint",
    seed: int = 0,
    out: str | Path | None = None,
    *,
    repetition: float | str = "auto",
    corrected: bool = False,
    metrics: Mapping[str, str] | None = None,
) -> Fit:
    """Fit a law to runs; see `mixlaw.fit.fit_law`.

    Args:
        runs: whatever `load_runs` takes.
        law: `auto` or a law's name.
        procedure: `joint`, `own_curve` or `published`.
        seed: of the posterior draws.
        out: where to write fit.json, or None.
        repetition: how repeated tokens count: `auto`, `off`, or the decay R*.
        corrected: whether a Gaussian process on the residuals is added.
        metrics: name of a `metric:` column -> `higher` or `lower`: further targets, `metric:<name>`.
    """
    table = with_metrics(load_runs(runs), metrics or {})
    result = fit_law(table, law, procedure, seed, repetition, corrected)
    if out is not None:
        result.save(out)
    return result


def laws(runs: Any, names: Sequence[str] | None = None, plot: str | Path | None = None) -> LawTable:
    """Return every law's errors on left-out mixtures of the same runs, best first; see `mixlaw.fit.lawtable`.

    Args:
        runs: whatever `load_runs` takes.
        names: laws and regressors; None for all.
        plot: a folder for one figure (SVG) a law, predicted against measured; None for no figures.

    Raises:
        ConfigError: no such law.
        DataError: fewer than two different mixtures.
    """
    from mixlaw.fit.lawtable import compare_laws, folds
    from mixlaw.laws import LAWS, REGRESSORS

    if names is not None and not names:
        raise ConfigError("No laws were named.", f"Choose from: {', '.join((*LAWS, *REGRESSORS))}.")
    stray = [name for name in names or () if name not in (*LAWS, *REGRESSORS)]
    if stray:
        raise ConfigError(f"There is no law '{stray[0]}'.", f"Choose from: {', '.join((*LAWS, *REGRESSORS))}.")
    table = load_runs(runs)
    if not folds(table):
        raise DataError("All runs have the same mixture: none can be left out.", "Add runs with other mixtures.")
    rows = compare_laws(table, names)
    if plot is not None:
        from mixlaw.report.lawplot import write_law_plots

        write_law_plots(rows, table, Path(plot))
    return rows


def load_fit(source: Fit | str | Path, params: float | str | None = None) -> Fit:
    """Return a fit, or read it from its file.

    Args:
        source: a fit or the path of fit.json.
        params: parameters of the model that it should speak of, 7e9 or "7B"; None: the largest among the runs.

    Raises:
        DataError: the file is missing or malformed.
        FitError: a model size was asked for, and the runs are of one size.
    """
    fit = source if isinstance(source, Fit) else Fit.load(source)
    return fit if params is None else fit.at_size(parse_tokens(params, "the model size"))


def spread_ratios(fit: Fit | str | Path, samples: int = 40) -> dict[str, float]:
    """Return target -> spread of bootstrapped predictions over that of the draws; see `mixlaw.fit.bootstrap`."""
    from mixlaw.fit.bootstrap import bootstrap_ratios

    fit = load_fit(fit)
    return dict(zip(fit.targets, map(float, bootstrap_ratios(fit, samples=samples)), strict=True))


def solve(
    fit: Fit | str | Path,
    budget_tokens: float | str,
    *,
    objective: str | None = None,
    target_weights: Mapping[str, float] | None = None,
    minimum: Mapping[str, float] | None = None,
    maximum: Mapping[str, float] | None = None,
    available: Mapping[str, float | str] | None = None,
    max_epochs: float | None = None,
    groups: Sequence[str | LinearConstraint] = (),
    ceilings: Mapping[str, float] | None = None,
    no_worse: Mapping[str, float] | None = None,
    reference: str | Mapping[str, float] | None = None,
    prior: str | Mapping[str, float] | None = None,
    prior_strength: float | None = None,
) -> Solution:
    """Return the best weights at a budget; see `mixlaw.solve.solve_mixture`.

    Args:
        fit: a fit or the path of fit.json.
        budget_tokens: 20e6 or "20M".
        objective: `mean`, `weighted` or `max` (the worst target).
        target_weights: target -> g; targets left out count 0.
        minimum: domain -> smallest share.
        maximum: domain -> largest share.
        available: domain -> distinct tokens there are, 3e6 or "3M".
        max_epochs: most passes over a domain; needs `available`.
        groups: further constraints on shares, such as "code + math <= 0.5".
        ceilings: target -> nats that its loss must not exceed (`--floor` on the command line).
        no_worse: target -> percent by which its loss may exceed the reference's.
        reference: `natural`, `equal` or {domain: share}.
        prior: `natural`, `equal` or {domain: share}: pull the weights towards it.
        prior_strength: nats of the pull.

    Raises:
        ConfigError: a value out of its range, an unknown name, or a group that cannot be read.
        Infeasible: no mixture meets the constraints; names those that bind.
    """
    tokens = {name: _count(value, name) for name, value in (available or {}).items()}
    return solve_mixture(
        load_fit(fit),
        parse_tokens(budget_tokens, "the budget"),
        objective=objective,
        target_weights=target_weights,
        minimum=minimum,
        maximum=maximum,
        available=None if available is None else tokens,
        max_epochs=max_epochs,
        groups=groups,
        ceilings=ceilings,
        no_worse=no_worse,
        reference=reference,
        prior=prior,
        prior_strength=prior_strength,
    )


def _count(value: float | str, name: str) -> float:
    return parse_tokens(value, f"available tokens of '{name}'") if isinstance(value, str) else value


def predict(fit: Fit | str | Path, tokens: RunTable | Mapping[str, float] | np.ndarray) -> Prediction:
    """Return expected losses with their bands, as `solve` does; see `mixlaw.fit.result.Fit.expected`."""
    return load_fit(fit).expected(tokens)


def prediction_json(fit: Fit, prediction: Prediction, row: int = 0) -> dict[str, dict[str, float]]:
    """Return one mixture's prediction as {target: {mean, low, high}}."""
    return {
        target: {part: float(getattr(prediction, part)[row, j]) for part in ("mean", "low", "high")}
        for j, target in enumerate(fit.targets)
    }


def _study_runs(path: Path) -> RunTable:
    from mixlaw.api.project import Project, is_study, records_table
    from mixlaw.study.store import Study

    if not path.is_dir():
        return Project.open(path).run_table()
    if not is_study(path):
        raise DataError(f"{path} is no study folder: it has no plan.json.", "Name a study, a mix.yaml or a CSV file.")
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
