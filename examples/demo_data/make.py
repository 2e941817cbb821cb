"""Draws the demo's three domains out of larger files of conversations.

    python examples/demo_data/make.py SOURCE_DIR OUT_DIR

SOURCE_DIR holds sql.jsonl.gz, shell.jsonl.gz and translation.jsonl.gz, about 20,000 rows each. Their rows are put into
one order and dealt out to four sets. The demo is set 1. Its domains, goal and sizes were chosen on set 0; what it gains
was measured on sets 1 to 3 (`experiments/gain`). The output's bytes do not depend on when or where it was made.
"""

from __future__ import annotations

import gzip
import random
import sys
from pathlib import Path

# Uneven on purpose, as collections are: the domain that counts is the smallest.
ROWS = {"sql": 1150, "shell": 4500, "translation": 4500}
LONGEST_ROW_BYTES = 4_000
SETS = 4
TUNING, DEMO = 0, 1


def rows_of(chosen: int, source_dir: Path) -> dict[str, list[str]]:
    """Return domain -> lines of one of the sets; no line is in two of them."""
    drawn = {}
    for domain, count in ROWS.items():
        with gzip.open(source_dir / f"{domain}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [line for line in file if len(line.encode()) <= LONGEST_ROW_BYTES]
        random.Random(7).shuffle(rows)
        drawn[domain] = rows[chosen::SETS][:count]
        if len(drawn[domain]) < count:
            raise SystemExit(f"{domain}.jsonl.gz has too few rows: {len(rows)}; wanted: {SETS * count}")
    return drawn


def write(rows: dict[str, list[str]], out_dir: Path) -> None:
    """Write the domains into a folder."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for domain, lines in rows.items():
        path = out_dir / f"{domain}.jsonl.gz"
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write("".join(lines).encode())


if __name__ == "__main__":
    write(rows_of(DEMO, Path(sys.argv[1])), Path(sys.argv[2]))
