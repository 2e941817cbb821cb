"""Fitting and solving a study's runs, once: what is stored and still right is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import mixlaw
from mixlaw.api.project import Project
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import file_fingerprint, fingerprint
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.laws import find
from mixlaw.solve import Solution

_CODE = ("core", "fit", "laws")
"""The parts of mixlaw that determine a fit."""


def fit_and_solve(project: Project) -> tuple[Fit, Solution]:
    """Fit the study's runs, solve at its budget, write fit.json and solution.json, and return both.

    A fit.json that was made from the same runs in the same way by the same code is read instead.
    """
    fitted = _fitted(project)
    solution = project.solve(fitted)
    write_document(project.study.folder / "solution.json", "solution", solution.to_json())
    return fitted, solution


def _fitted(project: Project) -> Fit:
    runs, wish = project.run_table(), project.config.fit
    inputs, place = (
        fit_inputs(runs, wish.law, wish.procedure, wish.repetition),
        project.study.folder / "fit_inputs.json",
    )
    path = project.study.folder / "fit.json"
    if inputs is not None and path.exists() and place.exists():
        try:
            if read_document(place, "fit_inputs") == {"inputs": inputs, "fit": file_fingerprint(path)}:
                return project.fit
        except DataError:
            pass  # damaged, or of a newer mixlaw: the runs are fitted again
    fitted = fit_law(runs, wish.law, wish.procedure, repetition=wish.repetition)
    project.keep_fit(fitted)
    if inputs is not None:
        write_document(place, "fit_inputs", {"inputs": inputs, "fit": file_fingerprint(path)})
    return fitted


def fit_inputs(runs: RunTable, law: str, procedure: str, repetition: float | str) -> str | None:
    """Return a hash of all that determines a fit; None where that cannot be known, as with a law of the user's.

    Args:
        runs: the runs.
        law: `auto`, or the name of a law.
        procedure: see `mixlaw.fit`.
        repetition: see `mixlaw.fit`.
    """
    if law != "auto" and not is_bundled(law):
        return None
    return fingerprint([table_content(runs), law, procedure, repetition, code_of(*_CODE)])


def is_bundled(law: str) -> bool:
    """Return whether a law's code is mixlaw's."""
    kind = find(law)
    return str(getattr(kind.law or kind.regressor, "__module__", "")).startswith("mixlaw.")


def table_content(runs: RunTable) -> dict[str, Any]:
    """Return all that a run table holds, for a hash."""
    return {field.name: _plain(getattr(runs, field.name)) for field in dataclasses.fields(runs)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [list(value.shape), [float(x).hex() for x in value.ravel()]]
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


@cache
def code_of(*parts: str) -> str:
    """Return a hash of parts of mixlaw, so that a change of their code makes what they have made anew."""
    folder = Path(mixlaw.__file__).parent
    found = (file for part in parts for file in (folder / part).rglob("*") if "__pycache__" not in file.parts)
    files = sorted(file for file in found if file.is_file())
    return fingerprint({str(file.relative_to(folder)): file_fingerprint(file) for file in files})
