"""The pictures of README.md and the pages, from a finished study.

    PYTHONPATH=tests python tests/docs/pictures.py mixlaw-demo/study

Each is what `mixlaw.plot_*` draws of that study; the first, of README.md, has three panels of one target.
"""

import sys
from pathlib import Path

import mixlaw
from mixlaw.core.documents import read_document
from mixlaw.report import curve_figure, parity_figure, weights_figure
from mixlaw.report.drawing import write_png

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


def write(study: Path, folder: Path = FOLDER) -> list[Path]:
    """Write the pictures of a finished study, and return their paths."""
    fit = mixlaw.load_fit(study / "fit.json")
    best = read_document(study / "solution.json", "solution", mixlaw.Solution.from_json)
    target = max(fit.targets, key=lambda name: best.weights.get(name, 0.0))
    first = [curve_figure(fit, fit.runs, target, best), parity_figure(fit, fit.runs, target), weights_figure(best)]
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / "idea.png", first)
    plots = {
        "weights": mixlaw.plot_weights(best),
        "changes": mixlaw.plot_changes(fit, best),
        "curves": mixlaw.plot_curves(fit, best),
        "measured": mixlaw.plot_measured(fit),
        "marginal": mixlaw.plot_marginal(best),
    }
    for name, plot in plots.items():
        plot.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
    return sorted(folder.glob("*.png"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
