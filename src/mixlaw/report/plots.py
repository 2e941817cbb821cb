"""`mixlaw.plot_*`: the report's figures as `matplotlib.figure.Figure`, for notebooks, slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.fit.result import Fit
from mixlaw.report.budgets import solution_path
from mixlaw.report.curves import budget_figure, curve_figure, parity_figures, path_figure
from mixlaw.report.drawing import slide
from mixlaw.report.figures import changes_figure, marginal_figure, weights_figure
from mixlaw.report.palette import series_of
from mixlaw.solve.solution import Solution


def plot_weights(solution: Solution) -> Any:
    """Return a Matplotlib figure of the recommended shares of the training tokens, in %, beside the baselines'.

    Args:
        solution: of `mixlaw.solve`.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    return slide([weights_figure(solution)])


def plot_changes(fit: Fit, solution: Solution, against: str = "equal") -> Any:
    """Return a Matplotlib figure of how every predicted loss and the total change from a baseline, in %, with 90 %
    intervals.

    Args:
        fit: of `mixlaw.fit`.
        solution: of the same fit.
        against: a baseline of the solution: `equal`, or `natural` where the available tokens are known.

    Raises:
        DataError: the solution has no such baseline.
        MissingExtra: Matplotlib is not installed.
    """
    if against not in solution.baselines:
        raise DataError(
            f"The solution has no baseline {against!r}.", f"Choose from: {', '.join(solution.baselines) or 'none'}."
        )
    return slide([changes_figure(fit, solution, against)])


def plot_curves(fit: Fit, solution: Solution | None = None, targets: Sequence[str] | None = None) -> Any:
    """Return a Matplotlib figure with a panel per target: measured losses (nats) against its own domain's tokens, and
    the law through them with its 90 % band.

    Args:
        fit: of `mixlaw.fit`.
        solution: marks what is predicted at the recommended mixture.
        targets: names, of targets that are domains; None for all of them.

    Raises:
        DataError: a name is not such a target, or there is none.
        MissingExtra: Matplotlib is not installed.
    """
    names, series = _chosen(fit, targets, [t for t in fit.targets if t in fit.domains]), series_of(fit.domains)
    return slide([curve_figure(fit, fit.runs, name, solution, series[name]) for name in names])


def plot_measured(fit: Fit, targets: Sequence[str] | None = None) -> Any:
    """Return a Matplotlib figure with a panel per target: measured against predicted losses of the runs, nats.

    Args:
        fit: of `mixlaw.fit`.
        targets: names; None for all.

    Raises:
        DataError: a name is no target.
        MissingExtra: Matplotlib is not installed.
    """
    names, series = _chosen(fit, targets, list(fit.targets)), series_of(fit.domains)
    return slide(parity_figures(fit, fit.runs, {name: series.get(name, "series-0") for name in names}))


def plot_budgets(fit: Fit, solution: Solution) -> Any:
    """Return a Matplotlib figure of the best weights (%) and the predicted loss (nats, with its 90 % band) at budgets
    from a tenth to ten times the solution's, and the range of the runs. Solves for each budget.

    Args:
        fit: of `mixlaw.fit`.
        solution: of the same fit, solved without bounds.

    Raises:
        DataError: under other bounds than none, or at one budget alone, there is nothing to draw.
        MissingExtra: Matplotlib is not installed.
    """
    path = solution_path(fit, solution, {})
    if len(path) < 2:
        raise DataError(
            "The best weights at other budgets are not known for a solution with bounds.",
            "Solve without bounds, or see report.html, which knows those of the study.",
        )
    asked = solution.budget_tokens
    return slide([path_figure(path, asked, fit), budget_figure(fit, path, asked)])


def plot_marginal(solution: Solution) -> Any:
    """Return a Matplotlib figure of what more tokens of each domain would be worth, nats.

    Args:
        solution: of `mixlaw.solve`.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    return slide([marginal_figure(solution)])


def _chosen(fit: Fit, targets: Sequence[str] | None, allowed: Sequence[str]) -> list[str]:
    names = list(allowed if targets is None else targets)
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        what = f"{', '.join(map(repr, unknown))} cannot be drawn." if unknown else "There is no target to draw."
        raise DataError(what, f"Choose from: {', '.join(allowed) or 'none'}.")
    return names
