"""Saved models are what transformers loads, in the base's precision, with adapters merged, whole or not at all."""

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
