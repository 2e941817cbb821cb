"""Each method's mixture beside those that need no law: losses by domain and answers, with intervals over the seeds.

Differences are nats, other mixture minus the method's, so that above 0 the method is better; runs of one seed are a
pair (`mixlaw.evaluate.confirmation.difference`, 90 %). The goal is the mean of the losses, or what the YAML's
`solve: {target_weight: ...}` says. Differences of right answers are the method's minus the other's, in points of 100.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from experiments.controlled.downstream import OWN
from experiments.controlled.methods import has_law
from experiments.controlled.setting import Experiment
from experiments.controlled.training import answers_of, losses_of

from mixlaw.core.files import write_json
from mixlaw.core.runtable import RunTable
from mixlaw.evaluate.confirmation import difference

BASE = "base"
Z = 1.645
"""Of a 90 % interval of a normal distribution."""
Answers = Mapping[str, Sequence[Mapping[str, str]]]
"""Mixture -> of each seed: task -> 1 for each question answered right, 0 for the others."""


def write_against(experiment: Experiment, budgets: Sequence[str]) -> None:
    """Write against.json: budget -> mixtures, and what the methods gain on the others."""
    path = experiment.results / "methods.csv"
    table, losses = RunTable.from_csv(path), losses_of(path)
    domains, passes = table.targets, passes_of(table)
    known = json.loads((experiment.results / "methods.json").read_text(encoding="utf-8"))
    answers = answers_of(experiment)
    weights = experiment.mix.get("solve", {}).get("target_weight") or dict.fromkeys(domains, 1.0)
    goal_K = np.array([weights.get(name, 0.0) for name in domains]) / sum(weights.values())
    out: dict[str, Any] = {}
    for budget in budgets:
        there = losses.get(budget, {})
        seeds = [seed for seed in experiment.seeds if set(experiment.methods) <= set(there.get(seed, {}))]
        if not seeds:
            continue
        found = {name: np.array([there[seed][name] for seed in seeds]) for name in experiment.methods}
        out[budget] = {"seeds": len(seeds), **beside(found, domains, goal_K)}
        for name, mixture in out[budget]["mixtures"].items():
            mixture |= of_methods([known[f"{name}@{budget}#{seed}"] for seed in seeds])
            mixture["passes"] = dict(zip(table.domains, passes[f"{name}@{budget}#{seeds[0]}"], strict=True))
        runs = {name: [answers.get(f"{name}@{budget}#{seed}") for seed in seeds] for name in experiment.methods}
        if all(all(of) for of in runs.values()):
            out[budget]["questions"] = asked({name: [a for a in of if a] for name, of in runs.items()})
    write_json(experiment.results / "against.json", out)
    print(json.dumps({budget: found["gains"] for budget, found in out.items()}, indent=1))


def passes_of(table: RunTable) -> dict[str, list[float]]:
    """Return run -> how often it reads each domain's rows; nothing is known without a column of distinct tokens."""
    unique_RK = table.tokens_RK if table.unique_RK is None else table.unique_RK
    passes_RK = table.tokens_RK / np.maximum(unique_RK, 1)
    return dict(zip(table.runs, passes_RK.tolist(), strict=True))


def beside(losses: Mapping[str, np.ndarray], domains: Sequence[str], goal_K: np.ndarray) -> dict[str, Any]:
    """Return mixtures with their mean losses, and what each method gains on each mixture that needs no law.

    Args:
        losses: mixture -> (S, K) nats, `base` perhaps among them.
        domains: K names.
        goal_K: what each domain's loss counts; sums to 1.
    """
    base_K = losses[BASE].mean(axis=0) if BASE in losses else None
    mixtures = {}
    for name, loss_SK in losses.items():
        mean_K = loss_SK.mean(axis=0)
        mixtures[name] = {
            "losses": dict(zip(domains, mean_K.tolist(), strict=True)),
            "mean": float(mean_K.mean()),
            "goal": float(mean_K @ goal_K),
        }
        if base_K is not None:
            worst = int((mean_K / base_K).argmax())
            percent = 100 * float(mean_K[worst] / base_K[worst] - 1)
            mixtures[name]["worst_against_base"] = {"domain": domains[worst], "percent": percent}
    trained = {name: loss_SK for name, loss_SK in losses.items() if name != BASE}
    means = {name: loss_SK.mean(axis=1) for name, loss_SK in trained.items()}
    goals = {name: loss_SK @ goal_K for name, loss_SK in trained.items()}
    gains: dict[str, Any] = {}
    for name in filter(has_law, trained):
        for other in (other for other in trained if not has_law(other)):
            gains.setdefault(name, {})[other] = {
                "mean": difference(means, other, name),
                "goal": difference(goals, other, name),
                "by_domain": {
                    domain: difference({one: of[:, k] for one, of in trained.items()}, other, name)
                    for k, domain in enumerate(domains)
                },
            }
    return {"mixtures": mixtures, "gains": gains}


def of_methods(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a method's weights, mean, least and most over the seeds, and its cost."""
    names = list(found[0]["weights"])
    table = np.array([[one["weights"][name] for name in names] for one in found])
    return {
        "weights": {name: [float(f(table[:, k])) for f in (np.mean, np.min, np.max)] for k, name in enumerate(names)},
        "cost_percent": 100 * float(np.mean([one["cost"] for one in found])),
        "failed": sum("error" in one for one in found),
        "warnings": sorted({text for one in found for text in one.get("warnings", ())}),
    }


def asked(answers: Answers) -> dict[str, Any]:
    """Return right answers by mixture and task, and differences between each method and the other mixtures.

    Groups are the public sets of questions, `public`, and those of rows held back, `own`: means over their tasks. The
    interval of a difference adds what other questions (paired by question) and other seeds would change.
    """
    tasks = list(next(iter(answers.values()))[0])
    groups = {"public": [t for t in tasks if not t.startswith(OWN)], "own": [t for t in tasks if t.startswith(OWN)]}
    groups = {group: of for group, of in groups.items() if of}
    right = {name: {task: _bits(of, task) for task in tasks} for name, of in answers.items()}
    out: dict[str, Any] = {
        "rows": {task: right[BASE if BASE in right else next(iter(right))][task].shape[1] for task in tasks},
        "mixtures": {
            name: {
                "tasks": {task: 100 * float(bits.mean()) for task, bits in of.items()},
                **{group: 100 * float(np.mean([of[t].mean() for t in names])) for group, names in groups.items()},
            }
            for name, of in right.items()
        },
        "gains": {},
    }
    for name in filter(has_law, right):
        for other in (other for other in right if not has_law(other)):
            out["gains"].setdefault(name, {})[other] = {
                group: _gain(right, names, name, other) for group, names in groups.items()
            }
    return out


def _bits(of: Sequence[Mapping[str, str]], task: str) -> np.ndarray:
    """Return (S, Q) right answers of a task's questions."""
    return np.array([[int(bit) for bit in one[task]] for one in of], float)


def _gain(right: Mapping[str, Mapping[str, np.ndarray]], tasks: Sequence[str], name: str, other: str) -> dict[str, Any]:
    """Return by how many points of 100 more a mixture answers right than another, with a 90 % interval."""
    pairs = [right[name][task].mean(axis=0) - right[other][task].mean(axis=0) for task in tasks]
    mean = float(np.mean([pair.mean() for pair in pairs]))
    questions = math.sqrt(sum(pair.var(ddof=1) / len(pair) for pair in pairs)) / len(pairs)
    scores = {
        one: np.mean([of[task].mean(axis=1) for task in tasks], axis=0) for one, of in right.items() if one != BASE
    }
    seeds = 0.0
    if other != BASE and len(scores[name]) > 1:
        high = difference(scores, name, other)["high"]
        seeds = high - mean if high is not None else 0.0
    half = math.hypot(Z * questions, seeds)
    return {"mean": 100 * mean, "low": 100 * (mean - half), "high": 100 * (mean + half)}
