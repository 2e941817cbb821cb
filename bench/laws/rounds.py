"""What the priors of `pairwise` learn from all targets, judged on RegMix's tuning half and draws. Writes rounds.json.

python -m bench.laws.rounds [--sizes 32,64] [--draws 5]
"""

from __future__ import annotations

import argparse
import json
import warnings

import numpy as np
from bench.laws.run import FIRST_DRAW, HERE, estimates, half, score, swarm
from bench.planted.sharing import ASKED, ROUNDS, learning

from mixlaw import RunTable


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="32,64")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    runs, held = (RunTable.from_csv(HERE / f"data/regmix_{part}_1m.csv") for part in ("train", "test"))
    held = half(held, "tuning")
    found: dict = {}
    for size in map(int, arguments.sizes.split(",")):
        for draw in range(FIRST_DRAW["tuning"], FIRST_DRAW["tuning"] + arguments.draws):
            rows = np.random.default_rng(draw).permutation(len(runs))[:size]
            for name in ASKED:
                with learning(ROUNDS[name]):
                    scored = score(estimates("pairwise", runs.take(rows), held), held.losses_RJ)
                found.setdefault(name, {}).setdefault(str(size), []).append(round(scored["mre_percent"], 4))
            (HERE / "rounds.json").write_text(json.dumps(found, indent=1) + "\n")
            print(size, draw, {name: cells[str(size)][-1] for name, cells in found.items()}, flush=True)
    for name in ASKED:
        with learning(ROUNDS[name]):
            found[name]["swarm"] = swarm("pairwise", "tuning")
        (HERE / "rounds.json").write_text(json.dumps(found, indent=1) + "\n")
        cells = found[name]["swarm"]
        print(name, {key: (cell["mre_percent"], cell["covered_90"]) for key, cell in cells.items()}, flush=True)
    for name, cells in found.items():
        cells.pop("swarm")
        print(f"{name:20}", {size: round(float(np.mean(values)), 3) for size, values in cells.items()})


if __name__ == "__main__":
    main()
