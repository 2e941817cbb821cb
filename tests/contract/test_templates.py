"""Real chat templates: no supervised token is wrong, and what a template cannot carry is refused by name."""

from pathlib import Path

import pytest

from contract.template_table import CASES, cell, names, table


@pytest.mark.parametrize("path", names(), ids=lambda path: Path(path).stem)
def test_supervised_tokens_are_those_of_the_oracle(path):
    cells = {case: cell(path, case) for case in CASES}
    assert not {case: found for case, found in cells.items() if found.startswith("wrong")}
    assert cells["one turn"] == "ok"


def test_the_documents_table_is_what_is_found():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- templates")[2].partition("-->\n")[2].partition("\n<!-- end")[0]
    assert shown == table()
