"""Figures of benchmarks on pages are those of the committed files of the reporting part."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def laws(law, *places):
    """Return figures of a law, from the newer file that has it."""
    for name in ("reporting", "before"):
        found = json.loads((ROOT / f"bench/laws/{name}.json").read_text())[places[0]].get(law)
        if found:
            return [found[place]["mre_percent"] if place in found else None for place in places[1]]
    raise AssertionError(law)


def planted(name, method, key="regret_percent"):
    """Return figures of a method by kind of world."""
    cells = json.loads((ROOT / f"bench/planted/{name}.json").read_text())["cells"]
    return [cells[f"kind {kind}"][method][key] for kind in ("same", "mild", "different")]


def cost(method):
    """Return cost, runs, mean and median regret and how often the promise held, of the benchmark of cost."""
    found = json.loads((ROOT / "bench/cost/reporting.json").read_text())["cells"]["all"][method]
    return [100 * found["cost"], found["runs"], found["regret_percent"], found["regret_median"], 100 * found["covered"]]


REGMIX = ("regmix", ("32", "64", "128", "512"))
SWARM = ("swarm", ("from_all_small_to_90k", "from_13_runs_15k_to_90k"))
ROWS = (
    [
        ("README.md", row, laws(law, *REGMIX))
        for row, law in (("`gbdt` (RegMix's LightGBM)", "gbdt"), ("the mean", "mean"))
    ]
    + [("README.md", f"`{law}`", laws(law, *REGMIX)) for law in ("pairwise", "additive")]
    + [("README.md", "`exponential` (log-linear)", laws("exponential", *REGMIX))]
    + [("README.md", "mixlaw, 1 + 4 K runs", planted("reporting", "default"))]
    + [("README.md", "equal weights, no runs", planted("reporting", "equal"))]
    + [("README.md", "the 95th percentile holds", [100 * x for x in planted("reporting", "default", "covered")])]
    + [
        ("docs/how-many-runs.md", row, laws(law, *REGMIX))
        for row, law in (("`pairwise`", "pairwise"), ("the mean", "mean"))
    ]
    + [("docs/how-many-runs.md", f"default, `max_cost: {part}%`", cost(f"auto-{part}")) for part in (5, 15)]
    + [("docs/how-many-runs.md", "`design: space_filling`, 1 + 4 K runs", cost("full"))]
    + [("docs/how-many-runs.md", "`gbdt` (LightGBM)", laws("gbdt", *REGMIX))]
    + [("docs/how-many-runs.md", "`space_filling`, law `auto`", planted("reporting", "default"))]
    + [("docs/how-many-runs.md", "D-optimal, law `auto` *", planted("before", "d-optimal"))]
    + [("docs/how-many-runs.md", "published design, joint fit *", planted("before", "joint"))]
    + [("docs/how-many-runs.md", "no runs: natural weights", planted("reporting", "natural"))]
    + [
        ("docs/compare.md", f"`{law}` | {of}", laws(law, "regmix", ("32", "512")))
        for law, of in (("pairwise", "mixlaw"), ("gbdt", "RegMix"), ("exponential", "Data Mixing Laws, Olmix"))
    ]
    + [("docs/papers.md", "`space_filling` design, mixlaw's choice of law", planted("reporting", "default"))]
    + [
        ("docs/which-law.md", f"`{law}`", laws(law, *SWARM))
        for law in ("pairwise", "transfer", "gp", "gbdt", "chinchilla")
    ]
)


@pytest.mark.parametrize(("page", "row", "figures"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_figures_on_pages_are_those_of_the_reporting_part(page, row, figures):
    lines = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    shown = [[cell.strip(" %") for cell in line.split("|")] for line in lines]
    assert any(_agree(cells, figures) for cells in shown), (shown, figures)


@pytest.mark.parametrize(
    ("row", "arm"),
    [
        ("its first version", "before"),
        ("Hugging Face's Trainer", "trainer"),
        ("TRL's SFTTrainer, all runs in one process", "sft_one"),
        ("SFTTrainer, a process for each run", "sft_each"),
    ],
)
def test_speeds_of_readme_are_those_that_were_measured(row, arm):
    found = json.loads((ROOT / "bench/sweep/results.json").read_text())["2 runs"]["summary"]
    median, least, most = (f"{x:.1f}" for x in found[arm]["now_is_faster_wall_s"])
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert found[arm]["rounds"] == 3
    assert f"| {row} | {found[arm]['tokens_per_wall_s']} | {median} ({least} to {most}) times | |" in page
    assert f"| `mixlaw train` | {found['now']['tokens_per_wall_s']} | | not measured yet |" in page


def _agree(cells, figures):
    """Return whether each cell is its figure, rounded as shown."""
    return len(cells) == len(figures) and all(map(_same, cells, figures))


def _same(cell, figure):
    if figure is None or not re.fullmatch(r"\d*\.?\d+", cell):
        return figure is None and cell == "-"
    return abs(float(cell) - figure) <= 0.501 * 10.0 ** -len(cell.partition(".")[2])
