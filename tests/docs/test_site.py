"""The documentation builds without a warning, has every page in its menu, and loads nothing from the network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""(?:<script[^>]*\bsrc|<link[^>]*\bhref|<img[^>]*\bsrc)=["']?(?:https?:)?//""")


def build(root: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of `make site` on the documentation under `root`."""
    pytest.importorskip("material")
    (words,) = re.findall(r"^\t\$\(BIN\)/python (-m mkdocs build.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = [sys.executable, *words.split(), "--site-dir", str(into)]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_broken_links_and_a_page_without_a_place_in_the_menu_fail(tmp_path):
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with open(tmp_path / "docs" / "concepts.md", "a", encoding="utf-8") as file:
        file.write("\n[nowhere](no-such-page.md) and [nowhere](data.md#no-such-part)\n")
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n", encoding="utf-8")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert "'no-such-page.md', but the target is not found" in printed, printed
    assert "does not contain an anchor '#no-such-part'" in printed, printed
    assert 'not included in the "nav"' in printed and "Aborted with 3 warnings" in printed, printed


def test_every_page_is_built(site):
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) >= 15
    for page in pages:
        assert (site / page).is_file(), page


def test_no_page_loads_anything_from_the_network(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        found = [line for line in re.findall(r"<[^>]+>", text) if LOADED.match(line) and 'rel="canonical"' not in line]
        assert not found, (page.name, found)
