"""Real chat templates: no supervised token is wrong, and what a template cannot carry is refused by name."""

from pathlib import Path

import pytest

from contract.template_table import CASES, cell, names


@pytest.mark.parametrize("path", names(), ids=lambda path: Path(path).stem)
def test_supervised_tokens_are_those_of_the_oracle(path):
    cells = {case: cell(path, case) for case in CASES}
    assert not {case: found for case, found in cells.items() if found.startswith("wrong")}
    assert cells["one turn"] == "ok"
