"""Studies whose rows hold all that rows can hold, on the bundled base with a chat template that writes it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

import mixlaw

BASE = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% generation %}"
    "{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def trl_template(name: str) -> str:
    """Return a chat template that TRL ships."""
    return (Path(pytest.importorskip("trl").__file__).parent / "chat_templates" / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def base_with(tmp_path_factory):
    """Return the folder of the bundled base with ChatML's tokens and a chat template."""
    made: dict[str, Path] = {}

    def make(template: str) -> Path:
        if template not in made:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            folder = tmp_path_factory.mktemp("base") / "model"
            tokenizer = AutoTokenizer.from_pretrained(BASE)
            tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_end|>"})
            tokenizer.chat_template = template
            model = AutoModelForCausalLM.from_pretrained(BASE)
            model.resize_token_embeddings(len(tokenizer))
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[template] = folder
        return made[template]

    return make


def tool(name: str, key: str) -> dict:
    parameters = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
    return {"type": "function", "function": {"name": name, "description": f"do {name}", "parameters": parameters}}


def call(name: str, **arguments) -> dict:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


def turn(role: str, content: str, **more) -> dict:
    return {"role": role, "content": content, **more}


def rich_rows(count: int, seed: int = 0) -> list[dict]:
    """Return rows of plain turns, and rows with tools, calls, reasoning, weights, a system turn and history."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        name, key = rng.choice([("weather", "city"), ("search", "query")])
        asked, answer = turn("user", f"question {i}?"), turn("assistant", f"answer {i} " + "so on " * rng.randrange(6))
        called = turn("assistant", "", tool_calls=[call(name, **{key: f"Paris {i}"})])
        result = turn("tool", f'{{"value": {i}}}', name=name, tool_call_id=f"call_{name}")
        kind = i % 5
        if kind == 0:
            rows.append({"messages": [turn("system", "Be brief."), asked, answer]})
        elif kind == 1:
            rows.append({"messages": [asked, called, result, answer], "tools": [tool(name, key)]})
        elif kind == 2:
            rows.append({"messages": [asked, answer | {"reasoning_content": f"thought {i}"}]})
        elif kind == 3:
            rows.append({"messages": [asked, turn("assistant", f"bad {i}", weight=0), turn("user", "again"), answer]})
        else:
            two = turn("assistant", "", tool_calls=[call(name, **{key: f"A {i}"}), call(name, **{key: f"B {i}"})])
            rows.append({"messages": [asked, two, result, result, answer], "tools": [tool(name, key)]})
    return rows


def plain_rows(count: int, tag: str) -> list[dict]:
    return [
        {
            "messages": [
                turn("user", f"{tag} question {i}"),
                turn("assistant", f"{tag} answer {i} " + "and on " * (i % 5)),
            ]
        }
        for i in range(count)
    ]


@pytest.fixture
def study(tmp_path, base_with):
    """Write a mix.yaml over domains of rows, and return its path."""

    def make(domains: dict[str, list[dict]], template: str = MARKED, more: str = "", **settings) -> Path:
        (tmp_path / "data").mkdir(exist_ok=True)
        for name, rows in domains.items():
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (tmp_path / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")
        shutil.copytree(base_with(template), tmp_path / "base", dirs_exist_ok=True)
        lines = "".join(f"  {name}: {{path: data/{name}.jsonl}}\n" for name in domains)
        path = tmp_path / "mix.yaml"
        path.write_text(
            f"study: study\nmodel: {{name_or_path: ./base}}\ndomains:\n{lines}budget_tokens: 6k\n"
            f"validation: {{rows: 5}}\ntrain: {{max_length: 512, per_device_train_batch_size: 2}}\n{more}"
        )
        return path

    return make
