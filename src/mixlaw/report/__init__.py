"""The report: the answer with its reasons as report.html, report.md and report.json; figures on their own too."""

from mixlaw.report.curves import budget_figure, curve_figure, parity_figure, path_figure
from mixlaw.report.drawing import Figure
from mixlaw.report.figures import changes_figure, marginal_figure, weights_figure
from mixlaw.report.health import Check, health_checks
from mixlaw.report.write import write_report

__all__ = [
    "Check",
    "Figure",
    "budget_figure",
    "changes_figure",
    "curve_figure",
    "health_checks",
    "marginal_figure",
    "parity_figure",
    "path_figure",
    "weights_figure",
    "write_report",
]
