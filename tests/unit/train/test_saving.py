"""Saved models are what transformers loads, in the base's precision, with adapters merged, whole or not at all."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mixlaw
from mixlaw.train.saving import save_model

BASE = str(Path(mixlaw.__file__).parent / "demo" / "tiny_base")
IDS = torch.arange(5, 25)[None]


def loaded(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def test_a_saved_model_stops_at_the_token_that_its_template_ends_answers_with(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(BASE, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = "<|pad|>"  # the template ends a turn with another token
    tokenizer.save_pretrained(base)
    (base / "generation_config.json").write_text('{"eos_token_id": 3, "pad_token_id": 3}')
    save_model(loaded(base), str(base), None, tmp_path / "model")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    saved = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    assert saved["eos_token_id"] == end and saved["pad_token_id"] == 3
    assert AutoTokenizer.from_pretrained(tmp_path / "model").eos_token == "<|im_end|>"
    assert loaded(tmp_path / "model").generation_config.eos_token_id == end


def test_a_model_that_stops_as_learnt_keeps_its_settings(tmp_path):
    save_model(loaded(BASE), BASE, None, tmp_path / "model")
    settings = [json.loads((Path(f) / "generation_config.json").read_text()) for f in (BASE, tmp_path / "model")]
    assert settings[0]["eos_token_id"] == settings[1]["eos_token_id"]


@pytest.mark.parametrize("adapter", [False, True])
def test_a_trained_network_comes_back_with_its_tokenizer(tmp_path, adapter):
    network = loaded(BASE)
    if adapter:
        peft = pytest.importorskip("peft")
        network = peft.get_peft_model(network, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
        before = network.eval()(IDS).logits
    save_model(network, BASE, None, tmp_path / "model")
    with torch.no_grad():
        after, base = loaded(tmp_path / "model")(IDS).logits, loaded(BASE)(IDS).logits
    # Half precision rounds to three digits; an adapter that was lost would give the base's logits.
    assert (after - before).abs().max() < 0.25 * (base - before).abs().max()
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto").dtype == torch.float16  # the base's
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_network_goes_on_in_its_own_precision(tmp_path):
    network = loaded(BASE)
    save_model(network, BASE, None, tmp_path / "model")
    assert {p.dtype for p in network.parameters()} == {torch.float32}
