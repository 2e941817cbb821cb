"""Exports of a real study: in which form, that the folder can be moved, and what is refused."""

import json
import shutil
from collections import Counter

import pytest
import yaml

import mixlaw
from mixlaw.core.errors import ConfigError, DataError, StudyError
from unit.api.conftest import CHATML, MARKED, plain_rows, rich_rows, trl_template, turn

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
    assert "data/train.jsonl" in text and "./model" in text or to == "open-instruct"
    assert {"data/train.jsonl", "model/model.safetensors", "model/tokenizer.json"} <= files_of(made.folder)
    assert made.facts["form"] == "conversations" and made.facts["achieved_shares"]["a"] == pytest.approx(0.5, abs=0.02)


def test_an_export_again_is_the_same_and_never_replaces_another(plain):
    made = mixlaw.export(plain, "llamafactory", weights=HALVES)
    before = {name: (made.folder / name).read_bytes() for name in files_of(made.folder)}
    assert mixlaw.export(plain, "llamafactory", weights=HALVES).folder == made.folder
    assert {name: (made.folder / name).read_bytes() for name in files_of(made.folder)} == before
    (made.folder / "data" / "train.jsonl").write_text("{}\n")
    with pytest.raises(StudyError, match="exists and differs"):
        mixlaw.export(plain, "llamafactory", weights=HALVES)
