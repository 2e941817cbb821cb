"""Exported configurations: what they say, that TRL and `datasets` load them as meant, and what is refused."""

import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.config.train import default_train
from mixlaw.core.errors import ConfigError
from mixlaw.data.exports import TOOLS, export_recipe
from mixlaw.data.exports.recipe import Source, Training, drift, passes

TRAIN = default_train().model_dump()


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
    assert any("keeps for validation" in note for note in recipe.notes)
    assert "/data/math.jsonl" in "".join(recipe.files.values())


@pytest.mark.parametrize("tool", TOOLS)
def test_the_revision_of_the_model_is_said(tool):
    recipe = export_recipe(tool, replace(FILES, revision="abc123"))
    assert re.search("revision[a-z_]*[: ]+abc123", "".join(recipe.files.values()))


DATASET = {"path": "org/data", "subset": None, "split": "train", "revision": None}


@pytest.mark.parametrize(
    ("part", "takes"),
    [
        ({}, {"trl", "axolotl", "llamafactory", "open-instruct"}),
        ({"subset": "main"}, {"trl", "axolotl", "llamafactory"}),
        ({"revision": "abc123"}, {"axolotl"}),
        ({"split": "train+test"}, {"llamafactory", "open-instruct"}),
        ({"split": "train[:50%]"}, {"llamafactory", "open-instruct"}),
    ],
)
def test_a_dataset_of_which_a_tool_would_read_another_part_is_refused(part, takes):
    training = by_reference(source(files=(), dataset=DATASET | part))
    for tool in TOOLS:
        if tool in takes:
            told = "".join(export_recipe(tool, training).files.values())
            assert all(value in told for value in part.values())
        else:
            with pytest.raises(ConfigError, match=r"cannot be told|local files only") as refused:
                export_recipe(tool, training)
            assert "by-reference" in refused.value.hint or tool == "nemo"


def test_axolotl_cuts_long_conversations_as_they_were_counted():
    config = yaml.safe_load(export_recipe("axolotl", by_reference()).files["axolotl.yaml"])
    assert config["excess_length_strategy"] == "truncate"


def config_of(tool, attention="auto", packing=True):
    training = replace(FILES, attention=attention, train={**TRAIN, "packing": packing})
    (text,) = (text for name, text in export_recipe(tool, training).files.items() if name.endswith(".yaml"))
    return yaml.safe_load(text)


def test_packed_conversations_are_kept_apart():
    trl = config_of("trl")
    assert trl.items() >= {"packing": True, "packing_strategy": "bfd", "attn_implementation": "sdpa"}.items()
    assert config_of("axolotl").items() >= {"sample_packing": True, "attn_implementation": "sdpa"}.items()
    llamafactory = config_of("llamafactory")
    assert llamafactory.items() >= {"packing": True, "neat_packing": True}.items()
    assert "flash_attn" not in llamafactory


def test_without_packing_nothing_is_packed_and_attention_is_the_tools_own():
    trl, axolotl, llamafactory = (config_of(tool, packing=False) for tool in ("trl", "axolotl", "llamafactory"))
    assert not (trl["packing"] or axolotl["sample_packing"] or llamafactory["packing"] or llamafactory["neat_packing"])
    assert not {"packing_strategy", "attn_implementation", "flash_attn"} & {*trl, *axolotl, *llamafactory}


@pytest.mark.parametrize("packing", [True, False])
def test_the_attention_of_the_study_is_the_tools(packing):
    for tool in ("trl", "axolotl"):
        assert config_of(tool, "eager", packing)["attn_implementation"] == "eager"
    assert config_of("llamafactory", "eager", packing)["flash_attn"] == "disabled"


def test_llamafactory_packs_one_row_a_batch_with_flash_attention():
    size = TRAIN["per_device_train_batch_size"] * TRAIN["gradient_accumulation_steps"]
    config = config_of("llamafactory", "flash_attention_2")
    assert config["flash_attn"] == "fa2"
    assert (config["per_device_train_batch_size"], config["gradient_accumulation_steps"]) == (1, size)


def test_trls_packed_conversations_have_the_losses_that_they_have_alone(tmp_path):
    pytest.importorskip("trl")
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    ids = [np.random.default_rng(n).integers(5, 2000, n).tolist() for n in (7, 11, 5, 9)]
    base = files("mixlaw.demo") / "tiny_base"

    def nats(packing_keys, attention=None):
        arguments = {"max_length": 64, "bf16": False, "use_cpu": True, "report_to": "none", **packing_keys}
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation=attention),
            processing_class=AutoTokenizer.from_pretrained(base),
            args=SFTConfig(output_dir=str(tmp_path), per_device_train_batch_size=len(ids), **arguments),
            train_dataset=Dataset.from_dict({"input_ids": ids, "labels": ids}),
        )
        batch = next(iter(trainer.get_train_dataloader()))
        with torch.no_grad():
            logits, labels = trainer.model.eval()(**batch).logits[:, :-1], batch["labels"][:, 1:]
        return len(labels), float(torch.nn.functional.cross_entropy(logits.mT, labels, reduction="sum"))

    config = config_of("trl")
    packed = {key: config[key] for key in ("packing", "packing_strategy")}
    (rows, alone), (row, together) = nats({}), nats(packed, config["attn_implementation"])
    # Strategy `wrapped`, in which they see one another, is off by 35 of 315 nats.
    assert (rows, row) == (4, 1) and together == pytest.approx(alone, abs=1e-2)


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
