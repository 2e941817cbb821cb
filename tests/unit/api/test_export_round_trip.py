"""Rows to a mixture, to an export, and through the tools' own loaders: the same turns, calls and supervised tokens."""

import shutil
from collections import Counter

import pytest
import yaml

import mixlaw
from mixlaw.data.chat import load_tokenizer
from mixlaw.data.exports.own_data import mixture_rows
from unit.conftest import MARKED, plain_rows, rich_rows, trl_template

TOOLED = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HALVES = {"a": 0.5, "b": 0.5}


def exported(study, to, rich, file_format="jsonl", template=None, **more):
    """Return an export whose folder was moved, and (ids, labels) -> rows of what mixlaw counted.

    Rows for a template that is given have no answers without loss.
    """
    rows = {name: rich_rows(60, ord(name)) if rich else plain_rows(60, name) for name in HALVES}
    if template is not None:
        rows = {n: [r for r in of if not any("weight" in m for m in r["messages"])] for n, of in rows.items()}
    path = study(rows, template or (trl_template("qwen3_training.jinja") if rich else MARKED))
    path.write_text(path.read_text().replace("batch_size: 2}", "batch_size: 2, packing: false}"))
    made = mixlaw.export(path, to, weights=HALVES, file_format=file_format, **more)
    moved = made.folder.parent.parent.parent / "elsewhere"
    shutil.move(made.folder, moved)
    chat = load_tokenizer(str(moved / "model"))
    counted = Counter()
    names = sorted(file.name for file in made.mixture.glob("train*"))
    for conversation, _, place in mixture_rows(made.mixture, names):
        (found,) = chat.encode([chat.render(conversation, place)], 512)
        labels = [int(i) if s else -100 for i, s in zip(found.ids, found.supervised, strict=True)]
        counted[tuple(found.ids.tolist()), tuple(labels)] += 1
    return made, moved, counted


def counts(rows):
    return Counter((tuple(row["input_ids"]), tuple(row["labels"])) for row in rows)


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
@pytest.mark.parametrize("rich", [False, True])
def test_trl_trains_on_the_tokens_that_mixlaw_counted_on_a_machine_without_a_gpu(study, monkeypatch, rich, file_format):
    pytest.importorskip("trl")
    from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_dataset

    made, moved, counted = exported(study, "trl", rich, file_format)
    assert made.facts["form"] == ("tokens" if rich else "conversations")
    monkeypatch.chdir(moved)
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    _, args, model, data = parser.parse_args_and_config(["--config", "sft.yaml", "--max_steps", "2"])
    trainer = SFTTrainer(model=model.model_name_or_path, args=args, train_dataset=get_dataset(data)["train"])
    trainer.train()  # starts without a GPU, where TRL's own bf16 is an error
    assert trainer.state.global_step == 2
    found = counts(trainer.train_dataset)
    assert found == counted and found.total() == made.facts["rows"]
    if rich:
        text = " ".join(trainer.processing_class.decode(ids) for ids, _ in found)
        assert '"name": "weather", "arguments": {"city": "Paris' in text and "thought" in text
        assert not any("bad" in trainer.processing_class.decode([i for i in kept if i != -100]) for _, kept in found)


def test_trl_gets_tools_and_calls_as_conversations_where_these_are_asked_for(study, monkeypatch):
    pytest.importorskip("datasets", minversion="5")
    pytest.importorskip("trl")
    from trl import DatasetMixtureConfig, SFTConfig, SFTTrainer, get_dataset

    _, moved, counted = exported(study, "trl", rich=True, template=TOOLED, rows="conversations")
    config = yaml.safe_load((moved / "sft.yaml").read_text())
    assert config["datasets"][0]["columns"] == ["messages", "tools"] and config["assistant_only_loss"]
    monkeypatch.chdir(moved)
    args = SFTConfig(output_dir="out", max_length=512, assistant_only_loss=True, bf16=False, report_to="none")
    rows = get_dataset(DatasetMixtureConfig(datasets=config["datasets"]))["train"]
    assert counts(SFTTrainer(model="model", args=args, train_dataset=rows).train_dataset) == counted


@pytest.mark.parametrize("to", ["axolotl", "llamafactory"])
def test_axolotl_and_llamafactory_get_the_tokens_that_mixlaw_counted(study, to):
    datasets = pytest.importorskip("datasets")
    made, moved, counted = exported(study, to, rich=True)
    if to == "axolotl":
        (entry,) = yaml.safe_load((moved / "axolotl.yaml").read_text())["datasets"]
        assert entry["type"] is None and entry["ds_type"] == "parquet"
        rows = datasets.load_dataset("parquet", data_files=str(moved / entry["path"]), split="train")
    else:
        config = yaml.safe_load((moved / "sft.yaml").read_text())
        assert not config["packing"] and config["template"] == "empty"
        rows = datasets.load_from_disk(str(moved / config["tokenized_path"]))
    assert set(rows.column_names) == {"input_ids", "attention_mask", "labels"}
    assert counts(rows) == counted and made.facts["form"] == "tokens"
