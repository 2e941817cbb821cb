"""The trainer that docs/trainers.md shows: its code on the page, as a module that any process can import."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "trainers.md"
FIRST_LINE = '"""A trainer that counts: '


def write_own_trainer(folder: Path) -> str:
    """Write the page's trainer into a folder, and return its code."""
    (code,) = [b for b in PAGE.read_text(encoding="utf-8").split("```python\n") if b.startswith(FIRST_LINE)]
    code = code.partition("```")[0]
    (folder / "own_trainer.py").write_text(code, encoding="utf-8")
    return code
