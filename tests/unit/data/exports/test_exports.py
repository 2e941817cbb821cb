"""Exported configurations: what they say, that TRL and `datasets` load them as meant, and what is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.config import TrainNode
from mixlaw.core.errors import ConfigError
from mixlaw.data.exports import TOOLS, export_recipe
from mixlaw.data.exports.recipe import Source, Training, drift, passes

TRAIN = TrainNode().model_dump()


def source(name="math", **changes):
    base = Source(name, (f"/data/{name}.jsonl",), {}, "messages", {}, 100, 50.0, 10.0, 12_500)
    return replace(base, **changes)


def by_reference(*sources):
    return Training("org/base", None, TRAIN, 3, sources=sources or (source(), source("code", tokens=2_500)))


FILES = Training("org/base", None, TRAIN, 3, files=("/m/train.jsonl",), shares=(1.0,))


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_points_at_the_materialised_files(tool):
    recipe = export_recipe(tool, FILES)
    assert any("/m/train.jsonl" in text for text in recipe.files.values())
    assert recipe.command and recipe.unit == "files" and not recipe.drift


@pytest.mark.parametrize("tool", TOOLS)
def test_by_reference_the_drift_is_stated_and_held_out_rows_are_named(tool):
    recipe = export_recipe(tool, by_reference())
    assert set(recipe.drift) == {"math", "code"} and all(0 < d < 0.1 for d in recipe.drift.values())
    assert any("held out" in note for note in recipe.notes)
    assert "/data/math.jsonl" in "".join(recipe.files.values())


def test_axolotl_cuts_long_conversations_as_they_were_counted():
    config = yaml.safe_load(export_recipe("axolotl", by_reference()).files["axolotl.yaml"])
    assert config["excess_length_strategy"] == "truncate"


def test_rows_are_in_the_tools_own_unit():
    # math: 12,500 tokens at 50 a row = 250 rows of 100 there; code: 50 rows.
    assert passes(source()) == [100, 100, 50]
    trl = yaml.safe_load(export_recipe("trl", by_reference()).files["sft.yaml"])["datasets"]
    assert [d["split"] for d in trl] == ["train[:100]", "train[:100]", "train[:50]", "train[:50]"]
    axolotl = yaml.safe_load(export_recipe("axolotl", by_reference()).files["axolotl.yaml"])["datasets"]
    assert [d["split"] for d in axolotl] == [d["split"] for d in trl]
    info = json.loads(export_recipe("llamafactory", by_reference()).files["dataset_info.json"])
    assert {name: entry["num_samples"] for name, entry in info.items()} == {"math": 250, "code": 50}
    script = export_recipe("open-instruct", by_reference()).files["finetune.sh"]
    assert "--dataset_mixer_list /data/math.jsonl 250 /data/code.jsonl 50 " in script
    nemo = yaml.safe_load(export_recipe("nemo", by_reference()).files["nemo.yaml"])["model"]["data"]["train_ds"]
    assert nemo["concat_sampling_probabilities"] == pytest.approx([250 / 300, 50 / 300])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.integers(20, 400), st.booleans())
def test_shares_drawn_as_a_tool_draws_them_stay_within_the_stated_drift(seed, share, rows, replacement):
    rng = np.random.default_rng(seed)
    lengths = {name: rng.integers(5, 200, rows) for name in ("a", "b")}
    total = 60 * rows
    sources = [
        source(
            name,
            rows=rows,
            mean_tokens=float(of.mean()),
            sd_tokens=float(of.std()),
            tokens=round(total * (share if name == "a" else 1 - share)),
        )
        for name, of in lengths.items()
    ]
    stated = drift(sources, replacement=replacement)
    tokens = {}
    for s in sources:
        whole, rest = divmod(s.wanted_rows, rows)
        if replacement and whole:
            drawn = [lengths[s.name], rng.choice(lengths[s.name], s.wanted_rows - rows)]
        else:
            drawn = [lengths[s.name]] * whole + [rng.permutation(lengths[s.name])[:rest]]
        tokens[s.name] = sum(int(part.sum()) for part in drawn)
    for name, wanted in (("a", share), ("b", 1 - share)):
        # Three standard deviations and the rounding; a constant predictor (equal shares) would be off by up to .4.
        assert abs(tokens[name] / sum(tokens.values()) - wanted) <= 1.3 * stated[name]


@pytest.mark.parametrize(
    ("tool", "changes", "message"),
    [
        ("trl", {"format": "alpaca"}, "written as alpaca; TRL reads messages"),
        ("trl", {"columns": {"messages": "chat"}}, "renames columns, which TRL cannot"),
        ("llamafactory", {"files": ("/d/math.jsonl.gz",)}, r"LLaMA-Factory reads .*, not /d/math.jsonl.gz"),
        ("llamafactory", {"files": ("/d/a.jsonl", "/d/b.jsonl")}, "2 files; LLaMA-Factory takes one"),
        ("open-instruct", {"files": ("/d/math.jsonl.gz",)}, "open-instruct reads"),
        ("nemo", {"files": (), "dataset": {"path": "org/x"}}, "NeMo blends local files"),
    ],
)
def test_what_a_tool_cannot_express_is_refused_with_the_way_out(tool, changes, message):
    with pytest.raises(ConfigError, match=message):
        export_recipe(tool, by_reference(source(**changes)))


def test_an_unknown_tool_is_an_error_that_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no tool 'unsloth'.*trl, axolotl, llamafactory"):
        export_recipe("unsloth", FILES)


@pytest.mark.parametrize("shards", [1, 3])
def test_trl_loads_what_was_exported(tmp_path, shards):
    pytest.importorskip("trl")
    from trl import DatasetMixtureConfig, get_dataset

    files = []
    for i in range(shards):
        path = tmp_path / f"train-{i}.jsonl"
        rows = [{"messages": [{"role": "user", "content": f"{i} {r}"}], "domain": "d"} for r in range(20)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files.append(str(path))
    written = yaml.safe_load(export_recipe("trl", replace(FILES, files=tuple(files))).files["sft.yaml"])
    loaded = get_dataset(DatasetMixtureConfig(datasets=written["datasets"]))["train"]
    assert len(loaded) == 20 * shards and loaded.column_names == ["messages"]
    repeated = source(files=(files[0],), rows=20, mean_tokens=10.0, tokens=450)
    written = yaml.safe_load(export_recipe("trl", by_reference(repeated)).files["sft.yaml"])
    loaded = get_dataset(DatasetMixtureConfig(datasets=written["datasets"]))["train"]
    assert len(loaded) == 45
    texts = [row["messages"][0]["content"] for row in loaded]
    assert [texts.count(f"0 {r}") for r in range(20)] == [3] * 5 + [2] * 15


def test_paths_with_spaces_survive_in_the_script():
    script = export_recipe("open-instruct", replace(FILES, files=("/my data/train.jsonl",))).files["finetune.sh"]
    assert re.search(r"--dataset_mixer_list '/my data/train.jsonl' 1\.0", script)
