"""What the inputs of `bench.faults.fuzz` are made from, and what reads them.

Three ways to make an input: a sound file with wounds; JSON or bytes of any kind; and, for the files of a study, a sound
file in which a few values are others, under a checksum that is right. The last ones get past the checksum, to all that
uses the values: they are put into a finished study, on which the verbs are then run.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.faults.studies import finished
from hypothesis import strategies as st

from mixlaw.core.documents import KINDS, SEAL, read_document, sealed
from mixlaw.core.domain import Domain
from mixlaw.core.errors import MixlawError

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


VALUES = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 5e-324, 1e-9, 1e17, 1e18, 2**63, 1e300, "", "x", "a" * 300, "../../x"),
    *("/", "0", "é\u2028", [], {}, [[]], {"": 0}, {"x": None}, [0], ["x"]),
)
"""What a value of a study's file becomes."""


@st.composite
def changed(draw: Any, sound: bytes, kind: str) -> bytes:
    """A sound file of a study with one to three values changed, left out or swapped, and its checksum made anew."""
    value = {key: part for key, part in json.loads(sound).items() if key != SEAL}
    for _ in range(draw(st.integers(1, 3))):
        holder, key = value, None
        while isinstance(holder, (dict, list)) and holder:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            within, key = holder, draw(st.sampled_from(keys))
            holder = within[key]
            if draw(st.integers(0, 5)) == 0:
                break
        if key is None:
            break
        what = draw(st.sampled_from(("put", "put", "drop", "scale", "rename")))
        if what == "drop":
            del within[key]
        elif what == "scale" and isinstance(holder, (int, float)):
            within[key] = holder * draw(st.sampled_from((-1, 0, 1e-6, 2, 1e6)))
        elif what == "rename" and isinstance(within, dict):
            within[draw(st.sampled_from(("x", *within)))] = within.pop(key)
        else:
            within[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    number = value.pop("format", None)
    content = sealed(kind, value)
    return json.dumps(content if number == KINDS[kind].format else content | {"format": number}).encode()


class Target:
    """Files of one kind, and what reads them.

    Args:
        sound: bytes of a sound one.
        read: is given the bytes.
        all: is given the bytes where one input is to go through all that reads it; None for `read`.
        inputs: how they are made; None for wounds and anything.
    """

    def __init__(
        self,
        sound: bytes,
        read: Callable[[bytes], Any],
        inputs: st.SearchStrategy[bytes] | None = None,
        all: Callable[[bytes], Any] | None = None,
    ) -> None:
        self.all = read if all is None else all
        self.read, self.inputs = read, anything(sound) if inputs is None else inputs


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
    shutil.copytree(config.parent / "study", place / "sound")
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
        "values card": _used("card", next(study.glob("mixtures/*/README.md")), config, place / "sound"),
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
            if known.sealed and kind in USED:
                found[f"values {kind}"] = _used(kind, path, config, place / "sound")
    return found


USED = {
    *("config", "domains", "plan", "origin", "trainer", "prices", "fit", "fit_inputs", "solution", "report"),
    *("spec", "timing", "record", "rows", "texts", "prepared", "mixture"),
}
"""Kinds of file of a study that are changed under the verbs."""


def _used(kind: str, path: Path, config: Path, sound: Path) -> Target:
    """Return the target that puts a file into a study and runs one of the verbs that read it."""
    import mixlaw

    study = config.parent / "study"
    verbs: tuple[Callable[[], Any], ...] = (
        lambda: mixlaw.status(study),
        lambda: mixlaw.verify(study, retrain=0),
        lambda: mixlaw.solve(study / "fit.json", 2000),
        lambda: mixlaw.predict(study / "fit.json", {"chat": 1000, "math": 1000}),
        lambda: mixlaw.report(config),
        lambda: mixlaw.mix(config),
        lambda: mixlaw.run(config, workers=1),
    )

    def read(given: bytes) -> None:
        under(given, verbs[sum(given) % len(verbs)])

    def every(given: bytes) -> None:
        for verb in verbs:
            with contextlib.suppress(MixlawError):
                under(given, verb)

    def under(given: bytes, verb: Callable[[], Any]) -> None:
        try:
            path.write_bytes(given)
            verb()
        finally:
            shutil.rmtree(study)
            shutil.copytree(sound, study)

    return Target(b"", read, changed(path.read_bytes(), kind) if kind in KINDS else mutated(path.read_bytes()), every)


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
