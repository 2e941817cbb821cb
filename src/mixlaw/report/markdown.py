"""report.md: fit for a pull request, with the figures as PNG beside it; no HTML but folds, all names escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mixlaw.report.figures import in_order
from mixlaw.report.section import Section
from mixlaw.report.tables import Cell, Table
from mixlaw.solve.solution import Solution

_MARKS = {"pass": "✅", "warn": "⚠️", "fail": "❌"}
_LONG = 30


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, in a table too."""
    text = " ".join(str(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~#$])", r"\\\1", text).replace("@", "&#64;")
    # An address would become a link by itself; an underscore only matters at the edge of a word.
    text = re.sub(r"(?i)\b(https?|ftp)(?=:)|\b(www)(?=\.)", lambda m: m[0][:-1] + f"&#{ord(m[0][-1])};", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def render_markdown(
    title: str,
    sentence: str,
    beside: Sequence[str],
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    solution: Solution | None,
    pictures: Mapping[str, tuple[str, str]] | None = None,
) -> str:
    """Return the report as Markdown (GitHub's flavour).

    Args:
        title: heading.
        sentence: the answer.
        beside: sentences beside it.
        facts: (name, value).
        sections: what to say.
        solution: for the bars beside the weights.
        pictures: section -> the name of its file in figures/, and what it shows.
    """
    lines = [f"# {escaped(title)}", "", f"**{escaped(sentence)}**", ""]
    lines += [escaped(" ".join(beside)), ""] if beside else []
    lines += [" · ".join(f"{escaped(name)}: {escaped(value)}" for name, value in facts), ""]
    for section in sections:
        file, what = (pictures or {}).get(section.id, ("", ""))
        if not (section.tables or section.code or file):
            continue
        lines += [f"## {escaped(section.heading)}", ""]
        lines += [escaped(section.lead), ""] if section.lead else []
        lines += [f"![{escaped(what)}](figures/{file})", ""] if file else []
        for table in section.tables:
            bars = solution.weights if solution and section.id == "weights" else None
            lines += _folded(table, _table(table, bars))
        for label, text in section.code:
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            block = [fence, text, fence, ""]
            if text.count("\n") < _LONG:
                lines += [f"{escaped(label)}:", "", *block]
            else:
                lines += ["<details>", f"<summary>{escaped(label)}</summary>", "", *block, "</details>", ""]
        lines += [f"- {escaped(note)}" for note in section.notes] + ([""] if section.notes else [])
        summary, sentences = section.folded
        if sentences:
            lines += ["<details>", f"<summary>{escaped(summary)}</summary>", ""]
            lines += [*(f"- {escaped(text)}" for text in sentences), "", "</details>", ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table, bars: object = None) -> list[str]:
    columns, rows = list(table.columns), [[_cell(cell) for cell in row] for row in table.rows]
    if isinstance(bars, dict) and bars:
        largest = max(bars.values())
        columns.insert(1, ("", False))
        for row, domain in zip(rows, in_order(bars), strict=True):
            share = bars[domain]
            row.insert(1, "█" * max(round(16 * share / largest), 1 if share > 0 else 0))
    lines = ["| " + " | ".join(escaped(name) for name, _ in columns) + " |"]
    lines.append("|" + "|".join("---:" if number else "---" for _, number in columns) + "|")
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _cell(cell: Cell) -> str:
    mark = f"{_MARKS[cell.status]} " if cell.status else ""
    return mark + escaped(cell.text) + (f" ({escaped(cell.note)})" if cell.note else "")


def _folded(table: Table, lines: list[str]) -> list[str]:
    caption = escaped(table.caption)
    if table.tall or len(table.rows) > _LONG:
        return ["<details>", f"<summary>{caption}</summary>", "", *lines, "</details>", ""]
    return [f"*{caption}*", "", *lines] if table.caption != "Health checks" else lines
