"""The pictures of the report and of the experiments' pages, drawn with Matplotlib from the committed result files.

Each carries a stamp of the files it was drawn from, so that a test sees where one is older than its data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixlaw.core.runtable import RunTable
from mixlaw.report.palette import colours

ROOT = Path(__file__).parents[2]
CONTROLLED = "experiments/controlled"
KINDS = {"same": "domains alike", "mild": "less alike", "different": "of different kinds"}
"""Kinds of planted worlds, as pages call them."""
COLOURS = [colour for name, colour in colours().items() if name.startswith("series-") and name[-1].isdigit()]
WIDE = 7.2
"""Inches of a picture; a page of the documentation shows it at about this size."""
SMALL = 7.5
"""Points of its text."""


class Picture(NamedTuple):
    """Where a picture lies, the files that it shows, the first of which it cannot do without, and what draws it."""

    path: str
    sources: Sequence[str]
    draw: Callable[[], Figure]

    @property
    def there(self) -> bool:
        """Whether there is something to draw."""
        return (ROOT / self.sources[0]).exists()

    @property
    def stamp(self) -> str:
        """Of the files that it shows."""
        files = (ROOT / source for source in self.sources)
        found = b"".join(file.read_bytes() for file in files if file.exists())
        return f"sources {hashlib.sha256(found).hexdigest()[:12]}"


def write_pictures() -> None:
    """Write all pictures there is something to draw of, as PNG."""
    with plt.rc_context({"font.size": SMALL, "axes.titlesize": 9, "legend.frameon": False}):
        for picture in PICTURES:
            if picture.there:
                figure = picture.draw()
                figure.savefig(ROOT / picture.path, dpi=150, metadata={"Software": None, "Comment": picture.stamp})
                plt.close(figure)


def data(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def laws() -> Figure:
    """Draw what the fit is worth, and how laws learn from runs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 2.9), layout="constrained")
    before, now = (data(f"bench/planted/{name}.json")["cells"] for name in ("before", "reporting"))
    methods = {
        "each curve alone": (before, "own-curve"),
        "the paper's two steps": (before, "published"),
        "all runs together": (before, "joint"),
        "mixlaw": (now, "default"),
        "equal weights": (now, "equal"),
    }
    for place, (label, (cells, method)) in enumerate(methods.items()):
        height = [cells[f"kind {kind}"][method]["regret_percent"] for kind in KINDS]
        left.bar([x + 0.16 * (place - 2) for x in range(3)], height, 0.15, label=label)
    left.set(xticks=range(3), xticklabels=KINDS.values(), yscale="log", ylabel="mean regret, % of the loss")
    left.set_title("Decisions on planted worlds")
    left.legend(fontsize=6.5, ncols=2, loc="upper left")
    left.set_ylim(0.05, 12)
    old, new = (data(f"bench/laws/{name}.json")["regmix"] for name in ("before", "reporting"))
    for law, cells in {"pairwise": new, "gbdt": old, "gp": old, "transfer": old, "exponential": old}.items():
        sizes = [int(size) for size in cells[law]]
        errors = [found["mre_percent"] for found in cells[law].values()]
        right.plot(sizes, errors, marker="o", markersize=3, label=law)
    right.set(xscale="log", yscale="log", xlabel="runs", ylabel="held-out error, %")
    right.set(xticks=[32, 64, 128, 256, 512], xticklabels=[32, 64, 128, 256, 512])
    right.minorticks_off()
    right.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    right.set_title("RegMix's runs, 17 domains")
    right.legend(fontsize=6.5, ncols=3, loc="upper right")
    right.set_ylim(0.8, 20)
    return figure


METHODS = {
    "sequential": "mixlaw, runs chosen one by one",
    "full": "mixlaw, runs of a plan",
    "published_joint": "published runs, all at once",
    "published_alone": "published runs, each curve alone",
    "published": "published runs, the paper's two steps",
    "together-15": "mixlaw for 15 %",
    "together-8": "mixlaw for 8 %",
    "merge-15": "merged models for 15 %",
    "temperature_0.5": "temperature 0.5",
    "equal": "equal weights",
    "natural": "natural weights",
    "regmix-20": "RegMix for 20 %",
    "regmix-15": "RegMix for 15 %",
    "exponential-20": "Data Mixing Laws for 20 %",
}
MARKS = {"sequential": "o", "together-15": "s", "published": "^", "regmix-20": "D", "equal": "P", "natural": "X"}


def controlled() -> Figure:
    """Draw each budget's mean loss over the grid with the methods' weights on it, and their distance from its best."""
    table, results = RunTable.from_csv(ROOT / CONTROLLED / "grid.csv"), data(f"{CONTROLLED}/results.json")
    known = data(f"{CONTROLLED}/methods.json")
    budgets = [budget for budget, runs in results["grid_runs"].items() if runs and min(runs.values()) > 20]
    figure = plt.figure(figsize=(WIDE, 5.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.2, 1])
    places = above.subplots(1, len(budgets), squeeze=False)[0]
    for place, budget in zip(places, budgets, strict=True):
        _simplex(place, table, budget)
        for i, (name, mark) in enumerate(MARKS.items()):
            there = [found for key, found in known.items() if key.startswith(f"{name}@{budget}#")]
            weights = [found["weights"] for found in there if "error" not in found]
            if weights:
                mean = np.mean([[one[domain] for domain in table.domains] for one in weights], axis=0)
                place.plot(*_corner(mean), mark, color=COLOURS[i], mec="white", mew=0.6, ms=7, label=METHODS[name])
        place.set_title(f"{budget} tokens: mean loss, nats", pad=2)
    handles, labels = places[-1].get_legend_handles_labels()
    above.legend(handles, labels, loc="outside lower center", ncols=4, columnspacing=1.2)
    budget, last = budgets[-1], below.subplots()
    found = {label: results["methods"][budget].get(name) for name, label in METHODS.items()}
    _dots(last, {label: one["regret_percent"] for label, one in found.items() if one})
    last.set(xlim=(-0.6, 4), xlabel=f"{budget} tokens: mean loss above the grid's best, % (95 %)")
    return figure


def _corner(share_K: np.ndarray) -> tuple[float, float]:
    """Return where a mixture of three lies in a triangle: the first bottom left, the second bottom right."""
    return float(share_K[1] + share_K[2] / 2), float(share_K[2] * np.sqrt(3) / 2)


def _simplex(place: Axes, table: RunTable, budget: str) -> None:
    """Draw the mean loss of a budget's mixtures, mean over seeds, as contours in a triangle."""
    losses: dict[str, list[float]] = {}
    for run, loss_K in zip(table.runs, table.losses_RJ, strict=True):
        if run.partition("@")[2].startswith(f"{budget}#"):
            losses.setdefault(run.partition("@")[0], []).append(float(loss_K.mean()))
    shares = np.array([[int(x) / 8 for x in name.split("-")[1:]] for name in losses])
    x, y = np.transpose([_corner(share_K) for share_K in shares])
    mean = np.array([np.mean(of) for of in losses.values()])
    drawn = place.tricontour(x, y, mean, levels=8, colors=colours()["muted"], linewidths=0.7)
    place.clabel(drawn, fontsize=5.5, fmt="%.2f")
    place.plot(x, y, ".", color=colours()["axis"], ms=2)
    place.plot(x[mean.argmin()], y[mean.argmin()], "*", color=colours()["ink"], ms=9, label="grid's best")
    corners = [np.where(np.arange(3) == k, shares.max(), shares.min()) for k in range(3)]
    place.plot(*np.transpose([_corner(share_K) for share_K in [*corners, corners[0]]]), color=colours()["axis"], lw=0.8)
    for name, share_K, (up, across) in zip(
        table.domains, corners, [("top", "left"), ("top", "right"), ("bottom", "center")], strict=True
    ):
        left, height = _corner(share_K)
        gap = 0.02 if up == "bottom" else -0.02
        place.text(left, height + gap, f"{100 * shares.max():.0f} % {name}", va=up, ha=across)
    heights = [_corner(share_K)[1] for share_K in corners]
    place.set_ylim(min(heights) - 0.08, max(heights) + 0.08)  # room for the names of the corners
    place.set_axis_off()
    place.set_aspect("equal")


def _ends(of: Mapping[str, float | None]) -> list[float]:
    """Return mean, low and high of a difference; the mean thrice where one seed has no interval."""
    mean = of["mean"] or 0.0
    return [mean, *(mean if (end := of[key]) is None else end for key in ("low", "high"))]


def _dots(place: Axes, rows: Mapping[str, Sequence[float]]) -> None:
    """Draw mean, low and high of each row as a point with a line, the first on top."""
    for y, (mean, low, high) in enumerate(rows.values()):
        place.plot([low, high], [y, y], color=colours()["muted"], lw=1)
        place.plot(mean, y, "o", color=COLOURS[0], ms=4)
    place.axvline(0, color=colours()["axis"], lw=0.8)
    place.set_yticks(range(len(rows)), list(rows))
    place.invert_yaxis()
    place.spines[["top", "right"]].set_visible(False)


def real_model() -> Figure:
    """Draw what the law foretold of SmolLM2-135M beside what was measured, by domain and in the mean of a mixture."""
    there = [
        name for name in ("smollm2_grid", "smollm2_grid_full") if (ROOT / CONTROLLED / name / "confirmed.json").exists()
    ]
    figure, places = plt.subplots(
        len(there), 4, figsize=(WIDE, 2.1 * len(there) + 0.2), layout="constrained", squeeze=False
    )
    for row, name in zip(places, there, strict=True):
        folder = f"{CONTROLLED}/{name}"
        paths = (ROOT / folder / f"{kind}.csv" for kind in ("grid", "methods"))
        tables = [RunTable.from_csv(path) for path in paths if path.exists()]
        known = data(f"{folder}/methods.json")
        method, found = next(
            (key, one) for key, one in known.items() if "predicted" in one and not key.startswith(("before-", "again-"))
        )
        budget = "@" + method.partition("@")[2]
        said = dict(found["predicted"])
        for what, one in found["predicted_of"].items():
            said[method.partition("@")[0] if what == "solution" else what] = one
        measured = {
            run.removesuffix(budget): loss_K
            for table in tables
            for run, loss_K in zip(table.runs, table.losses_RJ, strict=True)
        }
        names = [one for one in said if one in measured]
        true = np.array([measured[one] for one in names])
        mean, low, high = (np.array([said[one][key] for one in names]) for key in ("mean", "low", "high"))
        for k, place in enumerate(row):
            title = [*tables[0].targets, "mean of the three"][k]
            if k < 3:
                x, y = true[:, k], mean[:, k]
                place.errorbar(x, y, [y - low[:, k], high[:, k] - y], fmt="none", ecolor=colours()["grid"], lw=1.5)
            else:
                x, y = true.mean(axis=1), mean.mean(axis=1)
            place.plot(x, y, "o", color=COLOURS[0], ms=4)
            ours = names.index(method.partition("@")[0]) if method.partition("@")[0] in names else None
            if ours is not None:
                place.plot(x[ours], y[ours], "*", color=COLOURS[1], ms=9)
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            place.plot(ends, ends, color=colours()["axis"], lw=0.8)
            place.set(title=title, xlabel="measured, nats")
        row[0].set_ylabel(f"{'full fine-tuning' if name.endswith('full') else 'LoRA'}\npredicted, nats")
    return figure


COLLECTIONS = {
    "reweight": "bundled base",
    "eleven": "bundled base",
    "reweight_smollm2": "SmolLM2-135M, LoRA",
}


def reweighting() -> Figure:
    """Draw how much higher the loss of each mixture that needs no law is than the law's, in the mean and by domain."""
    paths = {name: f"{CONTROLLED}/{name}/against.json" for name in COLLECTIONS}
    found = {name: data(path) for name, path in paths.items() if (ROOT / path).exists()}
    figure, places = plt.subplots(
        len(found), 2, figsize=(WIDE, 2.7 * len(found)), layout="constrained", width_ratios=[1.0, 1.2], squeeze=False
    )
    for (means, domains), (name, it) in zip(places, found.items(), strict=True):
        budget, of = next(iter(it.items()))
        gains = {method: others for method, others in of["gains"].items() if not method.startswith("regmix")}
        _dots(
            means,
            {
                f"{other} − {method}": _ends(gain["mean"])
                for method, others in gains.items()
                for other, gain in others.items()
            },
        )
        means.set_title(f"{COLLECTIONS[name]}, {budget}: mean loss, nats (90 %)", fontsize=8)
        method, others = next(iter(gains.items()))
        for j, (other, gain) in enumerate(others.items()):
            mean = {domain: one["mean"] for domain, one in gain["by_domain"].items()}
            domains.plot(mean.values(), range(len(mean)), "o", color=COLOURS[j], ms=4, label=other)
            domains.set_yticks(range(len(mean)), list(mean))
        domains.axvline(0, color=colours()["axis"], lw=0.8)
        domains.invert_yaxis()
        domains.spines[["top", "right"]].set_visible(False)
        domains.set_title(f"by domain, minus {method}, nats", fontsize=8)
        domains.legend(fontsize=6)
    return figure


def specialised() -> Figure:
    """Draw the loss on medicine of each mixture and seed, and what becomes worse than the base model."""
    it = data(f"{CONTROLLED}/specialised/against.json")
    table = RunTable.from_csv(ROOT / CONTROLLED / "specialised" / "methods.csv")
    losses = dict(zip(table.runs, table.losses_RJ[:, table.targets.index("medical")], strict=True))
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDE, 2.3), layout="constrained")
    labels = []
    for budget, found in it.items():
        for name, one in found["mixtures"].items():
            if name == "base":
                continue
            y, colour = len(labels), COLOURS[["full", "full+guarded", "all-medical"].index(name)]
            of = [loss for run, loss in losses.items() if run.startswith(f"{name}@{budget}#")]
            left.plot(of, [y] * len(of), "o", color=colour, ms=4)
            worst = one["worst_against_base"]
            right.barh(y, worst["percent"], color=colour, height=0.6)
            right.text(max(worst["percent"], 0) + 0.8, y, worst["domain"], va="center")
            labels.append(f"{budget}: {name}")
    for place, title in (
        (left, "loss on medicine, nats; each seed"),
        (right, "worst domain against the base model, %"),
    ):
        place.set_yticks(range(len(labels)), labels)
        place.invert_yaxis()
        place.set_title(title)
        place.spines[["top", "right"]].set_visible(False)
    return figure


def insights() -> Figure:
    """Draw who helps whom among eleven domains, what repetition is worth, and the best weights over the budget."""
    it = data("experiments/insights/insights.json")
    figure, place = plt.subplot_mosaic(
        [["helps", "repeats"], ["helps", "weights"]],
        figsize=(WIDE, 4.4),
        layout="constrained",
        width_ratios=[1.25, 1],
        height_ratios=[1, 1.6],
    )
    helps, repeats, weights = place["helps"], place["repeats"], place["weights"]
    help_ = it["helps"]["bundled"]["help"]
    names = list(help_)
    value_KK = np.array([[help_[target][source] for source in names] for target in names])
    drawn = helps.imshow(value_KK, cmap="RdBu", vmin=-2, vmax=2)
    helps.set_xticks(range(len(names)), names, rotation=90)
    helps.set_yticks(range(len(names)), names)
    helps.set(xlabel="trained on", ylabel="target")
    figure.colorbar(drawn, ax=helps, location="top", shrink=0.8, label="how far a target's loss falls by it, nats")
    for colour, (name, of) in zip(COLOURS, it["repeats"].items(), strict=False):
        passes = [1, *map(int, of)]
        repeats.plot(passes, [100, *(100 * one["worth"] for one in of.values())], "o-", color=colour, ms=3, label=name)
    repeats.set(xscale="log", title="What a repeated token is worth", xlabel="passes", ylabel="% of a fresh one")
    repeats.set_xticks(passes, passes)
    repeats.minorticks_off()
    repeats.legend(loc="lower left", labelspacing=0.2)
    solved = it["weights"]["budgets"]
    last = list(solved.values())[-1]
    shown = sorted(last, key=lambda name: -last[name])[: len(COLOURS) - 1]
    ends: list[float] = []
    for name in sorted(last, key=lambda name: last[name]):
        colour = COLOURS[shown.index(name)] if name in shown else colours()["axis"]
        height = 100 * last[name]
        weights.plot(range(len(solved)), [100 * one[name] for one in solved.values()], "o-", color=colour, ms=3)
        ends.append(max(height, ends[-1] + 2.1) if ends else height)  # names must not lie on each other
        weights.text(len(solved) - 0.9, ends[-1], name, color=colour, va="center", fontsize=6.5)
    weights.set_xticks(range(len(solved)), list(solved))
    weights.set(title="Best weights of eleven domains", xlabel="budget, tokens", ylabel="%", xlim=(-0.2, len(solved)))
    weights.spines[["top", "right"]].set_visible(False)
    return figure


PICTURES = [
    Picture(
        "docs/report/laws.png",
        [f"bench/{kind}/{name}.json" for kind in ("planted", "laws") for name in ("before", "reporting")],
        laws,
    ),
    Picture(
        "docs/experiments/controlled.png",
        [f"{CONTROLLED}/{name}" for name in ("grid.csv", "results.json", "methods.json")],
        controlled,
    ),
    Picture(
        "docs/experiments/real_model.png",
        [
            f"{CONTROLLED}/{name}/{file}"
            for name in ("smollm2_grid", "smollm2_grid_full")
            for file in ("confirmed.json", "grid.csv", "methods.csv", "methods.json")
        ],
        real_model,
    ),
    Picture(
        "docs/experiments/reweighting.png", [f"{CONTROLLED}/{name}/against.json" for name in COLLECTIONS], reweighting
    ),
    Picture(
        "docs/experiments/specialised.png",
        [f"{CONTROLLED}/specialised/{name}" for name in ("against.json", "methods.csv")],
        specialised,
    ),
    Picture("docs/experiments/insights.png", ["experiments/insights/insights.json"], insights),
]
