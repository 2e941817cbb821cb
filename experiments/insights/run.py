"""What the experiments' tables say beyond their own questions: writes insights.json, which the page reads.

    python -m experiments.insights.run [--data DATA] [--steps overlap helps weights relation repeats]

Everything is read from committed tables; only `overlap` reads rows: of the collection, or of DATA's files.

| step | reads | writes |
|---|---|---|
| `overlap` | the rows of DATA | share of one domain's runs of 1, 2, 3 words that another's rows have, too |
| `helps` | controlled/alone*/grid.csv | who helps whom, with the bundled base and SmolLM2 |
| `weights` | controlled/reweight/proxies.csv | the best weights over the budget |
| `relation` | what `overlap`, `helps` and `weights` have found | rank correlations of all pairs of domains |
| `repeats` | controlled/repeats/grid.csv | what a repeated row is worth |
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from experiments.controlled.setting import lines_of, unpacked
from experiments.controlled.training import losses_of, parts_of
from scipy.stats import rankdata

import mixlaw
from mixlaw.core.files import write_json
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.data.word_grams import words_of
from mixlaw.report.matrix import transfer_matrix

HERE = Path(__file__).parent
TABLES = HERE.parent / "controlled"
COLLECTION = HERE.parent / "data" / "collection.jsonl.gz"
NEEDS = {
    "helps": "alone/grid.csv",
    "weights": "reweight/proxies.csv",
    "relation": "alone/grid.csv",
    "repeats": "repeats/grid.csv",
}
"""Step -> the table that it reads; a step without its table is left out."""
MODELS = {"bundled": "alone", "smollm2": "alone_smollm2"}
WORDS = 25_000
"""Of each domain's rows, on either side: about half of what the smallest domains have. No data."""
RUNS_OF_WORDS = (1, 2, 3)
SHUFFLES = 10_000
BUDGETS, RANGE = ("250k", "1M", "4M"), "1M"
"""Those that are solved for, and the one at whose weights the law is asked who helps whom."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", nargs="+", default=["overlap", *NEEDS])
    wishes = parser.parse_args()
    path = HERE / "insights.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for step in wishes.steps:
        if step in NEEDS and not (TABLES / NEEDS[step]).exists():
            print(f"{step}: {NEEDS[step]} is not there yet")
            continue
        if step == "overlap":
            with tempfile.TemporaryDirectory() as scratch:
                found[step] = overlap(texts_in(wishes.data or unpacked(COLLECTION, Path(scratch) / "data")))
        elif step == "relation":
            found[step] = relation(found)
        else:
            found[step] = {"helps": all_helps, "weights": weights, "repeats": all_repeats}[step]()
        write_json(path, found)
    print(json.dumps({step: found[step] for step in wishes.steps if step in found}, indent=1)[:4000])


def texts_in(data: Path) -> dict[str, list[str]]:
    """Return each domain's conversations, prompts and answers, one text a row in the files' order."""
    found = {}
    for path in sorted(data.glob("*.jsonl.gz")):
        rows = [json.loads(line)["messages"] for line in lines_of(path)]
        texts = (" ".join(turn["content"] for turn in turns) for turns in rows)
        found[path.name.partition(".")[0]] = [" ".join(text.lower().split()) for text in texts]
    return found


def overlap(texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return run of words -> target -> source -> share of the target's runs that the source's rows have, too.

    Both sides are as many words: the source's are its first rows, the target's its last.
    """
    shares: dict[str, Any] = {str(n): {} for n in RUNS_OF_WORDS}
    first = {name: _grams(rows) for name, rows in texts.items()}
    last = {name: _grams(rows[::-1]) for name, rows in texts.items()}
    for target in texts:
        for n in RUNS_OF_WORDS:
            shares[str(n)][target] = {
                source: float(np.isin(last[target][n], first[source][n]).mean()) for source in texts
            }
    return {"words": WORDS, "shares": shares}


def _grams(texts: Sequence[str]) -> dict[int, np.ndarray]:
    """Return the runs of words of the first texts, `WORDS` of them in all."""
    kept, count = [], 0
    for text in texts:
        kept.append(text)
        count += text.count(" ") + 1
        if count >= WORDS:
            break
    words = words_of("\n".join(kept).encode())
    return {n: words.hashes[:WORDS] if n == 1 else words.grams(n)[0][:WORDS] for n in RUNS_OF_WORDS}


def all_helps() -> dict[str, Any]:
    """Return model -> losses of the base model and of each domain alone, and the help that they are."""
    tables = {model: TABLES / name / "grid.csv" for model, name in MODELS.items()}
    return {model: helps(path) for model, path in tables.items() if path.exists()}


def helps(path: Path) -> dict[str, Any]:
    """Return target -> source -> by how many nats training on the source alone takes the loss below the base model's.

    Below 0 it makes the target worse. No share of what the target's own domain gains, which may be nothing.
    """
    table = RunTable.from_csv(path)
    names = list(table.targets)
    means: dict[str, np.ndarray] = {}
    for mixture in [*(f"all-{name}" for name in names), "base", "equal"]:
        rows = [r for r, run in enumerate(table.runs) if parts_of(run)[0] == mixture]
        means[mixture] = table.losses_RJ[rows].mean(axis=0)
    base = means["base"]
    gains = {source: base - means[f"all-{source}"] for source in names}
    return {
        "tokens": round(float(np.median(table.totals_R[table.totals_R > 0]))),
        "losses": {mixture: dict(zip(names, of.tolist(), strict=True)) for mixture, of in means.items()},
        "help": {target: {source: float(gains[source][j]) for source in names} for j, target in enumerate(names)},
    }


def relation(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return how shared words, measured help and the law's coefficients go together: rank correlations of all pairs."""
    names = list(found["helps"]["bundled"]["help"])
    tables = {f"help, {model}": of["help"] for model, of in found["helps"].items()}
    if "weights" in found:
        changes = found["weights"]["change_percent"]
        tables["law"] = {
            target: {source: -change[0] for source, change in of.items()} for target, of in changes.items()
        }
    for n in RUNS_OF_WORDS:
        tables[f"words, {n}"] = found["overlap"]["shares"][str(n)]
    arrays = {what: np.array([[of[t][s] for s in names] for t in names]) for what, of in tables.items()}
    pairs = [("help, bundled", f"words, {n}") for n in RUNS_OF_WORDS]
    pairs += [("law", f"words, {n}") for n in RUNS_OF_WORDS] + [("law", "help, bundled")]
    pairs += [("help, smollm2", f"words, {n}") for n in RUNS_OF_WORDS] + [("help, smollm2", "help, bundled")]
    return {f"{a}; {b}": related(arrays[a], arrays[b]) for a, b in pairs if {a, b} <= set(arrays)}


def related(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Return the rank correlation of two tables' cells off the diagonal, and how often shuffled domains reach it.

    `within`: of ranks of the sources within each target, which what all sources do for a target cannot raise. Shares of
    shuffles are of absolute values, domains of one table in another order (Mantel 1967, Cancer Research 27:209-220).
    """
    off = ~np.eye(len(first), dtype=bool)

    def both(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        rank_a, rank_b = rankdata(a[off]), rankdata(b[off])
        rows_a, rows_b = (rankdata(x[off].reshape(len(x), -1), axis=1).ravel() for x in (a, b))
        return float(np.corrcoef(rank_a, rank_b)[0, 1]), float(np.corrcoef(rows_a, rows_b)[0, 1])

    rng = np.random.default_rng([0, 50])
    here = both(first, second)
    orders = [rng.permutation(len(first)) for _ in range(SHUFFLES)]
    chance = np.array([both(first, second[np.ix_(order, order)]) for order in orders])
    reached = (np.abs(chance) >= np.abs(here)).mean(axis=0)
    return {
        "all": here[0],
        "all_by_chance": float(reached[0]),
        "within": here[1],
        "within_by_chance": float(reached[1]),
    }


def weights() -> dict[str, Any]:
    """Return the best weights at several budgets, and how more tokens of a domain change each loss, by the law."""
    table = RunTable.from_csv(TABLES / "reweight" / "proxies.csv")
    rows = [r for r, study in enumerate(table.study) if study.startswith("space_filling")]
    runs = replace(table.take(rows), study=())  # seeds of one design: their losses have no shifts
    fit = mixlaw.fit(runs, law="pairwise")
    solved = {budget: mixlaw.solve(fit, budget, max_epochs=None) for budget in BUDGETS}
    matrix = transfer_matrix(fit, solved[RANGE])
    return {
        "runs": len(runs),
        "largest_run": float(runs.totals_R.max()),
        "budgets": {budget: dict(found.weights) for budget, found in solved.items()},
        "law": fit.law,
        "step_tokens": matrix.step_tokens,
        "change_percent": {
            target: {source: [100 * x for x in (c.mean, c.low, c.high)] for source, c in of.items()}
            for target, of in matrix.changes.items()
        },
    }


def all_repeats() -> dict[str, Any]:
    """Return domain -> times -> losses of repeated, of as few fresh and of as many fresh tokens, and their worth."""
    losses = losses_of(TABLES / "repeats" / "grid.csv")
    table = RunTable.from_csv(TABLES / "repeats" / "grid.csv")
    return {
        domain: repeats(
            {
                (name, parse_tokens(budget), seed): float(of[name][k])
                for budget, seeds in losses.items()
                for seed, of in seeds.items()
                for name in of
                if name == domain or name.startswith(f"{domain}-x")
            }
        )
        for k, domain in enumerate(table.targets)
    }


def repeats(losses: Mapping[tuple[str, int, int], float]) -> dict[str, Any]:
    """Return times -> what tokens that are read so often are worth.

    `worth` is the number of fresh tokens that give the same loss, by the curve of the fresh runs between the measured
    sizes, as a share of all tokens read; a run that is worse than the smallest fresh one has its size at the most.

    Args:
        losses: (name, tokens, seed) -> loss; names are DOMAIN for fresh rows, DOMAIN-xTIMES for repeated ones.
    """
    fresh: dict[int, list[float]] = {}
    again: dict[int, list[float]] = {}
    most = max(tokens for _, tokens, _ in losses)
    for (name, tokens, _), loss in losses.items():
        _, mark, times = name.rpartition("-x")
        if mark:
            again.setdefault(int(times), []).append(loss)
        else:
            fresh.setdefault(round(most / tokens), []).append(loss)
    curve = {times: float(np.mean(of)) for times, of in fresh.items()}
    order = sorted(curve, reverse=True)  # fewest tokens first: losses fall
    sizes, falling = np.log([most / t for t in order]), np.minimum.accumulate([curve[t] for t in order])
    return {
        str(times): {
            "repeated": float(np.mean(of)),
            "once": curve[times],
            "fresh": curve[1],
            "worth": float(np.exp(np.interp(-np.mean(of), -falling, sizes)) / most),
        }
        for times, of in sorted(again.items())
    }


if __name__ == "__main__":
    main()
