"""Cuts three smaller domains out of the files of this folder: those of the tests, and of the first version's demo.

    python -m experiments.data.cut OUT_DIR     a study of them, with a mix.yaml and the bundled base model

collection.jsonl.gz was made by `collect` from eleven whole domains, three of which are here: the first quarter of each.

Kept are rows whose licence allows redistribution without share-alike, in the order given, up to a size. The output's
bytes do not depend on when or where it was made.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path

# Uneven, as collections are: the natural mixture has little math.
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


HERE = Path(__file__).parent


def cut(out_dir: Path, most_rows: int | None = None) -> None:
    """Write the three files into a folder, of each domain at most so many rows."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for domain, sources in SOURCES.items():
        kept, size = [], 0
        with gzip.open(HERE / f"{domain}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                length = len(line.encode())
                if json.loads(line)["source"] not in sources or length > LONGEST_ROW_BYTES:
                    continue
                if size + length > LARGEST_BYTES[domain] or len(kept) == most_rows:
                    break
                kept.append(line)
                size += length
        write_gzip(out_dir / f"{domain}.jsonl.gz", "".join(kept))


def collect(whole: Path, path: Path) -> None:
    """Write the first quarter of each domain's rows into one file, with a column `domain`.

    Args:
        whole: folder with a file DOMAIN.jsonl.gz for each domain.
        path: the file to write.
    """
    kept = []
    for file in sorted(whole.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as rows:
            lines = rows.readlines()
        domain = {"domain": file.name.removesuffix(".jsonl.gz")}
        kept += [json.dumps(domain | json.loads(line), ensure_ascii=False) for line in lines[: len(lines) // 4]]
    write_gzip(path, "\n".join(kept) + "\n")


def write_gzip(path: Path, text: str) -> None:
    """Write a compressed file, the same bytes for the same text."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.encode())


def write_study(folder: Path, most_rows: int | None = None) -> Path:
    """Write the domains, the bundled base model and mix.yaml into a folder, unless it is there; return mix.yaml.

    Args:
        folder: made where it is missing.
        most_rows: of each domain.
    """
    config = folder / "mix.yaml"
    if not config.exists():
        cut(folder / "data", most_rows)
        shutil.copyfile(HERE / "LICENSES.txt", folder / "data" / "LICENSES.txt")
        base = HERE.parents[1] / "src" / "mixlaw" / "demo" / "tiny_base"
        shutil.copytree(base, folder / "tiny_base", dirs_exist_ok=True)
        shutil.copyfile(HERE / "mix.yaml", config)
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, metavar="OUT_DIR")
    write_study(parser.parse_args().folder)
