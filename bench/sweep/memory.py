"""Peak memory of one worker that fine-tunes a model of 135M parameters, now and before.

    python -m bench.sweep.memory [--arms now,before,...] [--before COMMIT] [--model FOLDER] [--rounds 1]

The shape is SmolLM2-135M's (30 layers of width 576, 9 heads on 3, vocabulary 49,152, tied), its weights are random: for
memory and seconds they do not matter. Two steps of four full rows of 512 tokens, half of them supervised, bfloat16,
one thread, then the evaluation of eight conversations; each arm in a process of its own.

before          the code of an earlier commit
now             the code of this checkout
checkpointing   the same with gradient_checkpointing
lora            the same with an adapter of rank 16 on all linear layers
sft, sft_lora   TRL's SFTTrainer in bfloat16 on the same conversations, packed, in full and with the same adapter

With --model the weights are those of a folder, such as SmolLM2-135M itself. Arms are measured in turn, --rounds times.
The seconds are CPU seconds of training and evaluation; imports and loading are not counted in any arm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.record import ROOT, stamp

HERE = Path(__file__).parent
ARMS = ("before", "now", "checkpointing", "lora", "sft", "sft_lora")
BEFORE = "9f954eb"
OPTIONS: dict[str, dict[str, Any]] = {
    "checkpointing": {"gradient_checkpointing": True},
    "lora": {"peft": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}},
    "sft_lora": {"peft": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}},
}
SETTINGS = """
import json, resource, sys, tempfile, time
from pathlib import Path
import numpy as np
from mixlaw.core.run import RunSpec
from mixlaw.testing._training_case import write_rows
from mixlaw.train.settings import ModelSettings, TrainSettings
from mixlaw.train.trainer_config import TrainerConfig
model, options, folder = sys.argv[1], json.loads(sys.argv[2]), Path(tempfile.mkdtemp())
settings = TrainSettings(learning_rate=1e-5, max_length=512, per_device_train_batch_size=4, bf16=True)
rows = {"math": write_rows(folder / "train", 400, 0, shortest=100, longest=512)}
validation = {"math": write_rows(folder / "validation", 8, 1, shortest=100, longest=512)}
config = TrainerConfig.of(ModelSettings(model), settings, rows, validation, options=options)
spec = RunSpec("one", {"math": 2 * 4 * 512}, 0, dict(config.inputs))
"""
OURS = """
trainer = config.build()
began = time.process_time()
record = trainer.run(spec, folder=folder)
tokens, loss = sum(record.tokens.values()), record.losses["math"].loss_nats
"""
THEIRS = """
import torch
from bench.sweep.theirs import arguments, conversations
from mixlaw.data.rows import TokenRows
import mixlaw.demo
from mixlaw.train.sample import conversation, draw_sample, training_order
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
opened = {"math": TokenRows.open(rows["math"])}
sample = draw_sample(spec, opened, settings)
chosen = [conversation(opened[domain], row) for domain, row in training_order(spec, sample, 0)]
held_out = TokenRows.open(validation["math"])
peft = LoraConfig(task_type="CAUSAL_LM", **options["peft"]) if options else None
told = arguments(settings, 0, str(folder)) | {"max_length": 512, "packing": True, "eval_packing": False}
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
    args=SFTConfig(**told, gradient_checkpointing=False),
    train_dataset=conversations(chosen),
    eval_dataset=conversations([conversation(held_out, row) for row in range(len(held_out))]),
    processing_class=AutoTokenizer.from_pretrained(Path(mixlaw.demo.__file__).parent / "tiny_base"),
    peft_config=peft,
)
began = time.process_time()
trainer.train()
tokens, loss = sum(len(ids) for ids, _ in chosen), trainer.evaluate()["eval_loss"]
"""
TOLD = """
took = time.process_time() - began
peak = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")][0].split()[1]
print(json.dumps({"peak_gb": round(int(peak) / 1e6, 2), "cpu_s": round(took, 1), "tokens": tokens, "loss": loss}))
"""


def save_model(folder: Path) -> None:
    """Save a random model of SmolLM2-135M's shape, in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1_536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2_048,
        tie_word_embeddings=True,
        rope_parameters={"rope_theta": 100_000.0, "rope_type": "default"},
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def main() -> None:
    """Measure and write memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--before", default=BEFORE, help="the earlier commit")
    parser.add_argument("--model", type=Path, help="a folder; without it, random weights")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "memory.json")
    options = parser.parse_args()
    found = json.loads(options.out.read_text())["arms"] if options.out.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        model, old = options.model or Path(scratch) / "model", Path(scratch) / "old"
        if options.model is None:
            save_model(model)
        subprocess.run(["git", "worktree", "add", "--detach", "-q", str(old), options.before], cwd=ROOT, check=True)
        try:
            in_turn = [(arm, number) for number in range(options.rounds) for arm in options.arms.split(",")]
            for arm, number in in_turn:
                source = old / "src" if arm == "before" else ROOT / "src"
                environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
                environment["TMPDIR"] = scratch
                if arm in ("now", *OPTIONS) and not arm.startswith("sft"):  # as workers have it
                    environment |= {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
                child = SETTINGS + (THEIRS if arm.startswith("sft") else OURS) + TOLD
                command = [sys.executable, "-c", child, str(model), json.dumps(OPTIONS.get(arm, {}))]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr[-3000:])
                load = {"load": round(os.getloadavg()[0], 1)}
                key = f"{arm} {number + 1}" if options.rounds > 1 else arm
                found[key] = json.loads(done.stdout.strip().splitlines()[-1]) | load
                sys.stderr.write(f"{key}: {found[key]}\n")
                text = json.dumps(stamp("reporting", "0", {}) | {"before": options.before, "arms": found}, indent=1)
                options.out.write_text(text + "\n")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
