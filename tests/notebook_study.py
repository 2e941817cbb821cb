"""The notebook's runs, trained once and kept as the demo's are: a test trains one of them again, not all.

PYTHONPATH=tests python tests/notebook_study.py     keep the runs of docs/own-data.ipynb (after it changed)
"""

import shutil
import tempfile
from pathlib import Path
from unittest import mock

import demo_study

KEPT = Path(__file__).parent / "data" / "notebook_study.json"
NOTEBOOK = Path(__file__).parents[1] / "docs" / "own-data.ipynb"
STUDY = Path("studies", "mix")


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
        execute(NOTEBOOK, Path(made))
        demo_study.keep_runs(Path(made) / STUDY)
