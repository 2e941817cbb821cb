"""A study belongs to one configuration file; another beside it is refused where their runs do not go together."""

import json
import shutil

import pytest

import mixlaw as package
from mixlaw.api.project import Project
from mixlaw.core.errors import StudyError
from mixlaw.study.origin import differences, origin_of
from unit.cli.test_study_files import write_inputs


@pytest.fixture
def planned(tmp_path):
    config = write_inputs(tmp_path)
    package.plan(config)
    return config


def other(config, old, new, name="other.yaml"):
    path = config.with_name(name)
    path.write_text(config.read_text().replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("max_length: 64", "max_length: 128", "train.max_length"),
        ("rows: 10", "rows: 12", "validation.rows"),
        ("chat: {path: chat.jsonl}", "chat: {path: math.jsonl}", "domains.chat"),
        ("chat: {path: chat.jsonl}", "talk: {path: chat.jsonl}", "the names of the domains"),
    ],
)
def test_another_file_with_other_runs_is_refused_with_what_differs_and_two_remedies(planned, old, new, key):
    second = other(planned, old, new)
    before = (planned.parent / "study" / "plan.json").read_bytes()
    with pytest.raises(StudyError, match=key) as caught:
        package.plan(second)
    assert str(planned) in caught.value.message
    assert "study: studies/other" in caught.value.hint and "mix.yaml" in caught.value.hint
    assert (planned.parent / "study" / "plan.json").read_bytes() == before
    assert Project.open(planned).study.load_plan()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("budget_tokens: 2k", "budget_tokens: 3k"),
        ("plan: {base_tokens: 300}", "plan: {base_tokens: 300, runs: 10}"),
        ("math: {path: math.jsonl}}", "math: {path: math.jsonl}, more: {path: chat.jsonl}}"),
        (", math: {path: math.jsonl}}", "}"),
    ],
)
def test_another_file_with_another_question_is_welcome(planned, old, new):
    Project.open(other(planned, old, new))


def test_the_file_itself_may_change_move_with_its_study_and_be_renamed(planned, tmp_path):
    planned.write_text(planned.read_text().replace("max_length: 64", "max_length: 128"))
    Project.open(planned)
    planned.rename(planned.with_name("renamed.yaml"))
    Project.open(planned.with_name("renamed.yaml"))
    Project.open(other(planned.with_name("renamed.yaml"), "rows: 10", "rows: 12", "mix2.yaml"))


def test_a_study_of_an_earlier_version_knows_no_file_and_is_used(planned):
    (planned.parent / "study" / "origin.json").unlink()
    Project.open(other(planned, "rows: 10", "rows: 12"))


def test_a_setting_that_only_one_has_is_a_difference():
    assert differences({"train": {"a": 1}}, {"train": {"a": 1, "b": 2}}) == ["train.b"]
    assert differences({"domains": {"a": 1}}, {"domains": {"a": 1, "b": 2}}) == []


def test_a_study_knows_its_file_wherever_both_are(planned, tmp_path):
    assert origin_of(planned.parent / "study") == planned
    assert origin_of(tmp_path) is None
    moved = tmp_path / "moved"
    moved.mkdir()
    planned.rename(moved / planned.name)
    assert origin_of(tmp_path / "study") is None
    (tmp_path / "study").rename(moved / "study")
    assert origin_of(moved / "study") == moved / planned.name


def test_what_has_moved_together_differs_in_nothing(planned, tmp_path):
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    shutil.copytree(planned.parent, moved)
    second = other(moved / planned.name, "budget_tokens: 2k", "budget_tokens: 3k")
    assert Project.open(second).study.load_plan()
    (moved / "chat.jsonl").write_text("".join((moved / "chat.jsonl").read_text().splitlines(keepends=True)[:-3]))
    third = other(moved / planned.name, "max_length: 64", "max_length: 128", "third.yaml")
    with pytest.raises(StudyError, match=r"differs in train\.max_length, so"):
        Project.open(third)


def test_the_paths_of_an_earlier_version_are_read(planned):
    path = planned.parent / "study" / "origin.json"
    value = json.loads(path.read_text())
    assert value["parts"]["domains"]["chat"]["path"] == "chat.jsonl"
    value["parts"]["domains"]["chat"]["path"] = str(planned.parent / "chat.jsonl")
    path.write_text(json.dumps({key: part for key, part in value.items() if key != "sha256"}))
    assert Project.open(other(planned, "budget_tokens: 2k", "budget_tokens: 3k"))
