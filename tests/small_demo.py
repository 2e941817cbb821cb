"""The demo at a hundredth of its size: the same mix.yaml, model and verbs, a few rows, a few seconds."""

import gzip
from itertools import islice
from pathlib import Path

from mixlaw.api.files import example_config

ROWS = 240
CHANGES = {
    "validation: {rows: ": "validation: {rows: 16}  #",
    "budget: ": "budget: 30k  #",
    "base_tokens: ": "base_tokens: 3k  #",
    "max_length: ": "max_length: 192  #",
}


def write_small_demo(folder: Path) -> Path:
    """Write the shrunk example into a folder and return its mix.yaml."""
    config = example_config(folder)
    for path in sorted((folder / "data").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = list(islice(file, ROWS))
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(rows)
    text = config.read_text(encoding="utf-8")
    for key, replacement in CHANGES.items():
        assert text.count(key) == 1, key
        start = text.index(key)
        end = text.index("\n", start)
        text = text[:start] + replacement + text[end:]
    config.write_text(text, encoding="utf-8")
    return config
