"""Trains mixtures and experts and evaluates merges of their shares: OUT/runs.csv, a run table that grows run by run.

    python -m experiments.merged.collect OUT [--data FOLDER --domains commonsense sql medical] [--tokens 120k]
        [--expert-tokens 30k] [--steps 6] [--scale 1.5] [--seed 0]

The mixtures are the lattice of shares in steps of 1/STEPS, the domains alone included; without --data the domains are
those of `experiments/data`. A folder of --data holds DOMAIN.jsonl.gz with conversations. Begun again, it does what is
missing.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from experiments.data.cut import write_study

from mixlaw.api.project import Project
from mixlaw.core.run import EXPERT, Merge, RunSpec
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.study.store import Study


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--domains", nargs="+", default=["instruction", "math", "code"])
    parser.add_argument("--tokens", default="120k")
    parser.add_argument("--expert-tokens", default="30k")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--scale", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    wishes = parser.parse_args()
    project = opened(wishes)
    study = Study(wishes.out / "study")
    specs = planned(wishes, dict(project.trainer_config.inputs))
    study.save_plan(specs)
    trainer, records = project.trainer_config.build(), []
    for spec in specs:
        folder = study.run_folder(spec)
        if study.record(spec) is None:
            folder.mkdir(parents=True, exist_ok=True)
            study.complete(spec, trainer.run(spec, folder=folder), trainer.timing)
        record = study.record(spec)
        assert record is not None
        if spec.role != EXPERT:
            records.append(record)
            RunTable.from_records(records, wishes.domains, wishes.domains).to_csv(wishes.out / "runs.csv")
        print(spec.name, {name: round(loss.loss_nats, 3) for name, loss in record.losses.items()}, flush=True)


def opened(wishes: argparse.Namespace) -> Project:
    """Return a project on the settings of `experiments/data`, with the domains that are wanted."""
    config = write_study(wishes.out / "demo")
    if wishes.data is not None:
        text = config.read_text(encoding="utf-8")
        head, rest = text.split("domains:\n", 1)
        lines = "".join(f"  {name}: {{path: {wishes.data / f'{name}.jsonl.gz'}}}\n" for name in wishes.domains)
        config = config.with_name("other.yaml")
        config.write_text(head + "domains:\n" + lines + rest[rest.index("\nvalidation") :], encoding="utf-8")
    return Project.open(config, print)


def planned(wishes: argparse.Namespace, inputs: dict[str, str]) -> list[RunSpec]:
    """Return experts, mixtures and merges, mixtures and their merges in turn."""
    total, expert, K = parse_tokens(wishes.tokens), parse_tokens(wishes.expert_tokens), len(wishes.domains)
    seed, domains = wishes.seed, wishes.domains
    experts = {name: RunSpec(f"expert-{name}", {name: expert}, seed, inputs, EXPERT) for name in domains}
    ids = {name: spec.id for name, spec in experts.items()}
    specs = list(experts.values())
    lattice = [c for c in itertools.product(range(wishes.steps + 1), repeat=K) if sum(c) == wishes.steps]
    # Mixtures in the middle first: they tell most where time ends.
    for steps in sorted(lattice, key=lambda c: (sum((x - wishes.steps / K) ** 2 for x in c), c)):
        shares = {name: x / wishes.steps for name, x in zip(domains, steps, strict=True)}
        name = "-".join(map(str, steps))
        stands_for = {d: round(x * expert * K) for d, x in shares.items()}
        tokens = {d: round(x * total) for d, x in shares.items() if x}
        specs.append(RunSpec(f"merge-{name}", stands_for, seed, inputs, merge=Merge(ids, shares, wishes.scale)))
        specs.append(RunSpec(f"mix-{name}", tokens, seed, inputs))
    return specs


if __name__ == "__main__":
    main()
