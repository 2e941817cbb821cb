"""Every console block of the documentation runs, in order, and prints what the page shows; its Python runs, too."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.transcripts import difference, environment, run, steps

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path: steps(path.read_text(encoding="utf-8")) for path in sorted(DOCS.rglob("*.md"))}
PYTHON_PAGES = ("index.md",)


@pytest.mark.timeout(1500)  # minutes on a busy machine
@pytest.mark.parametrize("page", [p for p, found in PAGES.items() if found], ids=lambda p: str(p.relative_to(DOCS)))
def test_the_commands_print_what_is_shown(page, demo, tmp_path):
    shutil.copytree(demo / "mixlaw-demo", tmp_path / "mixlaw-demo")
    variables = environment(tmp_path / ".bin")
    for step in PAGES[page]:
        printed = run(step.command, tmp_path, variables)
        if step.shown:
            assert not (found := difference(step.shown, printed)), f"$ {step.command}\n{found}\n\n{printed}"
    if page.name in PYTHON_PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, done.stderr


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
