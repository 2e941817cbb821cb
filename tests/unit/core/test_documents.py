"""The one reader of mixlaw's JSON files: each kind of damage is one sentence with the path, the rule and the remedy."""

import json
from pathlib import Path

import pytest

from mixlaw.core.documents import KINDS, document, read_document, write_document
from mixlaw.core.errors import DataError, NewerFormat
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss

SPEC = RunSpec("base-0", {"code": 600, "math": 400}, 0, {"model": "0" * 64})
RECORD = RunRecord(SPEC, SPEC.tokens, SPEC.tokens, SPEC.tokens, {"code": TargetLoss(12.5, 10)}, 3, 1000).to_json()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "record.json"


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def changed(keys, value):
    """Return the record with another value at a path of keys; `...` drops the key."""
    record = json.loads(json.dumps({"format": 1, **RECORD}))
    *way, last = keys.split(".")
    inside = record
    for key in way:
        inside = inside[key]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return record


def test_what_is_written_has_its_number_first_and_is_read_back_without_it(path):
    write_document(path, "record", RECORD)
    assert next(iter(json.loads(path.read_text()))) == "format"
    assert read_document(path, "record") == RECORD
    assert read_document(path, "record", RunRecord.from_json).to_json() == RECORD


def test_a_file_without_a_number_is_of_format_1(path):
    write(path, RECORD)
    assert read_document(path, "record") == RECORD


def test_the_number_wins_over_a_key_of_that_name():
    assert document("timing", {"format": "mine", "wall_s": 1.0}) == {"format": 1, "wall_s": 1.0}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (json.dumps(RECORD)[:40], "not valid JSON"),
        ("", "not valid JSON"),
        ([1], "the file is [1]; it must be an object"),
        (changed("format", "1"), "'format' is \"1\"; it must be a whole number of at least 1"),
        (changed("format", True), "'format' is true; it must be a whole number of at least 1"),
        (changed("format", 0), "'format' is 0; it must be a whole number of at least 1"),
        (changed("losses", ...), "'losses' is missing"),
        (changed("spec.seed", ...), "'spec.seed' is missing"),
        (changed("spec.seed", 1.5), "'spec.seed' is 1.5; it must be a whole number"),
        (changed("steps", True), "'steps' is true; it must be a number"),
        (changed("tokens.math", "many"), "'tokens.math' is \"many\"; it must be a number"),
        (changed("tokens", [1, 2]), "'tokens' is [1, 2]; it must be an object"),
        (changed("losses.code.count", None), "'losses.code.count' is null; it must be a number"),
        (changed("spec.tokens.math", 500), "changed by hand"),
        (changed("losses.code.extra", 1), "is damaged: "),
    ],
)
def test_damage_is_one_sentence_with_the_path_the_key_and_a_remedy(path, value, problem):
    write(path, value)
    with pytest.raises(DataError) as caught:
        read_document(path, "record", RunRecord.from_json)
    assert str(path) in caught.value.message and problem in caught.value.message
    assert caught.value.message.endswith(".") and caught.value.hint.endswith(".")


def test_a_missing_file_has_the_remedy_of_its_kind(path):
    with pytest.raises(DataError, match="No such file") as caught:
        read_document(path, "record")
    assert caught.value.hint == KINDS["record"].remedy


def test_a_problem_in_a_list_names_its_place(path):
    write(path, {"runs": [SPEC.to_json(), SPEC.to_json() | {"name": 3}]})
    with pytest.raises(DataError, match=r"'runs\[1\]\.name' is 3; it must be a text"):
        read_document(path, "plan")


def test_a_long_value_is_cut_in_the_message(path):
    write(path, {"runs": "x" * 5000})
    with pytest.raises(DataError) as caught:
        read_document(path, "plan")
    assert len(caught.value.message) < 200 + len(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_file_is_never_taken_for_a_damaged_one(path, kind):
    write(path, {"format": KINDS[kind].format + 1})
    with pytest.raises(NewerFormat, match="written by a newer mixlaw") as caught:
        read_document(path, kind)
    assert not isinstance(caught.value, DataError) and "Upgrade mixlaw" in caught.value.hint


def test_a_format_that_is_no_longer_read_says_how_to_make_the_file_again(path):
    write(path, {"format": KINDS["fit"].oldest - 1, "law": "transfer"})
    with pytest.raises(DataError, match="written by an older mixlaw") as caught:
        read_document(path, "fit")
    assert caught.value.hint == "Write it again with `mixlaw fit`."


COUNTS = {"train": {"rows": 1}, "validation": {"rows": 1}}
OLDER = {
    "domains": ({"code": COUNTS, "format": COUNTS}, {"domains": {"code": COUNTS, "format": COUNTS}}),
    "reported": ({"mlflow": {"id": "base-0"}}, {"trackers": {"mlflow": {"id": "base-0"}}}),
    "evaluation": ({"boolq": {"id": "a", "value": 0.5}}, {"tasks": {"boolq": {"id": "a", "value": 0.5}}}),
}


@pytest.mark.parametrize("kind", OLDER)
def test_what_version_0_1_wrote_is_read_as_what_is_written_now(path, kind):
    older, newer = OLDER[kind]
    write(path, older)
    assert read_document(path, kind) == newer
    write_document(path, kind, newer)
    without = {key: value for key, value in newer.items() if key != "format"}
    assert read_document(path, kind) == without
    write(path, without | {"format": "2"})  # the number itself, damaged
    with pytest.raises(DataError, match="'format' is \"2\""):
        read_document(path, kind)


def test_the_documentation_names_every_kind_of_file_with_its_format():
    page = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")
    rows = [tuple(cell.strip(" `") for cell in line.split("|")[1:3]) for line in page.splitlines() if line[:3] == "| `"]
    assert rows == [(kind.files, str(kind.format)) for kind in KINDS.values()]
