"""The bytes of a mixture's files: the same for any number of processes, and across a kill at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixlaw.core.domain import Domain
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.mixture import Mixture
from mixlaw.data import materialise as materialise_module
from mixlaw.data import mixture_files, mixture_plan
from mixlaw.data.materialise import materialise
from mixlaw.data.mixture_files import write_files
from mixlaw.data.prepare import conversations

ROWS = {"code": 300, "law": 40, "math": 150}
WEIGHTS = {"code": 0.5, "law": 0.2, "math": 0.3}


@pytest.fixture
def domains(write_lines, chats):
    return {n: Domain(n, str(write_lines(f"data/{n}.jsonl.gz", chats(count, f"{n} ")))) for n, count in ROWS.items()}


@pytest.fixture
def prepared(domains, prepare):
    return {name: prepare(domain) for name, domain in domains.items()}


def contents(folder: Path):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(("file_format", "counts"), [("jsonl", (1, 2, 8)), ("parquet", (1, 2))])
def test_the_bytes_do_not_depend_on_the_number_of_processes(domains, prepared, tmp_path, file_format, counts):
    mixture = Mixture(WEIGHTS, 60_000)
    kept = []
    for workers in counts:
        out = tmp_path / f"mix-{workers}"
        materialise(domains, prepared, mixture, out, file_format=file_format, shards=8, workers=workers)
        kept.append(contents(out))
    assert all(other == kept[0] for other in kept)
    assert len(kept[0]) == 9 and f"train-00004-of-00008.{file_format}" in kept[0]


def test_by_default_small_sources_need_one_process_and_large_ones_have_one_a_core(
    domains, prepared, tmp_path, monkeypatch
):
    mixture, asked = Mixture(WEIGHTS, 30_000), []

    def write(plan, origins, suffix, folder, workers, carried):
        asked.append(workers)
        return write_files(plan, origins, suffix, folder, workers, carried)

    monkeypatch.setattr("mixlaw.data.materialise.write_files", write)
    monkeypatch.setattr("mixlaw.data.reading.usable_cores", lambda: 2)
    materialise(domains, prepared, mixture, tmp_path / "small")
    monkeypatch.setattr("mixlaw.data.reading.LARGE_BYTES", 1)
    materialise(domains, prepared, mixture, tmp_path / "large")
    assert asked == [1, 2] and contents(tmp_path / "small") == contents(tmp_path / "large")


def test_the_rows_and_their_order_do_not_depend_on_the_number_of_files_or_on_the_buckets(
    domains, prepared, tmp_path, monkeypatch
):
    mixture = Mixture(WEIGHTS, 30_000)
    materialise(domains, prepared, mixture, tmp_path / "one")
    monkeypatch.setattr(mixture_plan.plan_mixture, "__defaults__", (None, 500))  # buckets of 500 tokens
    materialise(domains, prepared, mixture, tmp_path / "many", shards=4)
    files = sorted((tmp_path / "many").glob("train-*"))
    assert b"".join(f.read_bytes() for f in files) == (tmp_path / "one" / "train.jsonl").read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_real_files_hold_the_tokens_that_were_asked_for(domains, prepared, tmp_path_factory, data):
    """The property of the plan, on files: counted from the written rows, not from the plan."""
    raw = data.draw(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
    weights = {name: w / sum(raw) for name, w in zip(ROWS, raw, strict=True)}
    budget = data.draw(st.integers(200, 60_000))
    mixture = Mixture(weights, budget)
    out = tmp_path_factory.mktemp("mix") / "mix"
    manifest = materialise(domains, prepared, mixture, out, shards=data.draw(st.integers(1, 4)))
    rows = [json.loads(line) for path in sorted(out.glob("train*")) for line in path.read_text().splitlines()]
    for name, wanted in mixture.tokens.items():
        train, source = prepared[name].train, {}
        lines = list(conversations(domains[name]))
        for r, number in enumerate(train.source_rows):
            source[json.dumps(lines[number][1].messages)] = int(train.row_tokens[r])
        achieved = sum(source[json.dumps(row["messages"])] for row in rows if row["domain"] == name)
        assert achieved == manifest["domains"][name]["achieved_tokens"]
        assert abs(achieved - wanted) <= train.row_tokens.max()
        assert manifest["domains"][name]["epochs"] == achieved / train.tokens


@pytest.mark.parametrize("broken", ["scatter", "assemble"])
def test_after_a_failure_finished_steps_are_kept_and_the_bytes_are_the_same(
    domains, prepared, tmp_path, monkeypatch, broken
):
    mixture = Mixture(WEIGHTS, 20_000)
    materialise(domains, prepared, mixture, tmp_path / "whole", shards=4)
    real, calls = getattr(mixture_files, broken), []

    def fails_in_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("disk full")
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(mixture_files, broken, fails_in_the_third)
        with pytest.raises(OSError, match="disk full"):
            materialise(domains, prepared, mixture, tmp_path / "mix", shards=4)
    (partial,) = tmp_path.glob(".mix.*.partial")
    marks = {p: p.stat().st_mtime_ns for p in partial.glob("*ed-*.json")}
    assert len(marks) == {"scatter": 2, "assemble": 3 + 2}[broken] and not (tmp_path / "mix").exists()
    names = []
    with monkeypatch.context() as patch:
        patch.setattr(mixture_files, "file_fingerprint", lambda path: names.append(path) or "0" * 64)
        patch.setattr(materialise_module.shutil, "rmtree", lambda *a, **k: None)
        materialise(domains, prepared, mixture, tmp_path / "mix", shards=4)
    assert {p: p.stat().st_mtime_ns for p in marks} == marks
    assert len(names) == {"scatter": 4, "assemble": 2}[broken]  # finished files were not written again
    got, whole = contents(tmp_path / "mix"), contents(tmp_path / "whole")
    assert {n: b for n, b in got.items() if n != "manifest.json"} == {
        n: b for n, b in whole.items() if n != "manifest.json"
    }


CHILD = """
import json, pickle, sys, time
from pathlib import Path
from mixlaw.data import mixture_files
from mixlaw.data.materialise import materialise

if __name__ == "__main__":
    given = pickle.loads(Path(sys.argv[1]).read_bytes())
    real = mixture_files._write_jsonl
    def slowly(file, lines):
        def drip():
            for line in lines:
                time.sleep(0.002)
                yield line
        real(file, drip())
    if sys.argv[3] == "slow":
        mixture_files._write_jsonl = slowly
    materialise(*given, sys.argv[2], shards=6, workers=int(sys.argv[4]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
def test_a_mixture_killed_in_the_middle_goes_on_and_ends_with_the_same_bytes(domains, prepared, tmp_path):
    import pickle

    mixture = Mixture(WEIGHTS, 60_000)
    materialise(domains, prepared, mixture, tmp_path / "whole", shards=6)
    (tmp_path / "given").write_bytes(pickle.dumps((domains, prepared, mixture)))
    (tmp_path / "child.py").write_text(CHILD)
    command = [sys.executable, str(tmp_path / "child.py"), str(tmp_path / "given"), str(tmp_path / "mix")]
    child = subprocess.Popen([*command, "slow", "1"])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob(".mix.*.partial/assembled-*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "mix").exists(), "nothing half-written looks finished"
    (partial,) = tmp_path.glob(".mix.*.partial")
    finished = {p.name: p.stat().st_ino for p in (partial / "files").iterdir() if p.name.startswith("train")}
    assert 2 <= len(finished) < 6
    subprocess.run([*command, "fast", "2"], check=True)
    assert contents(tmp_path / "mix") == contents(tmp_path / "whole")
    assert {p.name: p.stat().st_ino for p in (tmp_path / "mix").iterdir()}.items() >= finished.items()
    assert not list(tmp_path.glob(".mix.*"))


def test_two_processes_never_write_one_mixture(domains, prepared, tmp_path, monkeypatch):
    mixture = Mixture(WEIGHTS, 5_000)
    real = materialise_module.write_files

    def meanwhile(*arguments):
        with pytest.raises(StudyError, match="Another process is writing"):
            materialise(domains, prepared, mixture, tmp_path / "mix")
        return real(*arguments)

    monkeypatch.setattr(materialise_module, "write_files", meanwhile)
    materialise(domains, prepared, mixture, tmp_path / "mix")
    assert (tmp_path / "mix" / "manifest.json").exists()


def test_less_than_one_file_or_process_is_an_error(domains, prepared, tmp_path):
    for wrong in ({"shards": 0}, {"workers": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            materialise(domains, prepared, Mixture(WEIGHTS, 5_000), tmp_path / "mix", **wrong)


def test_parquet_holds_any_text_as_it_is(tmp_path):
    import pyarrow.parquet as parquet

    from mixlaw.data.parquet import write_parquet

    texts = ["", "a\x00\x1f\x7f", "😀 é \u2028\ufeff\uffff", '"\\/\n', "12", "null", "2020-01-01", "x" * 3_000_000]
    turns = [[{"role": "user", "content": text}, {"role": "assistant", "content": text}] for text in texts]
    rows = [{"messages": some, "domain": "d é"} for some in [*turns, *turns[:-1] * 700]]
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    write_parquet(tmp_path / "a.parquet", iter(lines), frozenset())
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == rows
    assert len(rows) > 2 * 2048
