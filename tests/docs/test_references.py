"""Pages that are written from the code say what the code says, and every error has its place."""

from pathlib import Path

import pytest

from docs import api_reference, errors_reference

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "module"), [("api.md", api_reference), ("errors.md", errors_reference)])
def test_the_page_is_up_to_date(page, module):
    assert (DOCS / page).read_text(encoding="utf-8") == module.reference(), "run `make docs`"


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
