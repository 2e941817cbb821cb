import dataclasses

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.train import causal_lm, conversation_attention, head_loss
from mixlaw.train.base_weights import BaseWeights
from mixlaw.train.causal_lm import CausalLM
from mixlaw.train.packing import collate
from mixlaw.train.settings import ModelSettings
from tiny_training import SETTINGS, VOCABULARY, save_tiny_llama


def conversations(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(3, VOCABULARY, n), (rng.random(n) < 0.6).astype(np.uint8)) for n in rng.integers(1, 12, count)
    ]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_packed_rows_losses_are_those_of_its_conversations_alone(tiny_llama, attention):
    lm = CausalLM(ModelSettings(str(tiny_llama), dtype="float32", attn_implementation=attention), SETTINGS, "cpu")
    lm.network.eval()
    convs = conversations()
    packed = lm.token_nats(collate([convs, convs[::-1]], 70)).numpy()
    alone = np.concatenate([lm.token_nats(collate([[one]])).numpy() for one in convs + convs[::-1]])
    assert len(packed) > 20 and np.abs(packed - alone).max() < 1e-5


def test_losses_on_supervised_positions_equal_those_from_all_logits(tiny_llama):
    import torch

    lm = CausalLM(ModelSettings(str(tiny_llama), dtype="float32", attn_implementation="eager"), SETTINGS, "cpu")
    assert lm._on_supervised_only
    batch = collate([conversations()], 70)
    logits = lm.network(
        input_ids=torch.from_numpy(batch.input_ids_BT),
        position_ids=torch.from_numpy(batch.position_ids_BT),
        use_cache=False,
    ).logits.flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(
        logits[batch.predict_S], torch.from_numpy(batch.labels_S), reduction="sum"
    )
    assert lm.sum_nats(batch).item() == pytest.approx(expected.item(), rel=1e-6)
    lm._on_supervised_only = False
    assert lm.sum_nats(batch).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("plain", [True, False])
def test_a_loss_in_blocks_has_the_same_value_and_gradient(tiny_llama, monkeypatch, plain):
    lm = CausalLM(ModelSettings(str(tiny_llama), dtype="float32"), SETTINGS, "cpu")
    monkeypatch.setattr(head_loss, "fits", lambda head: plain)
    batch = collate([conversations()], 70)

    def value_and_gradient():
        lm.reset()
        loss = lm.sum_nats(batch)
        loss.backward()
        return loss.item(), lm.network.get_input_embeddings().weight.grad.clone()

    whole, gradient = value_and_gradient()
    monkeypatch.setattr(head_loss, "LOGITS_AT_ONCE", 4 * VOCABULARY)
    monkeypatch.setattr(head_loss, "_VOCABULARY_AT_ONCE", 10)
    blocks, gradient_in_blocks = value_and_gradient()
    assert blocks == pytest.approx(whole, rel=1e-6)
    assert (gradient - gradient_in_blocks).abs().max() < 1e-5


def gradients_of(lm, batch):
    lm.reset()
    loss = lm.sum_nats(batch)
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in lm.network.named_parameters()}


@pytest.mark.parametrize("kept", [True, False])
def test_attention_by_conversation_changes_no_loss_and_no_gradient_beyond_rounding(tmp_path, monkeypatch, kept):
    import torch

    folder = save_tiny_llama(tmp_path / "grouped", num_attention_heads=4, num_key_value_heads=2)
    plain = CausalLM(ModelSettings(str(folder), dtype="float32", attn_implementation="eager"), SETTINGS, "cpu")
    ours = CausalLM(ModelSettings(str(folder), dtype="float32"), SETTINGS, "cpu")
    monkeypatch.setattr(causal_lm, "_KEPT_PROBABILITIES", 2**28 if kept else 0)
    monkeypatch.setattr(conversation_attention, "QUERIES", 5)
    assert (plain.attention, ours.attention) == ("eager", "conversations")
    batch = collate([conversations(), conversations(4, 1), conversations(3, 2)], 70)
    (loss, gradient), (expected, known) = gradients_of(ours, batch), gradients_of(plain, batch)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert all(torch.allclose(gradient[name], known[name], atol=1e-5, rtol=1e-4) for name in known)
    assert np.abs(ours.token_nats(batch).numpy() - plain.token_nats(batch).numpy()).max() < 1e-5


def test_a_window_shorter_than_a_row_keeps_the_models_own_attention(tmp_path):
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    for window, attention in ((8, "eager"), (64, "conversations")):
        config = MistralConfig(vocab_size=VOCABULARY, num_key_value_heads=1, sliding_window=window, **sizes)
        MistralForCausalLM(config).save_pretrained(tmp_path / str(window))
        lm = CausalLM(ModelSettings(str(tmp_path / str(window)), dtype="float32"), SETTINGS, "cpu")
        assert lm.attention == attention


def test_reset_puts_every_weight_back(tiny_llama):
    import torch

    lm = CausalLM(ModelSettings(str(tiny_llama)), SETTINGS, "cpu")
    before = {name: p.detach().clone() for name, p in lm.network.named_parameters()}
    with torch.no_grad():
        for p in lm.network.parameters():
            p.add_(1)
    lm.reset()
    assert all(torch.equal(p, before[name]) for name, p in lm.network.named_parameters())
    assert "model.norm.weight" in lm._base.places and not any("weight" in name for name in lm._base.copies)


def test_weights_that_the_files_hold_otherwise_are_kept_as_a_copy(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = save_tiny_llama(tmp_path / "renamed")
    stored = load_file(folder / "model.safetensors")
    lm = CausalLM(ModelSettings(str(folder)), SETTINGS, "cpu")
    stored["model.norm.weight"] = stored["model.norm.weight"] + 1  # as if transformers had changed it on its way
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    base = BaseWeights(lm.network, ModelSettings(str(folder)))
    assert "model.norm.weight" in base.copies and "model.norm.weight" not in base.places
    before = lm.network.model.norm.weight.detach().clone()
    with torch.no_grad():
        lm.network.model.norm.weight.zero_()
    base.restore(lm.network)
    assert torch.equal(lm.network.model.norm.weight, before)


def test_a_model_that_ignores_positions_is_refused_for_packing_and_accepted_without(tmp_path):
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    torch.manual_seed(0)
    config = BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=1, n_head=2, initializer_range=0.5)
    BloomForCausalLM(config).save_pretrained(tmp_path / "bloom")
    model = ModelSettings(str(tmp_path / "bloom"))
    with pytest.raises(ConfigError, match="attend to one another"):
        CausalLM(model, SETTINGS, "cpu")
    lm = CausalLM(model, dataclasses.replace(SETTINGS, packing=False), "cpu")
    assert np.isfinite(lm.token_nats(collate([[one] for one in conversations()])).numpy()).all()


def test_a_model_with_capped_logits_keeps_its_cap(tmp_path):
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.5, initializer_range=1.0,
    )  # fmt: skip
    Gemma2ForCausalLM(config).save_pretrained(tmp_path / "gemma")
    lm = CausalLM(ModelSettings(str(tmp_path / "gemma"), dtype="float32"), SETTINGS, "cpu")
    assert not lm._on_supervised_only


def test_a_row_longer_than_the_model_is_refused(tmp_path):
    folder = save_tiny_llama(tmp_path / "short", max_position_embeddings=16)
    with pytest.raises(ConfigError, match="16 positions"):
        CausalLM(ModelSettings(str(folder)), SETTINGS, "cpu")


def test_a_missing_model_is_one_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        CausalLM(ModelSettings(str(tmp_path / "empty")), SETTINGS, "cpu")


def test_dtype_overrides_bf16(tiny_llama):
    on = dataclasses.replace(SETTINGS, bf16=True)
    assert CausalLM(ModelSettings(str(tiny_llama)), on, "cpu").bfloat16
    assert not CausalLM(ModelSettings(str(tiny_llama), dtype="float32"), on, "cpu").bfloat16
    lm = CausalLM(ModelSettings(str(tiny_llama), dtype="bfloat16"), SETTINGS, "cpu")
    assert lm.bfloat16 and next(lm.network.parameters()).dtype.itemsize == 4
