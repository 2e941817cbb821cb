"""Load exported configurations with the tools' own loaders and count tokens by domain. Adds to results.json.

    python -m bench.exports.check prepare FOLDER        in mixlaw's environment: a study without training, all exports
    python bench/exports/check.py trl FOLDER            in an environment with the tool
    python bench/exports/check.py llamafactory FOLDER
    python bench/exports/check.py datasets FOLDER

Weights .2 / .5 / .3 at 700k tokens of three domains of `experiments/data`: math repeats. The tool loads; every row is
then recognised by its text and counted with the same tokens for all tools.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

WEIGHTS = {"instruction": 0.2, "math": 0.5, "code": 0.3}
BUDGET = 700_000
RESULTS = Path(__file__).parent / "results.json"


def key(messages: list[dict[str, str]]) -> str:
    """Return what a conversation is recognised by: its contents in order."""
    text = "\x1f".join(str(m.get("content", m.get("value"))).strip() for m in messages)
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(folder: Path) -> None:
    """Write the study with uncompressed copies of its data, all exports, and the tokens of every conversation."""
    from experiments.data.cut import write_study

    from mixlaw.api.export import export
    from mixlaw.api.project import Project
    from mixlaw.core.errors import ConfigError
    from mixlaw.data.exports import TOOLS

    config = write_study(folder)
    for path in sorted((folder / "data").glob("*.jsonl.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    config.write_text(config.read_text().replace(".jsonl.gz}", ".jsonl}"))
    project = Project.open(config)
    facts = {}
    for tool in TOOLS:
        for by_reference in (False, True):
            name = f"{tool}{'-by-reference' if by_reference else ''}"
            try:
                done = export(
                    project,
                    tool,
                    by_reference=by_reference,
                    budget=BUDGET,
                    weights=WEIGHTS,
                    shards=1 if by_reference else 3,
                    out=folder / "exports" / name,
                )
                facts[name] = {"drift": done.facts["drift"]}
            except ConfigError as error:
                facts[name] = {"refused": str(error)}
    tokens = {}
    from mixlaw.data.prepare import conversations

    for name, domain in project.domains.items():
        rows = [(m.messages, project.tokenizer.loaded.render(m, row.place)) for row, m, _ in conversations(domain)]
        encoded = project.tokenizer.loaded.encode([text for _, text in rows], project.config.train.max_length)
        for (messages, _), one in zip(rows, encoded, strict=True):
            tokens[key(messages)] = [name, len(one.ids)]
    (folder / "tokens.json").write_text(json.dumps(tokens))
    (folder / "facts.json").write_text(json.dumps(facts))


def trl_rows(folder: Path) -> list[list[dict[str, str]]]:
    """Load sft.yaml as `trl sft` does: its parser, then get_dataset."""
    from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser, get_dataset

    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    arguments = ["--config", str(folder / "sft.yaml")]
    *_, mixture = parser.parse_args_and_config(args=arguments)
    return [row["messages"] for row in get_dataset(mixture)["train"]]


def llamafactory_rows(folder: Path) -> list[list[dict[str, str]]]:
    """Load sft.yaml's data as `llamafactory-cli train` does, up to tokenising."""
    import yaml
    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    config = yaml.safe_load((folder / "sft.yaml").read_text())
    data = DataArguments(
        dataset=config["dataset"],
        dataset_dir=config["dataset_dir"],
        mix_strategy=config["mix_strategy"],
        cutoff_len=config["cutoff_len"],
    )
    model = ModelArguments(model_name_or_path=config["model_name_or_path"])
    training = Seq2SeqTrainingArguments(output_dir=config["output_dir"], seed=config["seed"], use_cpu=True)
    merged = _get_merged_dataset(data.dataset, model, data, training, stage="sft")
    return [[*row["_prompt"], *row["_response"]] for row in merged]


def datasets_rows(folder: Path) -> list[list[dict[str, str]]]:
    """Load the mixture's folder with its card, as a data set of the hub is loaded."""
    from datasets import load_dataset

    mixture = json.loads((folder / "export.json").read_text())["mixture"]
    return [row["messages"] for row in load_dataset(mixture, split="train")]


def check(tool: str, folder: Path) -> None:
    """Count the tokens that a tool has loaded, by domain, and compare the shares with those asked for."""
    known = json.loads((folder / "tokens.json").read_text())
    facts = json.loads((folder / "facts.json").read_text())
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    load = {"trl": trl_rows, "llamafactory": llamafactory_rows, "datasets": datasets_rows}[tool]
    for name in [tool, f"{tool}-by-reference"] if tool != "datasets" else ["trl"]:
        os.chdir(folder / "exports" / name)  # paths in a configuration are relative
        rows = load(folder / "exports" / name)
        counted = dict.fromkeys(WEIGHTS, 0)
        for messages in rows:
            domain, tokens = known[key(messages)]
            counted[domain] += tokens
        total = sum(counted.values())
        off = {d: counted[d] / total - w for d, w in WEIGHTS.items()}
        stated = facts[name]["drift"] or dict.fromkeys(WEIGHTS, 512 / BUDGET)
        results[tool if tool == "datasets" else name] = {
            "versions": {p: version(p) for p in dict.fromkeys([tool, "datasets", "transformers"])},
            "rows": len(rows),
            "tokens": counted,
            "budget": BUDGET,
            "share_minus_wanted": {d: round(v, 6) for d, v in off.items()},
            "stated_drift": {d: round(v, 6) for d, v in stated.items()},
            "within": all(abs(off[d]) <= stated[d] for d in WEIGHTS),
        }
        print(name, results[tool if tool == "datasets" else name])
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2]).resolve()
    prepare(where) if what == "prepare" else check(what, where)
