"""docs/cli.md says what --help says."""

from pathlib import Path

import pytest
import typer

from docs.cli_reference import reference

ROOT = Path(__file__).parents[2]


def test_the_cli_reference_is_up_to_date():
    pinned = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("typer=="))
    if pinned != f"typer=={typer.__version__}":
        pytest.skip("another Typer lays help out differently")
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run `make docs`"
