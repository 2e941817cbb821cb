"""What a study's files say is checked: bits that have flipped, and numbers that cannot be."""

import json
import random

import pytest

from mixlaw.core.documents import KINDS, SEAL, read_document, write_document
from mixlaw.core.errors import DataError, NewerFormat
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.solve import Solution

SPEC = RunSpec("base-0", {"code": 600, "math": 400}, 0, {"model": "0" * 64})
RECORD = RunRecord(SPEC, SPEC.tokens, SPEC.tokens, SPEC.tokens, {"code": TargetLoss(12.5, 10)}, 3, 1000).to_json()
INTERVAL, REGRET = {"mean": 1.0, "low": 0.9, "high": 1.1}, {"mean": 0.1, "p95": 0.2}
SOLUTION = {
    **{"status": "optimal", "budget_tokens": 1000, "weights": {"a": 0.25, "b": 0.75}, "tokens": {"a": 250, "b": 750}},
    **{"epochs": {}, "predicted": {"a": INTERVAL}, "expected_regret": REGRET, "total_loss": 1.0, "warnings": []},
    "baselines": {"equal": {"weights": {"a": 1.0}, "predicted": {"a": INTERVAL}, "total_loss": 1.0, "regret": REGRET}},
    **{"marginal": {"a": 0.1, "b": 0.1}, "extrapolation_factor": 1.0},
    "certificate": {"kkt_residual": 0.0, "gap": 0.0, "multiplier": 0.1, "kind": "global"},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


def changed(value, keys, part):
    """Return a copy with the JSON text `part` at a path of keys."""
    value = json.loads(json.dumps(value))
    *way, last = keys.split(".")
    inside = value
    for key in way:
        inside = inside[key]
    inside[last] = "@@"
    return json.dumps(value).replace('"@@"', part)


def test_no_flipped_bit_gives_another_record(path):
    write_document(path, "record", RECORD)
    sound, rng, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(2000):
        place = rng.randrange(8 * len(sound))
        damaged = bytearray(sound)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:  # what is read is what was written: a space, a digit that says the same
            read = RunRecord.from_json(read_document(path, "record")).to_json()
            assert read == RECORD
        except (DataError, NewerFormat):
            refused += 1
    assert refused > 1700


@pytest.mark.parametrize("bit", range(8 * len(SEAL)))
def test_a_flipped_bit_in_the_checksums_name_is_found(path, bit):
    write_document(path, "record", RECORD)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.rindex(SEAL.encode()) + bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    with pytest.raises(DataError):
        read_document(path, "record")


def test_an_edit_by_hand_is_found_and_named(path):
    write_document(path, "record", RECORD)
    path.write_text(path.read_text().replace("12.5", "13.5"))
    with pytest.raises(DataError, match=r"file.json has changed since it was written.*checksum") as caught:
        read_document(path, "record")
    assert caught.value.hint == KINDS["record"].remedy


def test_a_file_of_an_earlier_version_has_no_checksum_and_is_read(path):
    path.write_text(json.dumps(RECORD))
    assert read_document(path, "record", RunRecord.from_json).to_json() == RECORD


def test_files_that_other_programs_write_or_read_have_no_checksum(path):
    for kind in ("result", "command_spec", "trl_spec"):
        write_document(path, kind, {"losses": {}, "run": "a", "model": {}, "train": {}})
        assert SEAL not in json.loads(path.read_text())


NUMBERS = ("NaN", "Infinity", "1e999", "-1e999", "9" * 400, "9" * 5000, "-3", "1.5", "true", '"x"', "null", "[]")


@pytest.mark.parametrize("part", NUMBERS)
@pytest.mark.parametrize("key", ["losses.code.count", "tokens.math", "spec.tokens.math", "steps", "parameters"])
def test_a_count_that_cannot_be_is_one_sentence(path, key, part):
    path.write_text(changed(RECORD, key, part))
    with pytest.raises(DataError) as caught:
        read_document(path, "record", RunRecord.from_json)
    assert str(path) in caught.value.message and len(caught.value.message) < 250 + len(str(path))


@pytest.mark.parametrize(
    ("key", "part", "problem"),
    [
        ("losses.code.count", "0", "a whole number from 1"),
        ("losses.code.nats", "-5", "'losses.code.nats' is -5"),
        ("losses.code.nats", "1e9", "a token has at most 10000"),
        ("losses", '{"code": "x"}', "must be an object"),
        ("tokens.math", "40000000", "but 400 were planned"),
        ("unique_tokens.math", "401", "trained on 400 tokens"),
        ("supervised_tokens.math", "401", "trained on 400 tokens"),
    ],
)
def test_a_number_that_contradicts_the_others_is_named(path, key, part, problem):
    path.write_text(changed(RECORD, key, part))
    with pytest.raises(DataError, match=problem):
        read_document(path, "record", RunRecord.from_json)


@pytest.mark.parametrize("text", ['"x"', "null", "[]", "0", "", "{", "[" * 20_000, '{"format": 1e999}', '"\\ud800"'])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_any_kind_that_is_something_else_is_one_sentence(path, kind, text):
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_document(path, kind)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("key", "part"),
    [
        *(
            (key, part)
            for key in ("budget_tokens", "tokens.a", "total_loss")
            for part in ("NaN", "9" * 400, '"x"', "null")
        ),
        *(("weights.a", part) for part in ("-0.25", "1.25", "0.5")),
        *[("predicted.a", "{}"), ("baselines.equal", "{}"), ("baselines.equal.predicted", "{}"), ("certificate", "{}")],
        *[("marginal", '{"a": 1}'), ("expected_regret", "{}"), ("warnings", '"x"')],
    ],
)
def test_a_solution_that_cannot_be_is_one_sentence(path, key, part):
    path.write_text(json.dumps({"format": 3, **SOLUTION}))
    assert read_document(path, "solution", Solution.from_json).budget_tokens == 1000
    path.write_text(changed({"format": 3, **SOLUTION}, key, part))
    with pytest.raises(DataError, match=r"file\.json"):
        read_document(path, "solution", Solution.from_json)


def test_a_value_with_a_key_of_the_checksums_name_is_not_lost_but_refused(tmp_path):
    with pytest.raises(ValueError, match="a key 'sha256' of its own"):
        write_document(tmp_path / "step.json", "mixture_step", {"rows": 1, "sha256": "of a file"})
    assert not (tmp_path / "step.json").exists()
