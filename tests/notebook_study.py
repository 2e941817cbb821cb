"""The notebook in less time, and its runs, kept as the demo's are: a test trains one of them again, not all.

A fifth of the budget, whose runs a test may have to train, fits that end early, and no pictures beside the report.

PYTHONPATH=tests python tests/notebook_study.py     keep the runs of docs/own-data.ipynb (after it changed)
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat

import demo_study

KEPT = Path(__file__).parent / "data" / "notebook_study.json"
NOTEBOOK = Path(__file__).parents[1] / "docs" / "own-data.ipynb"
STUDY = Path("studies", "mix")
BUDGET = {'budget="60k"': 'budget="12k"'}
QUICK = f"""
import sys

sys.path.append({str(Path(__file__).parent)!r})
from light_reports import empty_files
from quick_fits import few_folds, short_draws

quick = few_folds(2), short_draws(), empty_files()
for part in quick:
    part.__enter__()
"""


def quick_notebook() -> Any:
    """Return the notebook with a smaller budget, and a first cell that lets the kernel take short cuts."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for before, after in BUDGET.items():
        assert any(before in cell.source for cell in notebook.cells), before
        for cell in notebook.cells:
            cell.source = cell.source.replace(before, after)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(QUICK))
    return notebook


def place_all_but_one(folder: Path) -> Path:
    """Write the kept runs below the notebook's folder, and return that of a run which is left out.

    It is one that is compared with the solution: the fit, and with it the weights that are compared, stay the same.
    """
    with mock.patch.object(demo_study, "KEPT", KEPT):
        demo_study.place_runs(folder / STUDY)
    left_out = min((folder / STUDY / "confirmation" / "runs").glob("equal-*"))
    shutil.rmtree(left_out)
    return left_out


if __name__ == "__main__":
    from docs.notebook import execute

    with tempfile.TemporaryDirectory() as made, mock.patch.object(demo_study, "KEPT", KEPT):
        execute(quick_notebook(), Path(made))
        demo_study.keep_runs(Path(made) / STUDY)
