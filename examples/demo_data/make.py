"""Cuts the demo's three domains out of larger files of conversations.

    python examples/demo_data/make.py SOURCE_DIR OUT_DIR

SOURCE_DIR holds instruction.jsonl.gz, math.jsonl.gz and code.jsonl.gz; every row names its origin in `source`. Kept
are rows whose licence allows redistribution without share-alike, in the order given, up to a size. The output's bytes
do not depend on when or where it was made.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

# Uneven on purpose, as collections are: the natural mixture then has too little math.
LARGEST_BYTES = {"instruction": 2_400_000, "math": 900_000, "code": 2_400_000}
LONGEST_ROW_BYTES = 4_000
SOURCES = {
    "instruction": ("alpaca-libre", "instructlab-taxonomy", "self-instruct-seed", "openassistant-sample"),
    "math": ("gsm8k", "aqua"),
    "code": (
        "exercism-go",
        "exercism-python",
        "exercism-javascript",
        "exercism-java",
        "exercism-ruby",
        "exercism-rust",
        "exercism-cpp",
        "thealgorithms-python",
        "mbpp",
    ),
}


def main(source_dir: Path, out_dir: Path) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    for domain, sources in SOURCES.items():
        kept, size = [], 0
        with gzip.open(source_dir / f"{domain}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                length = len(line.encode())
                if json.loads(line)["source"] not in sources or length > LONGEST_ROW_BYTES:
                    continue
                if size + length > LARGEST_BYTES[domain]:
                    break
                kept.append(line)
                size += length
        path = out_dir / f"{domain}.jsonl.gz"
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write("".join(kept).encode())
        counts = {s: sum(json.loads(line)["source"] == s for line in kept) for s in sources}
        print(f"{domain}: {len(kept)} rows, {size} bytes, {path.stat().st_size} compressed; {counts}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
