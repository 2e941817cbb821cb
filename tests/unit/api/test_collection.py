"""`collection:` in mix.yaml: its domains, its errors, and what is left out."""

import json
import random
from pathlib import Path

import pytest

import mixlaw
from mixlaw.api.project import Project
from mixlaw.config import load_config, parse_config
from mixlaw.core.errors import ConfigError, DataError, MixlawError

BASE = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
VALUES = ["org/gsm", "org/hard", "org/code", "other thing", None]
MAPPED = "domains: {math: [org/gsm, org/hard], code: org/code}"


@pytest.fixture
def write(tmp_path):
    """Write a dataset and a mix.yaml; the text is what stands under `collection`, more what follows it."""
    rng = random.Random(0)
    rows = [
        {
            "source": rng.choice(VALUES),
            "messages": [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": f"answer {i}"},
            ],
        }
        for i in range(400)
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make(text: str = MAPPED, more: str = "", split_by: str = "source") -> Path:
        path = tmp_path / "mix.yaml"
        path.write_text(
            f"study: study\nmodel: {{name_or_path: {BASE}}}\ncollection:\n  path: data.jsonl\n  split_by: {split_by}\n"
            f"  {text}\nbudget_tokens: 5k\nvalidation: {{rows: 10}}\ntrain: {{max_length: 192}}\n{more}"
        )
        return path

    make.rows = rows
    return make


def message(path, kind=ConfigError):
    with pytest.raises(kind) as caught:
        project = Project.open(path)
        _ = project.prepared
    return str(caught.value)


def test_a_mapping_makes_one_domain_of_each_name(write, tmp_path):
    config = load_config(write())
    assert list(config.domains) == ["math", "code"]
    assert config.domains["math"].values == ["org/gsm", "org/hard"] and config.domains["code"].values == ["org/code"]
    domain = config.domain_values()["math"]
    assert (domain.split_by, domain.values) == ("source", ("org/gsm", "org/hard"))
    assert domain.path == str(tmp_path / "data.jsonl")


def test_without_a_mapping_each_value_is_a_domain_named_after_it(write):
    project = Project.open(write(""))
    assert sorted(project.domains) == ["code", "gsm", "hard", "other-thing"]
    assert project.domains["gsm"].values == ("org/gsm",)
    assert project.left_out is not None and "without a value" in project.left_out


def test_a_collection_stands_beside_other_domains(write, tmp_path):
    path = write(more="domains: {mine: {path: data.jsonl}}\n")
    project = Project.open(path)
    assert list(project.domains) == ["mine", "math", "code"]
    rows = {name: d.sources[0]["rows"] for name, d in project.prepared.items()}
    counted = [row["source"] for row in write.rows]
    assert rows == {
        "mine": 400,
        "math": counted.count("org/gsm") + counted.count("org/hard"),
        "code": counted.count("org/code"),
    }


def test_rows_in_no_domain_are_said_and_the_manifest_shows_the_filter(write):
    said = []
    project = Project.open(write(), said.append)
    _ = project.prepared
    counted = [row["source"] for row in write.rows]
    others, nulls = counted.count("other thing"), counted.count(None)
    assert project.left_out == (
        f"collection: {others + nulls} of 400 rows are in no domain and are not used; their 'source': "
        f"'other thing' ({others}), without a value ({nulls})."
    )
    assert project.left_out in said
    assert project.left_out in mixlaw.check(write()).notes
    mixed = mixlaw.mix(project, weights={"math": 0.5, "code": 0.5}, budget=1000)
    source = mixed.manifest["domains"]["math"]["sources"][0]
    assert (source["split_by"], source["values"]) == ("source", ["org/gsm", "org/hard"])
    assert "source: org/gsm, org/hard" in (mixed.folder / "README.md").read_text()


@pytest.mark.parametrize("text", [MAPPED, ""])
def test_a_resolved_configuration_reads_back_as_it_is(write, text):
    config = Project.open(write(text)).config
    again = parse_config(json.loads(json.dumps(config.model_dump())))
    assert again == config


def test_values_are_counted_once_and_again_when_the_file_changes(write, tmp_path, monkeypatch):
    from mixlaw.api import collection as module

    path, taken, real = write(""), [], module.take_census
    monkeypatch.setattr(module, "take_census", lambda *a: taken.append(a) or real(*a))
    Project.open(path)
    Project.open(path)
    assert len(taken) == 1
    with open(tmp_path / "data.jsonl", "a") as file:
        file.write(json.dumps(write.rows[0] | {"source": "new"}) + "\n")
    assert "new" in Project.open(path).domains and len(taken) == 2


def test_a_value_that_never_occurs_is_an_error_with_a_suggestion_and_the_values_there_are(write, tmp_path):
    text = message(write("domains: {math: [org/gsm, org/hrd], code: [org/cod]}"))
    assert "collection.domains.math: no row has the source 'org/hrd', did you mean 'org/hard'?" in text
    assert "collection.domains.code" in text and "'other thing'" in text
    assert not (tmp_path / "study" / "domains.json").exists()


def test_nothing_matched_is_one_error(write):
    text = message(write("domains: {math: [a, b]}"))
    assert "nothing matches" in text and "'a', 'b'" in text and "'org/gsm'" in text


def test_a_missing_column_is_one_error_and_the_study_stays_as_it_is(write, tmp_path):
    _ = Project.open(write()).write_inputs()
    before = {p: p.read_bytes() for p in (tmp_path / "study").rglob("*") if p.is_file()}
    for text in (MAPPED, ""):
        found = message(write(text, split_by="sauce"), DataError)
        assert "no column 'sauce'" in found and "'source', 'messages'" in found
    with pytest.raises(MixlawError, match="no column 'sauce'"):
        mixlaw.check(write(split_by="sauce"))
    assert {p: p.read_bytes() for p in (tmp_path / "study").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("domains: {a: [x, y], b: [y]}", "", "collection.domains.b: the value 'y' is in 'a' too"),
        (MAPPED, "domains: {math: {path: data.jsonl}}\n", "collection.domains.math: 'domains' also has 'math'"),
        ("domain: {a: [x]}", "", "collection.domain: unknown key, did you mean 'domains'?"),
        ("domains: {}", "", "collection.domains"),
        ("domains: {a: []}", "", "collection.domains.a"),
        ("", "solve: {min: {nothing: 0.1}}\n", "solve.min.nothing: no such domain"),
        (MAPPED, "solve: {min: {mth: 0.1}}\n", "did you mean 'math'?"),
        (MAPPED, "domains: {x: {path: data.jsonl, split_by: source}}\n", "split_by and values go together"),
    ],
)
def test_what_is_wrong_with_a_collection_is_said_with_its_place(write, text, more, expected):
    assert expected in message(write(text, more))


def test_too_many_values_need_a_mapping(write, monkeypatch):
    from mixlaw.api import collection as module

    monkeypatch.setattr(module, "_MOST_DOMAINS", 3)
    text = message(write(""))
    assert "'source' has 4 values" in text and "collection.domains" in text


def test_values_that_shorten_to_one_name_keep_their_whole_names(write, tmp_path):
    rows = [row | {"source": f"{'ab'[i % 2]}/same"} for i, row in enumerate(write.rows)]
    path = write("")
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert sorted(Project.open(path).domains) == ["a-same", "b-same"]


def test_by_reference_a_part_of_a_dataset_cannot_be_exported(write):
    with pytest.raises(ConfigError, match="tools read every row"):
        mixlaw.export(write(), to="trl", by_reference=True, weights={"math": 0.5, "code": 0.5})
