"""Every console block of the documentation runs, in order, and prints what the page shows."""

import re
import shutil
from pathlib import Path

import pytest

from docs.transcripts import environment, run_as_shown, steps

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path: steps(path.read_text(encoding="utf-8")) for path in sorted(DOCS.rglob("*.md"))}
START = DOCS / "index.md"
"""Compares what `make demo` compares: its commands run where that has been trained, in test_readme.py."""
PAGES_OF_A_DEMO = [page for page, found in PAGES.items() if found and page != START]


@pytest.mark.timeout(1500)  # minutes on a busy machine
@pytest.mark.parametrize("page", PAGES_OF_A_DEMO, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_commands_print_what_is_shown(page, demo, tmp_path):
    shutil.copytree(demo / "mixlaw-demo", tmp_path / "mixlaw-demo")
    run_as_shown(PAGES[page], tmp_path, environment(tmp_path / ".bin"))


def test_the_tutorials_have_commands():
    with_commands = {page.name for page, found in PAGES.items() if found}
    assert {"index.md", "which-law.md", "how-many-runs.md", "fit-looks-wrong.md", "own-trainer.md"} <= with_commands


def test_every_yaml_that_is_a_whole_configuration_is_valid(tmp_path):
    from mixlaw.config import load_config

    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            if "study:" in block:
                path = tmp_path / "mix.yaml"
                path.write_text(block, encoding="utf-8")
                assert load_config(path).domains, page
