import os
import time

import pytest

from mixlaw.evaluate.downstream import TASKS_FOLDER
from mixlaw.evaluate.sandbox import humaneval, mbpp, passes, program_of


def test_a_program_passes_that_ends_without_an_error():
    assert passes("assert 1 + 1 == 2")
    assert not passes("assert 1 + 1 == 3")
    assert not passes("def broken(:")


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "x = bytearray(3 << 30)",
        "open('big', 'wb').write(b'0' * (5 << 20))",
    ],
    ids=["time", "memory", "disk"],
)
def test_time_memory_and_disk_are_limited(code):
    began = time.monotonic()
    assert not passes(code, seconds=5)
    assert time.monotonic() - began < 60


def test_it_sees_neither_the_environment_nor_the_folder_it_was_started_in(monkeypatch):
    monkeypatch.setenv("SECRET", "42")
    assert passes("import os; assert 'SECRET' not in os.environ")
    assert passes(f"import os; assert os.getcwd() != {os.getcwd()!r} and os.listdir() == ['program.py']")


def test_code_is_taken_out_of_an_answer():
    assert program_of("Sure:\n```python\nx = 1\n```\nDone.") == "x = 1\n"
    assert program_of("x = 1") == "x = 1"


def rows(name):
    import gzip
    import json

    with gzip.open(TASKS_FOLDER / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_reference_solutions_pass_and_empty_ones_do_not():
    for doc in rows("humaneval")[:3]:
        assert humaneval(doc, [doc["canonical_solution"]]) == {"pass_at_1": 1.0}
        assert humaneval(doc, ["    pass\n"]) == {"pass_at_1": 0.0}
    for doc in rows("mbpp")[:3]:
        assert mbpp(doc, [f"```python\n{doc['code']}\n```"]) == {"pass_at_1": 1.0}
        assert mbpp(doc, [""]) == {"pass_at_1": 0.0}
