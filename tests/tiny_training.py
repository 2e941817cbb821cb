"""A random tiny Llama and random tokenised rows, for tests that really train: a run takes about a tenth of a second."""

from __future__ import annotations

from pathlib import Path

from mixlaw.core.run import RunSpec
from mixlaw.testing._training_case import VOCABULARY, write_rows
from mixlaw.train.settings import ModelSettings, TrainSettings
from mixlaw.train.trainer_config import TrainerConfig

SETTINGS = TrainSettings(
    learning_rate=3e-3, max_length=48, per_device_train_batch_size=4, per_device_eval_batch_size=8, bf16=False
)


def save_tiny_llama(folder: Path, **changes: int) -> Path:
    """Save a Llama of about 30,000 random parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
        **{"num_key_value_heads": 2, "max_position_embeddings": 512, **sizes, **changes},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_config(folder: Path, domains: tuple[str, ...] = ("code", "math"), rows: int = 120) -> TrainerConfig:
    """Return the configuration of a tiny model and two domains, on disk under `folder`."""
    model = folder / "model"
    if not model.exists():
        save_tiny_llama(model)
    train = {name: write_rows(folder / "train" / name, rows, i) for i, name in enumerate(domains)}
    validation = {name: write_rows(folder / "validation" / name, 12, 50 + i) for i, name in enumerate(domains)}
    return TrainerConfig.of(ModelSettings(str(model)), SETTINGS, train, validation)


def make_specs(config: TrainerConfig, counts: tuple[int, ...] = (400, 800), seed: int = 0) -> list[RunSpec]:
    """Return one run a count, `run-<count>`, with that many tokens of every domain."""
    return [RunSpec(f"run-{n}", dict.fromkeys(config.train_rows, n), seed, dict(config.inputs)) for n in counts]
