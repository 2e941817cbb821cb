"""Fine-tuning curves of one domain: which law predicts the largest sizes from the others? Writes SPLIT_curves.json.

    python -m bench.laws.curves [--split reporting] [--laws auto,rectified] [--base with,without] [--data FOLDER]

30 models fine-tuned on two tasks (Lin et al. 2024, arXiv 2402.02314), 0 to 1,638,400 examples. The two or three largest
sizes of each curve are held out, and predicted by `auto` and by each law alone from the others, with and without the
run of zero examples. `least_squares` is the rectified law as published, by plain least squares from 24 starts, without
priors. error_percent: mean over models and held-out sizes of the relative error of the predicted mean; covered: of the
held-out losses, those within the 90 % interval of a run.

Two splits by model, over both tables: tuning where the SHA-256 of its name begins with an even byte.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
from bench.record import SPLITS, stamp

import mixlaw
from mixlaw import RunTable

HERE = Path(__file__).parent
TASKS = ("flan", "gigaword")
LAWS = ("auto", "pairwise", "rectified", "transfer")
CHOSEN_ON = {
    "prior of n0 with one domain; sizes held out to choose the law": "the tuning half, without runs of zero examples",
    "prior scale of the drift with one domain": "the tuning half, without runs of zero examples",
}


def curves(task: str, split: str, folder: Path) -> dict[str, np.ndarray]:
    """Return model -> (sizes, 2) examples and losses, the smallest first, of a split."""
    found: dict[str, list[tuple[float, float]]] = {}
    with open(folder / f"finetuning_curves_{task}.csv", newline="") as file:
        for row in csv.DictReader(file):
            if hashlib.sha256(row["model"].encode()).digest()[0] % 2 == (split == "reporting"):
                found.setdefault(row["model"], []).append((float(row[f"tokens:{task}"]), float(row[f"loss:{task}"])))
    return {model: np.array(sorted(points)) for model, points in found.items()}


def by_law(law: str, known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return predicted losses, ends of their intervals, and the law that was used."""
    names = tuple(f"r{i}" for i in range(len(known)))
    fit = mixlaw.fit(RunTable(names, ("task",), ("task",), known[:, :1], known[:, 1:]), law=law)
    predicted = fit.predict(asked[:, None])
    return predicted.mean[:, 0], predicted.low[:, 0], predicted.high[:, 0], fit.law


def least_squares(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the losses that the rectified law predicts, fitted by plain least squares."""
    from scipy.optimize import least_squares as solve

    unit = float(np.median(known[:, 0]))
    D, losses = known[:, 0] / unit, known[:, 1]

    def law(p: np.ndarray, D: np.ndarray) -> np.ndarray:
        return np.exp(p[0]) / (np.exp(p[1]) + D ** np.exp(p[2])) + p[3]

    bounds = ([-50, -30, -7, 0], [50, 30, 1.6, losses.min()])
    starts = [
        (np.log(B), np.log(D_t), np.log(b), share * losses.min())
        for B in (1, 3)
        for D_t in (0.1, 1, 10)
        for b in (0.2, 0.6)
        for share in (0.1, 0.7)
    ]
    found = [solve(lambda p: law(p, D) - losses, s, bounds=bounds, x_scale="jac", max_nfev=2000) for s in starts]
    return law(min(found, key=lambda one: one.cost).x, asked / unit)


def figures(laws: list[str], points_by_model: dict[str, np.ndarray], held: int, base: bool) -> dict[str, dict]:
    """Return law -> its figures with so many sizes held out, with or without the run of zero examples."""
    errors: dict[str, list[float]] = {}
    inside: dict[str, list[float]] = {}
    chosen: dict[str, int] = {}
    for points in points_by_model.values():
        points = points if base else points[points[:, 0] > 0]
        known, asked = points[:-held], points[-held:]
        for law in laws:
            mean, low, high, used = by_law(law, known, asked[:, 0])
            errors.setdefault(law, []).append(float(np.mean(np.abs(mean - asked[:, 1]) / asked[:, 1])))
            inside.setdefault(law, []).append(float(np.mean((asked[:, 1] >= low) & (asked[:, 1] <= high))))
            if law == "auto":
                chosen[used] = chosen.get(used, 0) + 1
        plain = least_squares(known, asked[:, 0])
        errors.setdefault("least_squares", []).append(float(np.mean(np.abs(plain - asked[:, 1]) / asked[:, 1])))
    rows: dict[str, dict] = {law: {"error_percent": round(100 * float(np.mean(e)), 3)} for law, e in errors.items()}
    for law, shares in inside.items():
        rows[law]["covered"] = round(float(np.mean(shares)), 3)
    if chosen:
        rows["auto"]["chosen"] = chosen
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=SPLITS, default="reporting")
    parser.add_argument("--laws", default=",".join(LAWS))
    parser.add_argument("--base", default="without,with")
    parser.add_argument("--data", type=Path, default=HERE / "data")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    written = arguments.out or HERE / f"{arguments.split}_curves.json"
    summary = stamp(arguments.split, "no randomness but that of the draws", CHOSEN_ON) | {"figures": {}}
    for task in TASKS:
        points = curves(task, arguments.split, arguments.data)
        for base in (word == "with" for word in arguments.base.split(",")):
            for held in (2, 3):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    rows = figures(arguments.laws.split(","), points, held, base)
                key = f"{task}, {held} held out, {'with' if base else 'without'} the base model"
                summary["figures"][key] = rows
                print(key, json.dumps(rows), flush=True)
                written.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
