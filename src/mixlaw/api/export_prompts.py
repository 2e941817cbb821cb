"""Weights found by numbers alone, as files of prompts for reinforcement learning and preference tuning.

The trainers of these read rows as they are and have no weights of their own, or only approximate ones. So each source
becomes a file with exactly as many rows as its share of the prompts: whole passes, then a remainder drawn without
replacement. Rows are copied unchanged, in a new order.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixlaw.core.checksums import FILES, checksums
from mixlaw.core.documents import read_document, sealed
from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.core.files import write_json, write_text
from mixlaw.core.mixture import Mixture
from mixlaw.core.suggestions import suggest

FACTS = "export.json"

_LINES, _PARQUET = (".jsonl", ".json"), (".parquet",)


@dataclass(frozen=True)
class PromptTool:
    """A trainer of prompts.

    Attributes:
        label: what it calls itself.
        suffixes: of files that it reads.
        config: the name and text of its configuration, from the files' names.
        command: what starts it, from the files' names.
    """

    label: str
    suffixes: tuple[str, ...]
    config: Callable[[list[str]], tuple[str, str]]
    command: Callable[[list[str]], str]


def _nemo_rl(files: list[str]) -> tuple[str, str]:
    data = {"shuffle": True, "train": [{"dataset_name": "ResponseDataset", "data_path": f"FOLDER/{f}"} for f in files]}
    text = yaml.safe_dump({"grpo": {"max_num_epochs": 1}, "data": data}, sort_keys=False, allow_unicode=True)
    return "nemo_rl.yaml", (
        "# For NeMo RL: put these keys into your configuration, beside `validation`, `default` (input_key,\n"
        "# output_key, processor, env_name) and the other keys of `data`; FOLDER is where this folder lies.\n" + text
    )


def _verl(files: list[str]) -> tuple[str, str]:
    data = {"train_files": [f"FOLDER/{name}" for name in files], "shuffle": True}
    text = yaml.safe_dump({"data": data, "trainer": {"total_epochs": 1}}, sort_keys=False, allow_unicode=True)
    return "verl.yaml", "# The same keys as in the command of README.md; FOLDER is where this folder lies.\n" + text


def _verl_command(files: list[str]) -> str:
    listed = ",".join(f"$PWD/{name}" for name in files)
    return (
        f'python3 -m verl.trainer.main_ppo "data.train_files=[{listed}]" data.shuffle=True trainer.total_epochs=1 '
        "data.val_files=... actor_rollout_ref.model.path=..."
    )


PROMPT_TOOLS = {
    "nemo-rl": PromptTool(
        "NeMo RL", _LINES[:1], _nemo_rl, lambda files: "uv run examples/run_grpo.py --config YOUR.yaml"
    ),
    "verl": PromptTool("verl", (*_PARQUET, *_LINES), _verl, _verl_command),
}
"""Tool -> what it reads. Source: docs/guides/grpo.md of NVIDIA-NeMo/RL (0.8) and verl/utils/dataset/rl_dataset.py of
verl (0.9.1), read in November 2026: both concatenate their training files and shuffle the rows."""


@dataclass(frozen=True)
class PromptExport:
    """What was written.

    Attributes:
        folder: where.
        files: name -> rows.
        passes: name -> how often a row of its source is seen on average.
        command: what starts the training there.
    """

    folder: Path
    files: Mapping[str, int]
    passes: Mapping[str, float]
    command: str


def export_prompts(
    solution: str | Path | Mapping[str, float],
    to: str,
    *,
    sources: Mapping[str, str | Path],
    prompts: int,
    seed: int = 0,
    out: str | Path,
) -> PromptExport:
    """Write files of prompts whose rows have the shares of a solution, and the tool's configuration.

    Args:
        solution: a solution.json (`mixlaw solve --out`), or source -> share.
        to: `nemo-rl` or `verl`.
        sources: source -> its file of prompts, as the tool reads it: JSONL, for verl also Parquet.
        prompts: how many rows in all; one epoch of the training.
        seed: of drawing and order.
        out: the folder; it must not exist yet.

    Raises:
        ConfigError: no such tool, a source without a file or a file without a source, a file that the tool does not
            read, or a folder that exists.
        DataError: a file is missing, empty or unreadable.
        MissingExtra: pyarrow is not installed, and a source is Parquet.
    """
    if to not in PROMPT_TOOLS:
        raise ConfigError(f"--to: there is no tool '{to}'.", f"Known: {', '.join(PROMPT_TOOLS)}.")
    tool, folder = PROMPT_TOOLS[to], Path(out)
    if folder.exists():
        raise ConfigError(f"{folder} already exists.", "Give another folder with --out, or move this one away.")
    weights = _weights(solution)
    counts = {name: n for name, n in Mixture(weights, prompts).tokens.items() if n > 0}
    _require_sources(counts, sources, tool)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.parent / f".{folder.name}-{os.getpid()}"
    new.mkdir()
    try:
        files, passes = {}, {}
        for place, (name, count) in enumerate(sorted(counts.items())):
            source = Path(sources[name])
            target = new / (_file_name(name) + source.suffix)
            if target.name in files:
                raise ConfigError(f"The file of '{name}' would have another source's name.", "Rename one of them.")
            there = _write(source, target, count, random.Random(f"{seed}/{place}/{name}"))
            files[target.name], passes[target.name] = count, count / there
        config, text = tool.config(list(files))
        write_text(new / config, text)
        command = tool.command(list(files))
        write_text(new / "README.md", _readme(tool, command, files, passes))
        facts = {"tool": to, "weights": weights, "prompts": prompts, "seed": seed, "rows": files, "passes": passes}
        written = sorted(path.name for path in new.iterdir())
        write_json(new / FACTS, sealed("export", facts | {FILES: checksums(new, written)}))
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return PromptExport(folder, files, passes, command)


def _weights(solution: str | Path | Mapping[str, float]) -> dict[str, float]:
    if isinstance(solution, Mapping):
        return {str(name): float(share) for name, share in solution.items()}
    return {str(name): float(share) for name, share in read_document(solution, "solution")["weights"].items()}


def _require_sources(counts: Mapping[str, int], sources: Mapping[str, str | Path], tool: PromptTool) -> None:
    for name in sources:
        if name not in counts:
            raise ConfigError(
                f"--source: '{name}' has no share in the mixture; {suggest(name, list(counts))}.", "Leave it out."
            )
    if missing := [name for name in counts if name not in sources]:
        raise ConfigError(f"'{missing[0]}' has a share, but no file.", f"Give it: --source {missing[0]}=prompts.jsonl.")
    for name in counts:
        path = Path(sources[name])
        if path.suffix not in tool.suffixes:
            raise ConfigError(
                f"'{name}': {tool.label} reads {' or '.join(tool.suffixes)} files, not {path}.", "Convert it."
            )
        if not path.is_file():
            raise DataError(f"'{name}': there is no file {path}.", "Check the path.")


def _chosen(count: int, there: int, rng: random.Random, source: Path) -> list[int]:
    """Return the rows to copy: whole passes and a remainder without replacement, in a new order."""
    if not there:
        raise DataError(f"{source} has no rows.", "Give a file with prompts.")
    whole, rest = divmod(count, there)
    chosen = list(range(there)) * whole + rng.sample(range(there), rest)
    rng.shuffle(chosen)
    return chosen


def _write(source: Path, target: Path, count: int, rng: random.Random) -> int:
    """Copy rows of a source, and return how many it has."""
    if source.suffix in _PARQUET:
        return _write_parquet(source, target, count, rng)
    lines = []
    for number, line in enumerate(source.read_bytes().split(b"\n"), 1):
        if line.strip():
            _require_object(line, f"{source}, line {number}")
            lines.append(line)
    chosen = _chosen(count, len(lines), rng, source)
    with open(target, "wb") as file:
        file.writelines(lines[i] + b"\n" for i in chosen)
    return len(lines)


def _file_name(name: str) -> str:
    """Return a source's name without characters that would lead out of a folder, or that a shell reads."""
    return re.sub(r"[^\w.+=-]+", "_", name).lstrip(".") or "_"


def _require_object(line: bytes, place: str) -> None:
    try:
        found = isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        found = False
    if not found:
        raise DataError(f"{place} is no JSON object.", "Write one object a line (JSONL).")


def _write_parquet(source: Path, target: Path, count: int, rng: random.Random) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", "Reading Parquet") from None
    try:
        table = parquet.read_table(source)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{source} is not a readable Parquet file: {error}.", "Write it again.") from None
    parquet.write_table(table.take(pa.array(_chosen(count, len(table), rng, source))), target)
    return len(table)


def _readme(tool: PromptTool, command: str, files: Mapping[str, int], passes: Mapping[str, float]) -> str:
    total = sum(files.values())
    lines = [f"# Prompts for {tool.label}, mixed by mixlaw", "", "Train one epoch on all of these files, shuffled:", ""]
    lines += ["```sh", command, "```", "", "| file | rows | share | passes over its source |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {count:,} | {100 * count / total:.1f} % | {passes[name]:.2f} |" for name, count in files.items()
    ]
    return "\n".join(lines) + "\n"


def shown(export: PromptExport) -> list[list[Any]]:
    """Return a row for each file: its name, its rows, their share in percent, and the passes over its source."""
    total = sum(export.files.values())
    return [
        [name, count, f"{100 * count / total:.1f} %", round(export.passes[name], 2)]
        for name, count in export.files.items()
    ]
