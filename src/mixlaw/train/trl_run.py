"""The child process of the trainer `trl`: train one run with TRL's SFTTrainer, evaluate it, write result.json.

python -m mixlaw.train.trl_run spec.json        or, on several GPUs,
accelerate launch --num_processes 4 -m mixlaw.train.trl_run spec.json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.documents import read_document, write_document
from mixlaw.data.rows import TokenRows
from mixlaw.train.causal_lm import CausalLM, uses_bfloat16
from mixlaw.train.evaluation import ValidationSet
from mixlaw.train.saving import save_model
from mixlaw.train.schedule import rate_factor
from mixlaw.train.settings import ModelSettings, TrainSettings

_UNSUPERVISED = -100

_NOT_OF_TRL = ("bf16", "warmup_ratio", "eval_rows", "per_device_eval_batch_size")
"""Settings that mixlaw sees to itself; the names of the others are those of SFTConfig."""


_STEPPED_ON = 8
"""Conversations on which a model that is not to be trained takes its one step, at the rate 0. No data."""


def rows_of(spec: dict[str, Any]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the token ids and labels of a run's conversations, in training order.

    Of a run that trains nothing, some of the validation rows: whatever spreads the model over processes does so when it
    begins to train, so it takes one step of rate 0, which changes nothing.
    """
    domains = [TokenRows.open(folder) for folder in spec["train_rows"]]
    order = np.load(spec["order"])
    if not spec["train_model"]:
        domains = [TokenRows.open(folder) for folder in spec["validation_rows"].values()]
        order = [(0, row) for row in range(min(len(domains[0].row_tokens), _STEPPED_ON))]
    ids, labels = [], []
    for domain, row in order:
        rows = domains[domain]
        start, end = int(rows.offsets[row]), int(rows.offsets[row + 1])
        tokens = np.asarray(rows.ids[start:end], np.int64)
        label = np.where(np.asarray(rows.supervised[start:end]) > 0, tokens, _UNSUPERVISED)
        label[:1] = _UNSUPERVISED  # nothing predicts a conversation's first token, packed or not
        ids.append(tokens.tolist())
        labels.append(label.tolist())
    return ids, labels


def train(spec: dict[str, Any]) -> None:
    """Train and evaluate a run; the first process writes the result."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTTrainer  # pyright: ignore[reportPrivateImportUsage] - its lazy exports

    model, settings = ModelSettings.from_json(spec["model"]), TrainSettings.from_json(spec["train"])
    options = spec["trl"]
    ids, labels = rows_of(spec)
    counted = sum(label != _UNSUPERVISED for row in labels for label in row) if spec["train_model"] else 0
    if counted != spec["supervised_tokens"]:
        raise SystemExit(f"{counted} supervised tokens, {spec['supervised_tokens']} were planned")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bfloat16 = uses_bfloat16(model, settings, device)
    # FlashAttention sees packed conversations apart in half precision; other kernels get a mask from the positions.
    attention = "sdpa" if model.attn_implementation == "auto" else model.attn_implementation
    network = AutoModelForCausalLM.from_pretrained(
        model.name_or_path,
        revision=model.revision or "main",
        dtype=torch.float32 if options["peft"] is None else torch.bfloat16 if bfloat16 else torch.float32,
        attn_implementation=attention,
        use_safetensors=True,
    )
    trainer = _with_schedule(SFTTrainer, settings, 1.0 if spec["train_model"] else 0.0)(
        model=network,
        args=_config(spec, settings, bfloat16, device.type == "cpu"),
        train_dataset=Dataset.from_dict({"input_ids": ids, "labels": labels}),
        processing_class=AutoTokenizer.from_pretrained(model.name_or_path, revision=model.revision or "main"),
        peft_config=_lora(options["peft"]),
    )
    steps = trainer.train().global_step if spec["train_model"] else _at_rest(trainer)
    trained = trainer.model_wrapped if trainer.accelerator.num_processes > 1 else trainer.model
    trained.eval()
    lm = CausalLM.around(trained, model, settings, trainer.accelerator.device, bfloat16)
    losses = {}
    for name, folder in spec["validation_rows"].items():
        loss = ValidationSet.of(name, TokenRows.open(folder), settings).evaluate(lm)
        losses[name] = {"nats": loss.nats, "count": loss.count, "bytes": loss.bytes}
    if spec.get("model_folder") and trainer.accelerator.is_main_process:
        network = trainer.accelerator.unwrap_model(trainer.model)
        save_model(network, model.name_or_path, model.revision, Path(spec["model_folder"]))
    if trainer.accelerator.is_main_process:
        parameters = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
        write_document(spec["result"], "result", {"losses": losses, "steps": steps, "parameters": parameters})


def _config(spec: dict[str, Any], settings: TrainSettings, bfloat16: bool, cpu: bool) -> Any:
    from trl import SFTConfig  # pyright: ignore[reportPrivateImportUsage] - its lazy exports

    return SFTConfig(
        output_dir=spec["output_dir"],
        seed=spec["seed"],
        **{name: value for name, value in settings.to_json().items() if name not in _NOT_OF_TRL},
        bf16=bfloat16,
        use_cpu=cpu,
        save_strategy="no",
        **{"gradient_checkpointing": False, "report_to": "none", "disable_tqdm": True, **spec["trl"]["sft"]},
    )


def _at_rest(trainer: Any) -> int:
    """Let the trainer prepare its model without changing it; return the steps that it has been trained."""
    trainer.args.max_steps = 1
    trainer.train()
    return 0


def _with_schedule(trainer: Any, settings: TrainSettings, peak: float) -> Any:
    """Return the trainer's class with the schedule of `native`: Hugging Face's first step of a warm-up has rate 0.

    The peak is in parts of the learning rate: 1, or 0 where nothing is to be learnt.
    """
    from torch.optim.lr_scheduler import LambdaLR

    class Scheduled(trainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, lambda step: peak * rate_factor(step, num_training_steps, settings)
            )
            return self.lr_scheduler

    return Scheduled


def _lora(keys: dict[str, Any] | None) -> Any:
    if keys is None:
        return None
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", **keys})


if __name__ == "__main__":
    train(read_document(sys.argv[1], "trl_spec"))
