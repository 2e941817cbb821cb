"""The whole job in a few seconds: three domains of `experiments/data`, a few rows of each, the bundled base model."""

from pathlib import Path

from experiments.data.cut import write_study

ROWS = 240
CHANGES = {
    "validation: {rows: ": "validation: {rows: 16}  #",
    "budget: ": "budget: 30k  #",
    "base_tokens: ": "base_tokens: 3k\n  probe: false  #",
    "max_length: ": "max_length: 192  #",
}


def write_small_demo(folder: Path) -> Path:
    """Write the study into a folder and return its mix.yaml."""
    config = write_study(folder, ROWS)
    text = config.read_text(encoding="utf-8")
    for key, replacement in CHANGES.items():
        assert text.count(key) == 1, key
        start = text.index(key)
        end = text.index("\n", start)
        text = text[:start] + replacement + text[end:]
    config.write_text(text, encoding="utf-8")
    return config
