"""Exports of a real study: in which form, that the folder can be moved, and what is refused."""

import json
from collections import Counter

import pytest
import yaml

import mixlaw
from mixlaw.core.errors import ConfigError, DataError, StudyError
from unit.conftest import CHATML, MARKED, plain_rows, rich_rows, trl_template, turn

HALVES = {"a": 0.5, "b": 0.5}


@pytest.fixture
def plain(study):
    return study({name: plain_rows(60, name) for name in HALVES})


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("to", ["trl", "axolotl", "llamafactory", "open-instruct", "nemo"])
def test_a_folder_holds_all_that_it_names_and_names_no_other(plain, to, tmp_path):
    made = mixlaw.export(plain, to, weights=HALVES)
    text = "".join((made.folder / name).read_text() for name in made.recipe.files)
    assert str(tmp_path) not in text
    assert ("data/train.jsonl" in text and "./model" in text) or to == "open-instruct"
    assert {"data/train.jsonl", "model/model.safetensors", "model/tokenizer.json"} <= files_of(made.folder)
    assert made.facts["form"] == "conversations" and made.facts["achieved_shares"]["a"] == pytest.approx(0.5, abs=0.02)
    told = (made.folder / "README.md").read_text()
    assert f"```sh\n{made.recipe.command}\n```" in told and "| a | 50.00 % |" in told and str(tmp_path) not in told
    assert all(note in told for note in made.recipe.notes)
    assert ("On a GPU" in told) == (to in ("trl", "llamafactory"))


def test_an_export_again_is_the_same_and_never_replaces_another(plain):
    made = mixlaw.export(plain, "llamafactory", weights=HALVES)
    before = {name: (made.folder / name).read_bytes() for name in files_of(made.folder)}
    assert mixlaw.export(plain, "llamafactory", weights=HALVES).folder == made.folder
    assert {name: (made.folder / name).read_bytes() for name in files_of(made.folder)} == before
    (made.folder / "data" / "train.jsonl").write_text("{}\n")
    with pytest.raises(StudyError, match=r"train\.jsonl has changed since it was written"):
        mixlaw.export(plain, "llamafactory", weights=HALVES)
    (made.folder / "export.json").unlink()  # then nothing says what was written
    with pytest.raises(StudyError, match="exists and differs"):
        mixlaw.export(plain, "llamafactory", weights=HALVES)


ENDLESS = MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
"""Of which TRL does not learn to stop; mixlaw counts the token that ends a turn."""


@pytest.mark.parametrize(
    ("to", "template", "rows", "form", "why"),
    [
        ("trl", MARKED, "plain", "conversations", "TRL supervises the same tokens as mixlaw"),
        ("trl", CHATML, "plain", "tokens", "the model's has none"),
        ("trl", ENDLESS, "plain", "tokens", "TRL would supervise tokens other than mixlaw's in 200 of 200 rows"),
        ("trl", "qwen3_training.jinja", "rich", "tokens", "answers without loss (weight: 0)"),
        ("trl", MARKED, "told", "tokens", "TRL would lose chat_template_kwargs in"),
        ("axolotl", CHATML, "plain", "conversations", "Axolotl supervises the same tokens as mixlaw"),
        ("axolotl", "qwen3_training.jinja", "rich", "tokens", "Axolotl would supervise tokens other than"),
        ("llamafactory", "qwen3_training.jinja", "rich", "tokens", "answers without loss (weight: 0)"),
    ],
)
def test_the_form_is_the_one_in_which_the_tool_learns_what_was_counted(study, to, template, rows, form, why):
    def told(name):
        return [
            row | {"chat_template_kwargs": {"enable_thinking": i > 50}} for i, row in enumerate(plain_rows(60, name))
        ]

    made = {"told": told, "plain": lambda name: plain_rows(60, name), "rich": lambda name: rich_rows(60, ord(name))}[
        rows
    ]
    template = trl_template(template) if template.endswith(".jinja") else template
    facts = mixlaw.export(study({name: made(name) for name in HALVES}, template), to, weights=HALVES).facts
    assert facts["form"] == form and why in facts["why"], facts["why"]
    assert facts["why"] in facts["notes"]


def test_what_a_tool_cannot_carry_is_refused_by_name_with_the_way_out(study):
    path = study({name: rich_rows(60, ord(name)) for name in HALVES}, trl_template("qwen3_training.jinja"))
    for to, what in (("open-instruct", "the tools of a row in"), ("nemo", r"answers without loss \(weight: 0\) in")):
        with pytest.raises(DataError, match=rf"would lose .*{what}.*reads tokens \(trl, axolotl, llamafactory\)"):
            mixlaw.export(path, to, weights=HALVES)
    with pytest.raises(DataError, match=r"would lose answers without loss.*--rows tokens"):
        mixlaw.export(path, "llamafactory", weights=HALVES, rows="conversations")
    with pytest.raises(ConfigError, match="NeMo reads no tokens"):
        mixlaw.export(path, "nemo", weights=HALVES, rows="tokens")
    with pytest.raises(ConfigError, match="there is no form 'words'"):
        mixlaw.export(path, "trl", weights=HALVES, rows="words")


def skipped_rows(count, every):
    """Return rows of which every `every`th has two user turns after another, which LLaMA-Factory skips."""
    rows = plain_rows(count, "b")
    for row in rows[::every]:
        row["messages"].insert(0, turn("user", "and first"))
    return rows


def test_rows_that_a_tool_skips_give_way_to_others_of_the_domain(study):
    path = study({"a": plain_rows(60, "a"), "b": skipped_rows(60, 5)})
    facts = mixlaw.export(path, "llamafactory", weights=HALVES, max_dropped=0.2).facts
    (replaced,) = facts["replaced"]
    assert replaced["domain"] == "b" and "do not alternate (human after human)" in replaced["reason"]
    assert any("skips" in note and "Other rows of the same domains" in note for note in facts["notes"])
    folder = mixlaw.export(path, "llamafactory", weights=HALVES, max_dropped=0.2).folder
    rows = [json.loads(line) for line in (folder / "data" / "train.jsonl").read_text().splitlines()]
    assert len(rows) == facts["rows"] and all(len(row["conversations"]) == 2 for row in rows)
    # A row has at most 60 tokens; without other rows b would have a seventh less: 430 tokens.
    for name, tokens in facts["achieved_tokens"].items():
        assert abs(tokens - 3000) <= 60, name
    assert Counter(row["domain"] for row in rows).keys() == {"a", "b"}


def test_above_the_share_a_tool_may_skip_the_export_is_refused(study):
    path = study({"a": plain_rows(60, "a"), "b": skipped_rows(60, 5)})
    with pytest.raises(
        DataError, match=r"skips .* of 'b' for roles that do not alternate.*more than 1\.0%.*--rows tok"
    ):
        mixlaw.export(path, "llamafactory", weights=HALVES)
    assert mixlaw.export(path, "llamafactory", weights=HALVES, rows="tokens").facts["replaced"] == []
    path = study({"a": plain_rows(60, "a"), "b": skipped_rows(60, 1)})
    with pytest.raises(DataError, match="skip every row of 'b'"):
        mixlaw.export(path, "llamafactory", weights=HALVES, max_dropped=1)


def test_by_reference_rows_that_a_tool_would_lose_are_refused(study):
    path = study({name: rich_rows(60, ord(name)) for name in HALVES}, trl_template("qwen3_training.jinja"))
    for to in ("trl", "axolotl", "llamafactory"):
        with pytest.raises(ConfigError, match=r"would lose a part of 'a': the tools of a row in .*leave out --by-ref"):
            mixlaw.export(path, to, weights=HALVES, by_reference=True)


def named(rows, column, role, content, roles):
    return [{column: [{role: roles[m["role"]], content: m["content"]} for m in row["messages"]]} for row in rows]


def test_by_reference_the_column_the_keys_and_the_roles_are_those_of_the_file(study):
    human = {"user": "human", "assistant": "gpt"}
    usual = {"user": "user", "assistant": "assistant"}
    path = study(
        {
            "a": named(plain_rows(60, "a"), "conversations", "role", "content", usual),
            "b": named(plain_rows(60, "b"), "messages", "from", "value", human),
        }
    )
    folder = mixlaw.export(path, "llamafactory", weights=HALVES, by_reference=True).folder
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info["a"]["columns"] == {"messages": "conversations"} and info["b"]["columns"] == {"messages": "messages"}
    tags = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
    assert info["b"]["tags"].items() >= tags.items()
    assert info["a"]["tags"].items() >= {"role_tag": "role", "user_tag": "user", "assistant_tag": "assistant"}.items()
    folder = mixlaw.export(path, "axolotl", weights=HALVES, by_reference=True).folder
    found = {d["field_messages"]: d for d in yaml.safe_load((folder / "axolotl.yaml").read_text())["datasets"]}
    assert found["messages"]["message_property_mappings"] == {"role": "from", "content": "value"}
    assert found["messages"]["roles"]["user"] == ["user", "human"]
    assert found["conversations"]["message_property_mappings"] == {"role": "role", "content": "content"}
    for to in ("trl", "open-instruct", "nemo"):
        with pytest.raises(ConfigError, match=r"has conversations, role, content, which|is written as sharegpt"):
            mixlaw.export(path, to, weights=HALVES, by_reference=True)


def test_by_reference_rows_that_llamafactory_skips_are_counted(study):
    path = study({"a": plain_rows(60, "a"), "b": skipped_rows(60, 5)})
    with pytest.raises(ConfigError, match=r"skips 12 rows of 'b', more than 1\.0%"):
        mixlaw.export(path, "llamafactory", weights=HALVES, by_reference=True)
    made = mixlaw.export(path, "llamafactory", weights=HALVES, by_reference=True, max_dropped=0.3)
    assert any("skips: 12 of 60 rows of 'b'" in note for note in made.recipe.notes)


def test_by_reference_it_is_said_where_a_tool_supervises_other_tokens(study):
    path = study({name: plain_rows(60, name) for name in HALVES}, ENDLESS)
    notes = mixlaw.export(path, "trl", weights=HALVES, by_reference=True).recipe.notes
    assert any("TRL supervises other tokens than mixlaw in 120 of 120 rows" in note for note in notes)


def test_trl_by_reference_needs_a_template_with_markers(study):
    with pytest.raises(ConfigError, match=r"generation %\} markers, and the model's has none"):
        mixlaw.export(study({n: plain_rows(60, n) for n in HALVES}, CHATML), "trl", weights=HALVES, by_reference=True)
