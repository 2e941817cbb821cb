"""Every training run of the experiments in one file: runs.parquet, a row for each run and domain.

    python -m experiments.swarm.build controlled=FOLDER [points=FOLDER ...]

Reads the records below each folder, whichever study they lie in; a run that lies in two is taken once. The rows that
are there already stay, so that the file grows with the experiments. What the columns mean: README.md beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mixlaw.core.documents import read_document
from mixlaw.core.run import Counted, RunRecord

KEPT = Path(__file__).parent / "runs.parquet"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("experiment", "study", "run", "spec", "model")),
        ("parameters", pa.int64()),
        *((name, pa.string()) for name in ("trainer", "peft")),
        ("learning_rate", pa.float64()),
        *((name, pa.int32()) for name in ("batch_rows", "max_length", "seed", "steps")),
        ("part", pa.float64()),
        ("domain", pa.string()),
        *((name, pa.int64()) for name in ("tokens", "supervised_tokens", "unique_tokens")),
        ("validation_nats", pa.float64()),
        *((name, pa.int64()) for name in ("validation_tokens", "validation_bytes")),
        *((name, pa.float64()) for name in ("loss", "train_flops")),
    ]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", help="NAME=FOLDER")
    rows = {_key(row): row for row in (pq.read_table(KEPT).to_pylist() if KEPT.exists() else [])}
    for wish in parser.parse_args().experiments:
        name, _, folder = wish.partition("=")
        for row in rows_below(name, Path(folder)):
            rows.setdefault(_key(row), row)
    ordered = [rows[key] for key in sorted(rows)]
    new = KEPT.with_suffix(".new")
    pq.write_table(pa.Table.from_pylist(ordered, SCHEMA), new, compression="zstd")
    new.replace(KEPT)  # whole, or as it was
    print(f"{len({row['spec'] for row in ordered})} runs, {len(ordered)} rows, {KEPT.stat().st_size / 1e3:.0f} kB")


def rows_below(experiment: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of all finished runs below a folder."""
    for path in sorted(folder.rglob("runs/*/record.json")):
        study = path.parents[2]
        settings = read_document(study / "trainer.json", "trainer")
        record = RunRecord.from_json(read_document(path, "record"))
        head = {
            "experiment": experiment,
            "study": str(study.relative_to(folder)),
            "run": record.spec.name,
            "spec": record.spec.id,
            "model": Path(settings["model"]["name_or_path"]).name,
            "parameters": record.parameters,
            "trainer": settings["trainer"],
            "peft": "lora" if (settings.get("options") or {}).get("peft") else "none",
            "learning_rate": settings["train"]["learning_rate"],
            "batch_rows": settings["train"]["per_device_train_batch_size"],
            "max_length": settings["train"]["max_length"],
            "seed": record.spec.seed,
        }
        ends: list[Counted | RunRecord] = [*record.points, record]
        total = sum(record.tokens.values())
        for end in ends:
            part = sum(end.tokens.values()) / total if total else 1.0
            # 2 N operations of a token forwards and 4 N backwards (Kaplan et al. 2020, section 2.1), N all parameters.
            flops = 6.0 * record.parameters * sum(end.tokens.values()) if head["peft"] == "none" else None
            for domain in sorted({*end.tokens, *end.losses}):
                loss = end.losses.get(domain)
                yield head | {
                    "steps": end.steps,
                    "train_flops": flops,
                    "part": round(part, 6),
                    "domain": domain,
                    "tokens": end.tokens.get(domain, 0),
                    "supervised_tokens": end.supervised_tokens.get(domain, 0),
                    "unique_tokens": end.unique_tokens.get(domain, 0),
                    "validation_nats": loss.nats if loss else None,
                    "validation_tokens": loss.count if loss else None,
                    "validation_bytes": loss.bytes if loss else None,
                    "loss": loss.nats / loss.count if loss else None,
                }


def _key(row: dict[str, Any]) -> tuple[str, str, float, str]:
    return row["experiment"], row["spec"], row["part"], row["domain"]


if __name__ == "__main__":
    main()
