"""Draws the demo's three domains out of larger files of conversations.

    python examples/demo_data/make.py SOURCE_DIR OUT_DIR

SOURCE_DIR holds sql.jsonl.gz, shell.jsonl.gz and translation.jsonl.gz, about 20,000 rows each. Their rows are put into
one order and dealt out to four sets. The demo is set 1. Its domains, goal and sizes were chosen on set 0; what it gains
was measured on sets 1 to 3 (`experiments/gain`). Sets 4 to 6 are dealt out afterwards, and sets 7 to 9 after these, for
questions that earlier sets have suggested: their rows of SQL are in no earlier set, their other rows are not in set 0.
The output's bytes do not depend on when or where it was made.
"""

from __future__ import annotations

import gzip
import random
import sys
from pathlib import Path

# Uneven on purpose, as collections are: the domain that counts is the smallest.
ROWS = {"sql": 1150, "shell": 4500, "translation": 4500}
LONGEST_ROW_BYTES = 4_000
DEALT = (4, 3, 3)
"""How many sets are dealt out together, one group after the other."""
TUNING, DEMO = 0, 1


def rows_of(chosen: int, source_dir: Path) -> dict[str, list[str]]:
    """Return domain -> lines of one of the sets; no line is in two sets that are dealt out together."""
    drawn = {}
    for domain, count in ROWS.items():
        with gzip.open(source_dir / f"{domain}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [line for line in file if len(line.encode()) <= LONGEST_ROW_BYTES]
        random.Random(7).shuffle(rows)
        place, group = chosen, 0
        while place >= DEALT[group]:
            rows = _left(rows, domain, count, group)
            place, group = place - DEALT[group], group + 1
        drawn[domain] = rows[place :: DEALT[group]][:count]
        if len(drawn[domain]) < count:
            raise SystemExit(f"{domain}.jsonl.gz has too few rows: {len(rows)}; wanted: {DEALT[group] * count}")
    return drawn


def _left(rows: list[str], domain: str, count: int, group: int) -> list[str]:
    """Return what is dealt out after a group: SQL that nobody looked at, and all else but set 0.

    Of the first sets' SQL twice their rows were looked at.
    """
    sql = domain == "sql"
    used = range(DEALT[group]) if sql else [TUNING] if group == 0 else []
    taken = 2 * count if sql and group == 0 else count
    seen = {line for one in used for line in rows[one :: DEALT[group]][:taken]}
    left = [line for line in rows if line not in seen]
    random.Random(8 + group).shuffle(left)
    return left


def write(rows: dict[str, list[str]], out_dir: Path) -> None:
    """Write the domains into a folder."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for domain, lines in rows.items():
        path = out_dir / f"{domain}.jsonl.gz"
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write("".join(lines).encode())


if __name__ == "__main__":
    write(rows_of(DEMO, Path(sys.argv[1])), Path(sys.argv[2]))
