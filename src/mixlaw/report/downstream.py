"""What the report says of downstream metrics: how well validation loss predicted them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixlaw.report.markdown import escaped
from mixlaw.report.numbers import MISSING, significant


def downstream_markdown(study: Mapping[str, Any] | None) -> str:
    """Return a section of report.md on the `downstream` of a study (`mixlaw.evaluate.agreement`); empty without one."""
    tasks = ((study or {}).get("downstream") or {}).get("tasks") or {}
    if not tasks:
        return ""
    lines = [
        "",
        "## Downstream",
        "",
        "Rank correlation of falling validation loss with the metric, over the evaluated models (1: the lower the "
        "loss, the higher the metric).",
        "",
        "| task | models | lowest | highest | total loss | 90 % interval | best single target |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for name, task in tasks.items():
        best = task["best_target"]
        beside = f"{escaped(best)} ({significant(task['spearman'][best], 2)})" if best else MISSING
        numbers = [
            significant(task["lowest"], 3),
            significant(task["highest"], 3),
            significant(task["spearman_total"], 2),
            MISSING if task.get("spearman_total_low") is None else _interval(task),
        ]
        lines.append(f"| {escaped(name)} | {task['models']} | {' | '.join(numbers)} | {beside} |")
    return "\n".join(lines) + "\n"


def _interval(task: Mapping[str, Any]) -> str:
    return f"{significant(task['spearman_total_low'], 2)} to {significant(task['spearman_total_high'], 2)}"
