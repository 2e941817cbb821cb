"""Trains the bundled tiny base model: about a million parameters, a few minutes on two cores.

    python examples/tiny_base/pretrain.py TEXT_DIR OUT_DIR [--tokens 10e6] [--threads 2]

TEXT_DIR holds general_english.txt.gz and code_python.txt.gz, documents separated by a line `<|endoftext|>`. README.md
beside this file says what they are. Seeded: the same texts, package versions and kind of processor give the same model.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
from tokenizer import END, END_OF_TEXT, PAD, train_tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROW, BATCH, HELD_OUT_EVERY = 256, 16, 100
PEAK_RATE, WARM_UP = 3e-3, 0.02


def documents(path: Path) -> list[str]:
    """Return the documents of one text file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [text.strip("\n") for text in file.read().split(END_OF_TEXT + "\n") if text.strip()]


def shape(vocabulary: int, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Return a Llama of 1.05M parameters, a quarter of them in the tied embeddings."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        initializer_range=0.04,
        attn_implementation="eager",
    )


def rows(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    """Return (training, held-out) rows of ROW + 1 tokens; whole documents are held out, every hundredth."""
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    parts: tuple[list[int], list[int]] = ([], [])
    for i, ids in enumerate(encoded):
        parts[i % HELD_OUT_EVERY == 7].extend([*ids, end])
    width = ROW + 1
    return tuple(np.array(p[: len(p) // width * width], np.int64).reshape(-1, width) for p in parts)  # type: ignore


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, data: np.ndarray) -> float:
    """Return nats per token."""
    model.eval()
    losses = []
    for block in torch.from_numpy(data[:128]).split(32):
        logits = model(block[:, :-1]).logits.float()
        losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), block[:, 1:].flatten()))
    model.train()
    return float(torch.stack(losses).mean())


def train(model: LlamaForCausalLM, data: np.ndarray, held: dict[str, np.ndarray], tokens: int) -> list[dict]:
    """Train for a number of tokens (passes over the rows, reshuffled) and return the log."""
    decay = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=0.0, betas=(0.9, 0.95)
    )
    steps = tokens // (ROW * BATCH)
    rng, order, log, start = np.random.default_rng(0), np.zeros(0, int), [], time.time()
    for step in range(steps):
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(data))])
        block, order = torch.from_numpy(data[order[:BATCH]]), order[BATCH:]
        done = step / steps
        rate = PEAK_RATE * min(1, (step + 1) / (WARM_UP * steps)) * (0.05 + 0.95 * (1 + np.cos(np.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(block[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), block[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 0 or step == steps - 1:
            entry = {"tokens": (step + 1) * ROW * BATCH, "loss": loss.item(), "seconds": round(time.time() - start)}
            entry |= {f"held_out_{name}": held_out_loss(model, text_rows) for name, text_rows in held.items()}
            log.append(entry)
            print(json.dumps(entry), flush=True)
    return log


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("text_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--tokens", type=float, default=10e6)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    english = documents(arguments.text_dir / "general_english.txt.gz")
    code = documents(arguments.text_dir / "code_python.txt.gz")
    tokenizer = train_tokenizer([text[:20_000] for text in english] + code)
    english_rows, english_held = rows(english, tokenizer)
    code_rows, code_held = rows(code, tokenizer)
    print(f"rows of {ROW}: English {len(english_rows)}, code {len(code_rows)}", flush=True)
    # Code twice: it is a tenth of the text and a third of what fine-tuning asks for.
    data = np.concatenate([english_rows, code_rows, code_rows])
    model = LlamaForCausalLM(shape(len(tokenizer), tokenizer))
    log = train(model, data, {"english": english_held, "code": code_held}, int(arguments.tokens))
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id, max_new_tokens=128
    )
    model.to(torch.float16).save_pretrained(arguments.out_dir)
    tokenizer.save_pretrained(arguments.out_dir)
    (arguments.out_dir / "pretraining.json").write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
