"""The notebook runs, prints what it holds but for figures, and the page of the site shows it as it is."""

import re

import pytest

pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")

import nbformat

from docs.notebook import execute, page
from notebook_study import NOTEBOOK, STUDY, place_all_but_one, quick_notebook

DOCS = NOTEBOOK.parent
_NUMBER = re.compile(r"[-–]?\d[\d.,]*(?:e-?\d+)?")


def shown(notebook):
    """Return the outputs as text without figures, which differ a little between processors, and without columns."""
    texts = [
        o.get("data", {}).get("text/plain", o.get("text", "")) for c in notebook.cells for o in c.get("outputs", [])
    ]
    return [re.sub(r"[\W_]+", " ", _NUMBER.sub("", text)).split()[:8] for text in texts]


def test_the_page_shows_the_notebook_as_it_is():
    text, pictures = page(nbformat.read(NOTEBOOK, as_version=4), NOTEBOOK.name)
    assert text == NOTEBOOK.with_suffix(".md").read_text(encoding="utf-8")
    assert pictures
    for name, content in pictures.items():
        assert (DOCS / "pictures" / name).read_bytes() == content


def test_the_notebook_holds_no_place_of_a_machine_and_no_warning():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r'"(?:/tmp|/home|/root|/work|/Users)/|stderr|Traceback', text)


@pytest.mark.timeout(900)
def test_the_notebook_comes_to_the_same_decision_again(tmp_path):
    kept = nbformat.read(NOTEBOOK, as_version=4)
    trained = place_all_but_one(tmp_path)
    again = execute(quick_notebook(), tmp_path)  # a cell that fails is an error
    assert shown(again)[0] == shown(kept)[0] and len(shown(again)) == len(shown(kept))
    assert (tmp_path / STUDY / "solution.json").exists() and (trained / "record.json").exists()
    table = next(c for c in again.cells if "beyond_interval" in c.source).outputs[0]["data"]["text/plain"]
    assert re.search(r"^sql .* True$", table, re.MULTILINE), table
