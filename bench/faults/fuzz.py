"""Feeds mixlaw input that is made to be wrong, and looks whether each ends with a result or one clear error.

    python -m bench.faults.fuzz [--inputs 20000] [--out bench/faults/fuzz.json]

Hypothesis makes the inputs: sound files of each kind whose bytes are flipped, cut, doubled or put in from a list of
nasty pieces, and files of random JSON, YAML and text. Each is read by the verb or function that reads such a file. An
input fails where anything but a `MixlawError` or an `OSError` is raised, where it takes over 20 s, or where the process
then holds over 2 GB. Findings are kept with their bytes, for a test.

Inputs come in blocks of 100, each with a seed of its own; results are written after each block, and a second start goes
on.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.faults.studies import finished
from bench.record import stamp
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mixlaw.core.documents import KINDS, read_document
from mixlaw.core.domain import Domain
from mixlaw.core.errors import MixlawError
from mixlaw.core.files import write_json

BLOCK = 100
LONGEST_S, MOST_BYTES = 20.0, 2 << 30
PIECES = (
    *(
        b"null",
        b"NaN",
        b"1e999",
        b"-1",
        b"9" * 400,
        b'""',
        b"[]",
        b"{}",
        b"true",
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",
    ),
    *(b"\\ud800", b'"', b"'", b"{", b"[" * 5000, b"\n", b"\r", b",", b":", b"&a", b"*a", b"!!python/none", b"<<: *a"),
    *(b"2024-13-45", b"{% for i in range(9) %}", b"{{ messages }}", b"=1+1", "\u2028".encode(), "é".encode() * 50),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: Any, sound: bytes) -> bytes:
    """Bytes of a sound file with one to four wounds."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), at + draw(st.integers(1, 40)))
        what = draw(st.sampled_from(("flip", "cut", "drop", "double", "put", "replace")))
        if what == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del data[at:]
        elif what == "drop":
            del data[at:end]
        elif what == "double":
            data[at:at] = data[at:end]
        else:
            data[at : end if what == "replace" else at] = draw(st.sampled_from(PIECES))
    return bytes(data)


def anything(sound: bytes) -> st.SearchStrategy[bytes]:
    """Mutated sound bytes most of the time, JSON or text of any kind otherwise."""
    random_json = JSON.map(lambda value: json.dumps(value).encode())
    return st.one_of(mutated(sound), mutated(sound), mutated(sound), random_json, st.binary(max_size=200))


class Target:
    """Files of one kind, and what reads them.

    Args:
        sound: bytes of a sound one.
        read: is given the bytes.
    """

    def __init__(self, sound: bytes, read: Callable[[bytes], Any]) -> None:
        self.sound, self.read = sound, read


def targets(place: Path) -> dict[str, Target]:
    """Return the kinds of input by name."""
    import mixlaw
    from mixlaw.config import load_config
    from mixlaw.core.runtable import RunTable
    from mixlaw.data.chat import ChatTokenizer, load_tokenizer
    from mixlaw.data.prepare import prepare_domain
    from mixlaw.study.store import Study
    from unit.data.conftest import byte_level_tokenizer

    config = finished(place / "study")
    study, work = config.parent / "study", place / "work"
    work.mkdir()
    chat = ChatTokenizer(byte_level_tokenizer(), "byte-level")
    rows = [json.loads(line) for line in (config.parent / "chat.jsonl").read_text().splitlines()[:12]]

    def data(name: str) -> Callable[[bytes], Any]:
        def read(given: bytes) -> Any:
            cache = work / "cache"
            shutil.rmtree(cache, ignore_errors=True)
            path = work / name
            path.write_bytes(given)
            domain = Domain("d", str(path))
            return prepare_domain(domain, chat, validation_rows=2, max_length=256, cache_dir=cache, workers=1)

        return read

    def file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        def of(given: bytes) -> Any:
            (work / name).write_bytes(given)
            return read(work / name)

        return of

    def template(given: bytes) -> Any:
        tokenizer = byte_level_tokenizer(given.decode(errors="replace"))
        other = ChatTokenizer(tokenizer, "fuzzed")
        path = work / "rows.jsonl"
        path.write_bytes(lines)
        cache = work / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        return prepare_domain(
            Domain("d", str(path)), other, validation_rows=2, max_length=256, cache_dir=cache, workers=1
        )

    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = "instruction,output\n" + "".join(f"q{i},a{i}\n" for i in range(12))
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({"messages": [row["messages"] for row in rows]}), work / "sound.parquet")
    runs = "run,tokens:a,tokens:b,loss:a\n" + "".join(f"r{i},{i + 1}0,{9 - i}0,2.{i}\n" for i in range(8))
    from unit.data.conftest import UNMARKED_TEMPLATE

    found = {
        "jsonl": Target(lines, data("a.jsonl")),
        "json": Target(json.dumps(rows).encode(), data("a.json")),
        "csv": Target(table.encode(), data("a.csv")),
        "parquet": Target((work / "sound.parquet").read_bytes(), data("a.parquet")),
        "yaml": Target(config.read_bytes(), file("mix.yaml", load_config)),
        "run table": Target(runs.encode(), file("runs.csv", RunTable.from_csv)),
        "template": Target(UNMARKED_TEMPLATE.encode(), template),
        "status": Target((study / "plan.json").read_bytes(), _kept(study / "plan.json", Study(study).status)),
    }
    base = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
    shutil.copytree(base, work / "base")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        target = work / "base" / name
        found[name] = Target(target.read_bytes(), _kept(target, lambda: load_tokenizer(str(work / "base"))))
    for kind, known in KINDS.items():
        for path in sorted(study.glob(known.files))[:1]:
            found[f"file {kind}"] = Target(path.read_bytes(), file("one.json", _reader(kind)))
    return found


def _reader(kind: str) -> Callable[[Path], Any]:
    from mixlaw.api.verify_files import _MAKE
    from mixlaw.fit import Fit

    if kind == "fit":
        return Fit.load
    return lambda path: read_document(path, kind, _MAKE.get(kind, dict))


def _kept(path: Path, read: Callable[[], Any]) -> Callable[[bytes], Any]:
    sound = path.read_bytes()

    def of(given: bytes) -> Any:
        path.write_bytes(given)
        try:
            return read()
        finally:
            path.write_bytes(sound)

    return of


def block(target: Target, name: str, number: int) -> tuple[int, list[dict[str, Any]], float]:
    """Feed a block of inputs; return how many were refused, what failed, and the longest time, s."""
    refused, failures, longest = 0, [], 0.0

    @seed(number)
    @settings(
        max_examples=BLOCK,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(anything(target.sound))
    def feed(data: bytes) -> None:
        nonlocal refused, longest
        began, problem = time.monotonic(), ""
        try:
            target.read(data)
        except (MixlawError, OSError):
            refused += 1
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:300]
        took = time.monotonic() - began
        longest = max(longest, took)
        if took > LONGEST_S:
            problem = f"took {took:.0f} s"
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MOST_BYTES:
            problem = problem or "more than 2 GB"
        if problem:
            failures.append({"kind": name, "problem": problem, "input": base64.b64encode(data).decode()})

    feed()
    return refused, failures, longest


def main() -> None:
    """Feed inputs until there were enough, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("fuzz.json"))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    counts: dict[str, dict[str, Any]] = {}
    failures: list[dict[str, Any]] = []
    if options.out.exists():
        before = json.loads(options.out.read_text())
        counts, failures = before["counts"], before["failures"]
    with tempfile.TemporaryDirectory(prefix="mixlaw-fuzz-") as place:
        kinds = targets(Path(place))
        while (number := sum(c["inputs"] for c in counts.values()) // BLOCK) * BLOCK < options.inputs:
            name = list(kinds)[number % len(kinds)]
            refused, failed, longest = block(kinds[name], name, number)
            mine = counts.setdefault(name, {"inputs": 0, "refused": 0, "failed": 0, "longest_s": 0.0})
            mine["inputs"] += BLOCK
            mine["refused"] += refused
            mine["failed"] += len(failed)
            mine["longest_s"] = round(max(mine["longest_s"], longest), 2)
            failures += failed
            head = stamp("reporting", "the number of each block of a hundred", {})
            total = {"inputs": sum(c["inputs"] for c in counts.values()), "failed": len(failures)}
            write_json(options.out, head | {"total": total, "counts": counts, "failures": failures})


if __name__ == "__main__":
    main()
