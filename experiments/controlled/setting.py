"""An experiment's YAML read: its domains' files, cut where it says so, and the folder of its tables.

`collection: FILE` is where the files of the domains come from: rows of many domains, with a column that names them.
`rows: 600` beside a domain's path takes the first 600 rows of the file; `held_back: 100` takes the last 100 of every
domain out of the training data, or `{math: 100}` of that one, for questions about them
(`experiments.controlled.downstream`).
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixlaw.api.project import Project
from mixlaw.core.files import atomic_open
from mixlaw.evaluate.baselines import grid


@dataclass(frozen=True)
class Experiment:
    """What the YAML says, and where runs are kept."""

    folder: Path
    results: Path
    mix: dict[str, Any]
    seeds: list[int]
    budgets: list[str]
    published_part: float
    workers: int | None
    drawn: int | None
    methods: list[str]
    said: Mapping[str, Any] = field(default_factory=dict)

    def grid(self, domains: list[str]) -> dict[str, dict[str, float]]:
        """Return the mixtures that are trained: name -> domain -> share; no share is the base model."""
        if self.said.get("alone"):
            alone = {f"all-{name}": {other: float(other == name) for other in domains} for name in domains}
            return {**alone, "equal": dict.fromkeys(domains, 1 / len(domains)), "base": {}}
        if self.drawn is None:
            return grid(domains)
        shares_MK = np.random.default_rng([0, 30]).dirichlet(np.ones(len(domains)), self.drawn)
        rows = (0.9 * shares_MK + 0.1 / len(domains)).tolist()  # none without a domain
        return {f"drawn-{i:02d}": dict(zip(domains, row, strict=True)) for i, row in enumerate(rows)}

    def project(self, name: str, budget: str, **more: dict[str, Any]) -> Project:
        """Return the project of one configuration, with its own study; `train` is added to the YAML's."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "mix.yaml"
        tree = {"study": "study", "budget": budget, **self.mix, **more}
        tree["train"] = {**self.mix.get("train", {}), **more.get("train", {})}
        text = yaml.safe_dump(tree, sort_keys=False)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        return Project.open(path, lambda text: None)


def experiment_of(
    file: Path,
    folder: Path,
    usual: Sequence[str],
    *,
    workers: int | None = None,
    data: Path | None = None,
    model: Path | None = None,
) -> Experiment:
    """Return the experiment of a YAML.

    Args:
        file: the YAML.
        folder: where runs are kept.
        usual: the methods where the YAML names none.
        workers: training processes.
        data: folder of the domains' files; None for those of the YAML's collection, or the YAML's own folder.
        model: folder of the model; None for the one that the YAML names.
    """
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    here = file.parent.resolve()
    mix = dict(said["mix"])
    mix["model"] = {"name_or_path": str((model or here / mix["model"]["name_or_path"]).resolve())}
    if data is None and "collection" in said:
        data = unpacked(here / said["collection"], folder / "data" / "collection")
    sources = {name: (data or here).resolve() / node["path"] for name, node in mix["domains"].items()}
    back = said.get("held_back", 0)
    back = back if isinstance(back, dict) else dict.fromkeys(sources, back)
    mix["domains"] = {
        name: {"path": str(cut(sources[name].resolve(), folder / "data", node.get("rows"), back.get(name, 0)))}
        for name, node in mix["domains"].items()
    }
    results = here if file.stem == "controlled" else here / file.stem
    results.mkdir(exist_ok=True)
    return Experiment(
        folder,
        results,
        mix,
        said["seeds"],
        said["budgets"],
        said.get("published_part", 12),
        workers,
        said.get("drawn"),
        said.get("methods", list(usual)),
        {**said, "sources": sources, "held_back": back},
    )


def unpacked(collection: Path, folder: Path) -> Path:
    """Return the folder with a file DOMAIN.jsonl.gz for each domain of a collection, written the first time."""
    if not folder.exists():
        rows: dict[str, list[str]] = {}
        for line in lines_of(collection):
            row = json.loads(line)
            rows.setdefault(row.pop("domain"), []).append(json.dumps(row, ensure_ascii=False) + "\n")
        new = folder.with_name(f".{folder.name}.{os.getpid()}")
        new.mkdir(parents=True)
        for name, lines in rows.items():
            (new / f"{name}.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
        new.rename(folder)
    return folder


def cut(source: Path, folder: Path, rows: int | None, back: int) -> Path:
    """Return a file of a source's first rows without those held back; the source itself where nothing is cut."""
    if rows is None and not back:
        return source
    path = folder / f"{source.name.partition('.')[0]}-{rows or 'all'}-{back}.jsonl.gz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = lines_of(source)
        text = "".join(itertools.islice(lines[: len(lines) - back], rows))
        with atomic_open(path, "wb") as file:
            file.write(gzip.compress(text.encode(), mtime=0))
    return path.resolve()


def lines_of(source: Path) -> list[str]:
    """Return the rows of a JSONL file, packed or not."""
    text = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    return [line + "\n" for line in text.decode().split("\n") if line]


def held_back(experiment: Experiment) -> dict[str, list[str]]:
    """Return the rows of each domain that no run trains on."""
    sources, back = experiment.said["sources"], experiment.said["held_back"]
    return {name: lines_of(sources[name].resolve())[-n:] for name, n in back.items() if n}
