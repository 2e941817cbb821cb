"""The built-in trainers keep the promises of `mixlaw.train.trainer`."""

from __future__ import annotations

import sys

import pytest

from mixlaw.testing import TRAINER_CHECKS
from tiny_training import save_tiny_llama

PROGRAM = """
import collections, json, math, sys

spec = json.load(open(sys.argv[1]))
words = collections.Counter()
for line in open(spec["train_file"]):
    for message in json.loads(line)["messages"]:
        words.update(message["content"].split())
losses = {}
for name, path in spec["validation_files"].items():
    said = [w for line in open(path) for w in json.loads(line)["messages"][1]["content"].split()]
    nats = sum(-math.log((words[w] + 1) / (words.total() + 100)) for w in said)
    losses[name] = {"nats": nats, "count": len(said)}
json.dump({"losses": losses, "steps": 1}, open(spec["result"], "w"))
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    pytest.importorskip("torch")
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    folder = save_tiny_llama(tmp_path_factory.mktemp("llama") / "model")
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(97)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
def test_the_native_trainer_conforms(llama, check):
    check("native", model=llama)


@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
def test_the_trainer_command_conforms(tmp_path, check):
    program = tmp_path / "train.py"
    program.write_text(PROGRAM, encoding="utf-8")
    check("command", {"command": f"{sys.executable} {program} {{spec}}"})


def test_native_reports_every_step(llama):
    from mixlaw.testing._training_case import training_case

    with training_case("native", None, llama) as case:
        calls = []
        record = case.run(case.config.build(), case.spec(), lambda *call: calls.append(call))
    assert [step for step, _, _ in calls] == list(range(1, record.steps + 1))
