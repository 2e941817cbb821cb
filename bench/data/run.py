"""Data beyond memory: count, split and materialise a mixture, against `datasets.interleave_datasets`.

    python bench/data/run.py --rows 1M 10M [--workers 2] [--folder DIR] [--only ours|theirs]

Generates N chat rows (Parquet shards of three domains, about 500 bytes a row, put together from the sentences of the
bundled conversations, with a new word in every fifth), then measures in child processes, in turn:

ours    `prepare_domains`: tokenise with the chat template and the assistant's mask, count, hold out 500 rows a domain
        by hash, keep the tokens for training; then `materialise` at fixed shares of training tokens, as Parquet.
theirs  `datasets`: load the shards, `map` the same chat template and tokenizer over them in batches with as many
        processes to know each row's tokens (only the count is kept), `train_test_split` with 500 rows,
        `interleave_datasets` with row probabilities that are the wanted shares divided by the domain's mean tokens, as
        many rows as make the budget on average, `to_parquet`. No mask, no hash split, no tokens kept: less than ours.

Of each: seconds by step, rows a second of all rows, CPU seconds with the start of the processes, peak of the summed
resident memory of its processes, and the token shares that the written files have. Results are merged into
results.json, size by size; a size that is there is not measured again (--again does). Generated data stays in --folder
for the next time (--clean deletes it at the end).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

import mixlaw
from mixlaw.core.tokens import format_tokens, parse_tokens

HERE = Path(__file__).parent
MODEL = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
BUNDLED = Path(mixlaw.__file__).parent / "demo" / "data"
PARTS = {"code": 0.30, "instruction": 0.45, "math": 0.25}
"""Share of all rows."""
WEIGHTS = {"code": 0.45, "instruction": 0.25, "math": 0.30}
"""Share of training tokens that is asked for."""
MEAN_BYTES = {"code": 620, "instruction": 400, "math": 500}
BUDGET_SHARE = 0.4
"""Tokens of the mixture, as a part of all there are: small enough that no domain repeats."""
VALIDATION_ROWS = 500
MAX_LENGTH = 2048
SHARD_ROWS = 250_000
GROUP_ROWS = 10_000
SEED = 0


# --- the rows


def sentences(domain: str) -> list[str]:
    """Return the sentences of the bundled conversations of a domain."""
    found: list[str] = []
    with gzip.open(BUNDLED / f"{domain}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            turns = row.get("messages") or row.get("conversations") or []
            texts = [turn.get("content") or turn.get("value") or "" for turn in turns]
            texts = texts or [str(value) for value in row.values()]
            found += [
                part for text in texts for part in re.split(r"(?<=[.!?])\s+|\n{2,}", text) if 20 < len(part) < 300
            ]
    return found


def generate(rows: int, folder: Path) -> dict[str, Path]:
    """Write the shards that are missing, the same every time; return domain -> folder."""
    folders = {}
    for d, (domain, share) in enumerate(PARTS.items()):
        target = folders[domain] = folder / str(rows) / domain
        target.mkdir(parents=True, exist_ok=True)
        pool, count = None, round(rows * share)
        shards = -(-count // SHARD_ROWS)
        for s in range(shards):
            path = target / f"{s:05d}-of-{shards:05d}.parquet"
            if path.exists():
                continue
            pool = pool or sentences(domain)
            size = min(SHARD_ROWS, count - s * SHARD_ROWS)
            write_shard(path, pool, MEAN_BYTES[domain], size, np.random.default_rng([SEED, rows, d, s]))
            print(f"  {path.relative_to(folder)}", flush=True)
    return folders


def write_shard(path: Path, pool: list[str], mean_bytes: int, rows: int, rng: np.random.Generator) -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(message))])
    lengths = np.array([len(s) for s in pool])
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    part = path.with_suffix(".part")
    with parquet.ParquetWriter(part, schema, compression="snappy") as writer:
        for first in range(0, rows, GROUP_ROWS):
            some = min(GROUP_ROWS, rows - first)
            sizes = rng.gamma(2.0, mean_bytes / 2.0, some) / lengths.mean()
            counts = np.maximum(2, np.rint(sizes)).astype(int)
            picks = rng.integers(0, len(pool), counts.sum())
            names = ["".join(w).capitalize() for w in letters[rng.integers(0, 26, (some, 7))]]
            out, at = [], 0
            for count, name in zip(counts.tolist(), names, strict=True):
                chosen = [pool[i] for i in picks[at : at + count]]
                at += count
                question = f"{name}: {chosen[0]}" if len(out) % 5 == 0 else chosen[0]
                out.append(
                    [{"role": "user", "content": question}, {"role": "assistant", "content": " ".join(chosen[1:])}]
                )
            writer.write_table(pa.table({"messages": pa.array(out, pa.list_(message))}, schema))
    part.rename(path)


# --- the two sides, each in a process of its own


def ours(folders: dict[str, str], out: Path, workers: int) -> dict:
    from mixlaw.core.domain import Domain
    from mixlaw.core.mixture import Mixture
    from mixlaw.data.chat import load_tokenizer
    from mixlaw.data.materialise import materialise
    from mixlaw.data.prepare import prepare_domains

    domains = {name: Domain(name, path) for name, path in folders.items()}
    began = time.perf_counter()
    prepared = prepare_domains(
        domains.values(),
        load_tokenizer(str(MODEL)),
        validation_rows=VALIDATION_ROWS,
        max_length=MAX_LENGTH,
        cache_dir=out / "cache",
        workers=workers,
    )
    counted = time.perf_counter()
    available = sum(d.train.tokens for d in prepared.values())
    mixture = Mixture(WEIGHTS, int(BUDGET_SHARE * available))
    manifest = materialise(domains, prepared, mixture, out / "mix", file_format="parquet", workers=workers)
    ended = time.perf_counter()
    return {
        "steps_s": {"count_and_split": counted - began, "materialise": ended - counted},
        "available_tokens": available,
        "wanted_tokens": mixture.budget_tokens,
        "written_tokens": manifest["achieved_tokens"],
        "written_rows": sum(d["rows"] for d in manifest["domains"].values()),
        "shares": {name: d["achieved_share"] for name, d in manifest["domains"].items()},
    }


def theirs(folders: dict[str, str], out: Path, workers: int) -> dict:
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(str(MODEL))

    def count(batch: dict) -> dict:
        texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in batch["messages"]]
        ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        return {"tokens": [min(len(row), MAX_LENGTH) for row in ids]}

    began, parts = time.perf_counter(), {}
    for name, folder in folders.items():
        files = sorted(map(str, Path(folder).glob("*.parquet")))
        rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(out / "cache"))
        rows = rows.map(count, batched=True, num_proc=workers)
        rows = rows.add_column("domain", [name] * len(rows))
        parts[name] = rows.train_test_split(test_size=VALIDATION_ROWS, seed=SEED)["train"]
    tokens = {name: np.asarray(rows.with_format("numpy")["tokens"][:]) for name, rows in parts.items()}
    available = sum(int(t.sum()) for t in tokens.values())
    counted = time.perf_counter()
    raw = {name: WEIGHTS[name] / tokens[name].mean() for name in parts}
    probabilities = [raw[name] / sum(raw.values()) for name in parts]
    budget = int(BUDGET_SHARE * available)
    mean = sum(p * tokens[name].mean() for p, name in zip(probabilities, parts, strict=True))
    shuffled = [rows.shuffle(seed=SEED) for rows in parts.values()]
    mixed = datasets.interleave_datasets(
        shuffled, probabilities=probabilities, seed=SEED, stopping_strategy="first_exhausted"
    )
    mixed = mixed.select(range(min(len(mixed), round(budget / mean))))
    mixed.to_parquet(str(out / "mix.parquet"))
    ended = time.perf_counter()
    table = parquet.read_table(out / "mix.parquet", columns=["tokens", "domain"]).to_pandas()
    sums = table.groupby("domain")["tokens"].sum()
    return {
        "steps_s": {"count_and_split": counted - began, "materialise": ended - counted},
        "available_tokens": available,
        "wanted_tokens": budget,
        "written_tokens": int(sums.sum()),
        "written_rows": len(table),
        "shares": {name: float(sums.get(name, 0) / sums.sum()) for name in parts},
    }


# --- measuring


def resident(root: int) -> tuple[int, int]:
    """Return the summed resident memory of a process and those below it, bytes: all, and without mapped files."""
    parents, memory = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "status").read_text()
            except OSError:
                continue
            fields = dict(re.findall(r"^(PPid|VmRSS|RssAnon):\s+(\d+)", text, re.M))
            parents[int(entry.name)] = int(fields["PPid"])
            memory[int(entry.name)] = [int(fields.get(key, 0)) << 10 for key in ("VmRSS", "RssAnon")]
    tree, more = {root}, True
    while more:
        new = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree, more = tree | new, bool(new)
    found = [memory[pid] for pid in tree if pid in memory]
    return sum(m[0] for m in found), sum(m[1] for m in found)


def cpu_s() -> float:
    """Return the processor time of all children that have ended, seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(side: str, folders: dict[str, Path], rows: int, workers: int, folder: Path) -> dict:
    """Run one side in a child process and return what it says, with its wall time and peak memory."""
    out = Path(tempfile.mkdtemp(prefix=f"{side}-", dir=folder))
    given = json.dumps({"side": side, "folders": {n: str(p) for n, p in folders.items()}, "workers": workers})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    began, peaks, cpu = time.perf_counter(), [0, 0], cpu_s()
    command = [sys.executable, __file__, "--child", given, str(out)]
    try:
        with open(out / "log", "w+") as log:
            child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
            while child.poll() is None:
                peaks = [max(a, b) for a, b in zip(peaks, resident(child.pid), strict=True)]
                time.sleep(0.1)
            if child.returncode:
                log.seek(0)
                raise SystemExit(f"{side} ended with {child.returncode}:\n{log.read()[-3000:]}")
        result = json.loads((out / "result.json").read_text())
    finally:
        shutil.rmtree(out, ignore_errors=True)
    work = sum(result["steps_s"].values())
    return {
        **result,
        "wall_s": time.perf_counter() - began,
        "cpu_s": cpu_s() - cpu,
        "rows_per_s": rows / work,
        "us_per_row": 1e6 * work / rows,
        "peak_rss_bytes": peaks[0],
        "peak_anonymous_bytes": peaks[1],
        "largest_share_error": max(abs(result["shares"][n] - WEIGHTS[n]) for n in WEIGHTS),
        "token_error": result["written_tokens"] / result["wanted_tokens"] - 1,
    }


def merged(path: Path, rows: int, side: str, result: dict, workers: int) -> dict:
    """Put one result into the file, with what follows from all that are there."""
    whole = json.loads(path.read_text()) if path.exists() else {}
    whole["machine"] = {"python": platform.python_version(), "cores": os.cpu_count(), "processor": platform.machine()}
    whole["weights"], whole["workers"] = WEIGHTS, workers
    sizes = whole.setdefault("rows", {})
    sizes.setdefault(str(rows), {})[side] = result
    both = {n: s for n, s in sizes.items() if {"ours", "theirs"} <= s.keys()}
    whole["times_faster"] = {n: s["theirs"]["us_per_row"] / s["ours"]["us_per_row"] for n, s in both.items()}
    done = sorted((int(n), s["ours"]["us_per_row"]) for n, s in sizes.items() if "ours" in s)
    whole["us_per_row_of_ours_against_the_smallest"] = {str(n): us / done[0][1] for n, us in done}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--rows", nargs="+", default=["1M", "10M"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mixlaw-bench-data")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--only", choices=("ours", "theirs"))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--clean", action="store_true")
    options = parser.parse_args()
    for rows in sorted(parse_tokens(text) for text in options.rows):
        sides = [options.only] if options.only else ["ours", "theirs"]
        known = json.loads(options.results.read_text())["rows"].get(str(rows), {}) if options.results.exists() else {}
        todo = [side for side in sides if options.again or side not in known]
        if not todo:
            print(f"{format_tokens(rows)} rows: measured already", flush=True)
            continue
        print(f"{format_tokens(rows)} rows: generating what is missing in {options.folder}", flush=True)
        folders = generate(rows, options.folder)
        for side in todo:
            print(f"{format_tokens(rows)} rows, {side}: running", flush=True)
            result = measure(side, folders, rows, options.workers, options.folder)
            merged(options.results, rows, side, result, options.workers)
            steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["steps_s"].items())
            print(
                f"{format_tokens(rows)} rows, {side}: {steps}; {result['rows_per_s']:,.0f} rows/s, "
                f"peak {result['peak_rss_bytes'] / 1e9:.2f} GB, shares off by at most "
                f"{100 * result['largest_share_error']:.4f} points, tokens by {100 * result['token_error']:+.3f} %; "
                f"{result['cpu_s']:.0f} s of CPU",
                flush=True,
            )
        if options.clean:
            shutil.rmtree(options.folder / str(rows), ignore_errors=True)


def child() -> None:
    given, out = json.loads(sys.argv[2]), Path(sys.argv[3])
    side = {"ours": ours, "theirs": theirs}[given["side"]]
    (out / "result.json").write_text(json.dumps(side(given["folders"], out, given["workers"])))


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--child"] else main()
