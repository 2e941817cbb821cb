"""Copies in a million rows: exact ones, near ones, and phrases shared with validation; against two libraries.

    python bench/data/copies.py --rows 1M [--workers 2] [--folder DIR]

The rows are those of run.py, of which 1 in 20 is an exact copy of another and 1 in 20 has one word of its answer
changed. Measured, each in a child process:

exact   `prepare_domains`: what it takes beyond tokenising is measured alone, as the hashes of normal forms of all rows
        and the search for copies among them; the tokens themselves are in run.py's results.
near    `count_likeness`: near copies by MinHash of runs of five words, and phrases of 13 words. Found near copies are
        held against the planted ones.
rensa, datasketch    MinHash with 128 hashes and LSH at 0.8 of the same words' runs on 20,000 of the rows, one process:
        CPU microseconds a row, with and without making the runs. Left out where they are not installed.

Of each: wall and CPU seconds, and the peak of the summed resident memory of its processes. Results: copies.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from run import GROUP_ROWS, MAX_LENGTH, MODEL, VALIDATION_ROWS, cpu_s, generate, resident

from mixlaw.core.tokens import parse_tokens

HERE = Path(__file__).parent
EVERY = 20
FEW = 20_000


def planted(rows: int, folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Write the rows with copies among them, and return domain -> file and domain -> planted near copies."""
    folders, counts = {}, {}
    for domain, source in generate(rows, folder).items():
        target = folder / str(rows) / f"{domain}-copies.parquet"
        table = parquet.read_table(source)
        rng = np.random.default_rng(len(table))
        place = rng.permutation(len(table))
        some = len(table) // EVERY
        exact, near, of_exact, of_near = (place[k * some : (k + 1) * some] for k in range(4))
        folders[domain], counts[domain] = str(target), some
        if target.exists():
            continue
        order = np.arange(len(table))
        order[exact], order[near] = of_exact, of_near
        column = table.column("messages").combine_chunks().take(pa.array(order))
        values = column.to_pylist()
        for row in near.tolist():
            words = values[row][-1]["content"].split(" ")
            words[len(words) // 2] = "changed"
            values[row] = [values[row][0], {"role": "assistant", "content": " ".join(words)}]
        changed = pa.table({"messages": pa.array(values, column.type)})
        parquet.write_table(changed, target, row_group_size=GROUP_ROWS, compression="snappy")
    return folders, counts


def exact(given: dict, out: Path) -> dict:
    from mixlaw.data.conversations import Conversation, as_json
    from mixlaw.data.hash_sets import repeated
    from mixlaw.data.normal_text import content_hashes

    hashing, total, seconds = 0.0, 0, {}
    for path in given["files"].values():
        found = []
        for batch in parquet.ParquetFile(path).iter_batches(1024):
            texts = as_json([Conversation.of(messages) for messages in batch.column(0).to_pylist()])
            began = time.process_time()
            found.append(content_hashes(texts))
            hashing += time.process_time() - began
        began = time.process_time()
        total += len(repeated(np.concatenate(found)))
        seconds["searching"] = seconds.get("searching", 0.0) + time.process_time() - began
    return {"cpu_s_of": {"hashing": hashing, **seconds}, "conversations_that_come_twice": total}


def near(given: dict, out: Path) -> dict:
    from dataclasses import asdict

    from mixlaw.core.domain import Domain
    from mixlaw.data.chat import load_tokenizer
    from mixlaw.data.near_copies import count_likeness
    from mixlaw.data.prepare import prepare_domains

    domains = {name: Domain(name, path) for name, path in given["files"].items()}
    prepared = prepare_domains(
        domains.values(),
        load_tokenizer(str(MODEL)),
        validation_rows=VALIDATION_ROWS,
        max_length=MAX_LENGTH,
        cache_dir=Path(given["cache"]),
        workers=given["workers"],
    )
    if given["prepare_only"]:
        return {"copies": {name: d.copies for name, d in prepared.items()}}
    began = time.perf_counter()
    found = count_likeness(domains, prepared, given["workers"])
    return {
        "seconds": time.perf_counter() - began,
        "found": {name: asdict(likeness) for name, likeness in found.items()},
    }


def runs_of_words(path: str) -> list[list[str]]:
    """Return the runs of five words of the first rows."""
    found = []
    for row in parquet.ParquetFile(path).iter_batches(FEW).__next__().column(0).to_pylist():
        words = " ".join(turn["content"] for turn in row).casefold().split()
        found.append([" ".join(words[k : k + 5]) for k in range(max(1, len(words) - 4))])
    return found


def libraries(given: dict, out: Path) -> dict:
    began = time.process_time()
    rows = runs_of_words(given["files"]["instruction"])
    result: dict = {"rows": len(rows), "runs_us": 1e6 * (time.process_time() - began) / len(rows)}
    try:
        from rensa import RMinHash, RMinHashLSH

        began, lsh = time.process_time(), RMinHashLSH(0.8, 128, 16)
        for key, runs in enumerate(rows):
            sketch = RMinHash(num_perm=128, seed=1)
            sketch.update(runs)
            lsh.query(sketch)
            lsh.insert(key, sketch)
        result["rensa_us"] = 1e6 * (time.process_time() - began) / len(rows)
    except ImportError:
        pass
    try:
        from datasketch import MinHash, MinHashLSH

        began, lsh = time.process_time(), MinHashLSH(0.8, 128)
        for key, runs in enumerate(rows):
            sketch = MinHash(128)
            sketch.update_batch([run.encode() for run in runs])
            lsh.query(sketch)
            lsh.insert(key, sketch)
        result["datasketch_us"] = 1e6 * (time.process_time() - began) / len(rows)
    except ImportError:
        pass
    return result


def measure(side: str, given: dict) -> dict:
    """Run one side in a child process; return what it says, with its time and peak memory."""
    out = Path(tempfile.mkdtemp(prefix=f"{side}-"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    began, peaks, cpu = time.perf_counter(), [0, 0], cpu_s()
    command = [sys.executable, __file__, "--child", side, json.dumps(given), str(out)]
    child = subprocess.Popen(command, env=environment)
    while child.poll() is None:
        peaks = [max(a, b) for a, b in zip(peaks, resident(child.pid), strict=True)]
        time.sleep(0.1)
    if child.returncode:
        raise SystemExit(f"{side} ended with {child.returncode}")
    result = json.loads((out / "result.json").read_text())
    measured = {"wall_s": time.perf_counter() - began, "cpu_s": cpu_s() - cpu}
    return result | measured | {"peak_rss_bytes": peaks[0], "peak_anonymous_bytes": peaks[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--rows", default="1M")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mixlaw-bench-data")
    parser.add_argument("--results", type=Path, default=HERE / "copies.json")
    options = parser.parse_args()
    rows = parse_tokens(options.rows)
    files, counts = planted(rows, options.folder)
    given = {"files": files, "workers": options.workers, "cache": str(options.folder / "copies-cache")}
    results = {"rows": rows, "workers": options.workers, "cores": os.cpu_count(), "planted_of_each": counts}
    results["exact"] = measure("exact", given)
    results["prepare"] = measure("near", given | {"prepare_only": True})
    results["near"] = measure("near", given | {"prepare_only": False})
    results["libraries"] = measure("libraries", given)
    options.results.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def child() -> None:
    side, given, out = sys.argv[2], json.loads(sys.argv[3]), Path(sys.argv[4])
    sides = {"exact": exact, "near": near, "libraries": libraries}
    (out / "result.json").write_text(json.dumps(sides[side](given, out)))


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--child"] else main()
