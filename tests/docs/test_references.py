"""Pages that are written from the code say what the code says, and every error has its place."""

import re
from pathlib import Path

import pytest

from docs import api_reference, constants_reference, errors_reference

DOCS = Path(__file__).parents[2] / "docs"


PAGES = {"api.md": api_reference, "constants.md": constants_reference, "errors.md": errors_reference}


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_up_to_date(page):
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page].reference(), "run `make docs`"


def test_every_constant_says_its_source_or_on_which_data_it_was_chosen():
    found = [(path.name, c) for path in constants_reference.files() for c in constants_reference.constants(path)]
    assert len(found) >= 100
    silent = [f"{file}: {c.name}" for file, c in found if not re.search("Source: |Chosen on: |No data", c.text)]
    assert not silent, "write below the constant what it does, and 'Source: ...', 'Chosen on: ...' or 'No data.'"
    assert not [c for _, c in found if "|" in c.text + c.value], "a bar ends a cell of the table"


def test_every_error_code_is_explained_once():
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    codes = [kind.code for kind in (*errors_reference.kinds(), *errors_reference.COMMAND_LINE)]
    assert len(codes) == len(set(codes)) >= 15
    assert all(text.count(f"\n## {code}\n") == 1 for code in codes)
    assert set(errors_reference.DO) == set(codes)


def test_every_exported_name_is_in_the_api_reference():
    import mixlaw

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in set(mixlaw.__all__) - {"__version__", "MixlawError"}:
        assert f"\n### {name}\n" in text, name
