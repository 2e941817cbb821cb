"""What mixlaw offers to programs of the trainer `command`: the spec, an evaluation, the result."""

import json

import numpy as np
import pytest

from mixlaw.core.errors import DataError, NewerFormat
from mixlaw.core.run import TargetLoss
from mixlaw.data.rows import TokenRows
from mixlaw.train.own_program import evaluate_model, read_spec, write_result
from mixlaw.train.program import read_result
from tiny_training import SETTINGS, make_config


def test_a_spec_of_another_format_is_refused(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text('{"format": 1, "run": "base"}', encoding="utf-8")
    assert read_spec(path)["run"] == "base"
    for text, problem in (
        ('{"format": 2, "run": "base"}', "written by a newer mixlaw"),
        ('{"format": "1", "run": "base"}', "'format' is \"1\""),
        ("[]", "must be an object"),
        ("{}", "'run' is missing"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises((DataError, NewerFormat), match=problem):
            read_spec(path)


def test_a_result_is_read_back(tmp_path):
    path, losses = tmp_path / "result.json", {"code": TargetLoss(12.5, 5, 20), "math": TargetLoss(1.0, 1)}
    write_result({"result": str(path)}, losses, steps=3)
    assert read_result(path, "base", ["code", "math"]) == (losses, 3, 0)


def test_a_saved_model_is_evaluated_on_the_supervised_tokens(tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    config = make_config(tmp_path)
    spec = {
        "train": SETTINGS.to_json(),
        "model": config.model.to_json() | {"name_or_path": "elsewhere", "revision": "main"},
        "validation_files": {"code": str(tmp_path / "validation" / "text" / "code.jsonl")},
    }
    found = evaluate_model(json.loads(json.dumps(spec)), tmp_path / "model")["code"]
    base = {**spec, "model": config.model.to_json()}
    assert evaluate_model(base)["code"] == found  # as it is: the model that the spec names
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    rows, nats, count = TokenRows.open(tmp_path / "validation" / "code"), 0.0, 0
    for start, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        ids = torch.from_numpy(np.array(rows.ids[start:end], dtype=np.int64))
        mask = np.array(rows.supervised[start:end])[1:] == 1
        with torch.no_grad():
            logits = network(ids[None]).logits[0, :-1]
        nats += float(torch.nn.functional.cross_entropy(logits[mask], ids[1:][mask], reduction="sum"))
        count += int(mask.sum())
    assert found.count == count and found.nats == pytest.approx(nats, rel=1e-5)
