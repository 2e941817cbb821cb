import numpy as np
import pytest

from mixlaw.train import causal_lm, conversation_attention
from mixlaw.train.causal_lm import CausalLM
from mixlaw.train.packing import collate
from mixlaw.train.settings import ModelSettings
from tiny_training import SETTINGS, VOCABULARY

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}


def conversations(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(3, VOCABULARY, n), (rng.random(n) < 0.6).astype(np.uint8)) for n in rng.integers(1, 12, count)
    ]


def saved(folder, kind, **more):
    """Save a random model, norms and biases too, and return its settings in float32."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES | more)
    network = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    network.save_pretrained(folder)
    return ModelSettings(str(folder), dtype="float32")


def fused(lm):
    return [module for module in lm.network.modules() if "forward" in vars(module)]


def plain(monkeypatch, *given, **named):
    with monkeypatch.context() as patch:
        patch.setattr(causal_lm, "fuse", lambda network: [])
        return CausalLM(*given, **named)


def loss_and_gradients(lm, batch):
    lm.reset()
    loss = lm.sum_nats(batch)
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in lm.network.named_parameters()}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Llama", {}),
        ("Llama", {"attention_bias": True, "head_dim": 12, "tie_word_embeddings": True}),
        ("Qwen2", {}),
        ("Mistral", {"sliding_window": None}),
        ("Granite", {"attention_multiplier": 0.3}),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_two_steps_change_no_loss_and_no_gradient_beyond_rounding(tmp_path, monkeypatch, kind, more, checkpointing):
    import torch

    model = saved(tmp_path / "model", kind, **more)
    monkeypatch.setattr(conversation_attention, "QUERIES", 5)
    own = plain(monkeypatch, model, SETTINGS, "cpu")
    ours = CausalLM(model, SETTINGS, "cpu", checkpointing=checkpointing)
    assert len(fused(ours)) == 2 and not fused(own)
    batch = collate([conversations(), conversations(4, 1), conversations(3, 2)], 70)
    (loss, gradients), (expected, known) = loss_and_gradients(ours, batch), loss_and_gradients(own, batch)
    assert loss == pytest.approx(expected, rel=1e-6)
    for name, gradient in known.items():
        assert torch.allclose(gradients[name], gradient, atol=1e-4 * float(gradient.abs().max()), rtol=1e-4), name
    assert np.abs(ours.token_nats(batch).numpy() - own.token_nats(batch).numpy()).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "more"),
    [("Granite", {"residual_multiplier": 0.5}), ("Qwen3", {}), ("Gemma", {}), ("Llama", {"hidden_act": "gelu"})],
)
def test_layers_of_another_kind_compute_as_they_are(tmp_path, kind, more):
    lm = CausalLM(saved(tmp_path / "model", kind, **more), SETTINGS, "cpu")
    assert lm.attention == "conversations" and not fused(lm)


def test_in_bfloat16_losses_and_gradients_are_as_near_to_float32_as_the_models_own(tmp_path, monkeypatch):
    model = saved(tmp_path / "model", "Llama")
    batch = collate([conversations(), conversations(4, 1)], 70)
    own, ours = plain(monkeypatch, model, SETTINGS, "cpu"), CausalLM(model, SETTINGS, "cpu")
    exact, gradients = loss_and_gradients(own, batch)
    gaps = []
    for lm in (own, ours):
        lm.bfloat16 = True
        loss, found = loss_and_gradients(lm, batch)
        far = max(float((found[n] - g).norm() / g.norm()) for n, g in gradients.items())
        gaps.append((abs(loss - exact) / exact, far))
    assert gaps[1][0] < max(2 * gaps[0][0], 1e-3) and gaps[1][1] < 1.5 * gaps[0][1]


def test_a_layer_whose_matrices_an_adapter_wraps_computes_with_the_adapter(tmp_path, monkeypatch):
    pytest.importorskip("peft")
    import torch

    model = saved(tmp_path / "model", "Llama")
    adapter = {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": False}
    batch, found = collate([conversations()], 70), []
    for lm in (plain(monkeypatch, model, SETTINGS, "cpu"), CausalLM(model, SETTINGS, "cpu")):
        torch.manual_seed(0)
        from peft import LoraConfig, get_peft_model

        get_peft_model(lm.network, LoraConfig(task_type="CAUSAL_LM", **adapter))
        found.append(lm.sum_nats(batch).item())
    assert found[0] == pytest.approx(found[1], rel=1e-6)
