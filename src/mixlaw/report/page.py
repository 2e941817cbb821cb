"""report.html: one file that needs nothing else.

A content security policy forbids every request and every script but the page's own two, which are named by their hash,
so that not even markup that slipped through could run or load anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixlaw.core.errors import MissingExtra
from mixlaw.core.target_units import losses_in
from mixlaw.report.drawing import key_svg
from mixlaw.report.health import FAIL, PASS, WARN, Check
from mixlaw.report.palette import stylesheet
from mixlaw.report.section import Section

TEMPLATES = Path(__file__).parent / "templates"
_DATA_SIZE = 1_000_000
TONES = {"help": "help-3", "hurt": "hurt-3", "open": "open"}
_PANELS_SHOWN = 6
"""Small figures shown at once; the others are folded."""


def render_page(
    title: str,
    sentence: str,
    beside: Sequence[str],
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    checks: Sequence[Check],
    document: dict[str, Any],
    explorer: dict[str, Any],
    targets: Sequence[str] = (),
) -> str:
    """Return the HTML text of the report.

    Args:
        title: heading.
        sentence: the answer.
        beside: sentences beside it.
        facts: (name, value).
        sections: what to say.
        checks: the health checks, for their count.
        document: report.json.
        explorer: the data of the explorer, or why there is none.
        targets: whose losses the page speaks of, for their unit.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    require_jinja()
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["kept"] = lambda text: text.replace(" %", "\u00a0%")
    parts = ("law", "map", "explorer", "report", "csv") if explorer.get("domains") else ("report", "csv")
    scripts = {"theme": _read("theme.js"), "report": "".join(_read(f"{name}.js") for name in parts)}
    return environment.get_template("report.html.j2").render(
        title=title,
        sentence=sentence,
        beside=beside,
        facts=facts,
        sections=sections,
        counts=[(status, sum(c.status == status for c in checks)) for status in (PASS, WARN, FAIL)],
        data=Markup(_data(document)),
        explorer=Markup(script_json(explorer)) if explorer.get("domains") else "",
        units={"losses": losses_in(targets), "differences": explorer.get("total_unit", "nats")},
        reference=next((m["name"] for m in explorer.get("mixtures", ()) if m["name"] != "optimum"), ""),
        style=Markup(stylesheet() + _read("report.css") + _read("explorer.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        policy=_policy(scripts.values()),
        panels_shown=_PANELS_SHOWN,
        key=_key,
    )


def require_jinja() -> None:
    """Raise MissingExtra where Jinja, which writes the page, is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise MissingExtra("jinja2", "report", "the report") from None


def _data(document: dict[str, Any]) -> str:
    """Return the data inside the page: all of it, or without the single runs where those are many."""
    text = script_json(document)
    if len(text) <= _DATA_SIZE:
        return text
    return script_json({key: value for key, value in document.items() if key not in ("runs", "predicted_runs")})


def script_json(value: Any) -> str:
    """Return JSON that can stand inside a `<script>` element: no `<`, `>`, `&` nor line separators appear."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(scripts: Any) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'; form-action 'none'"


def _key(kind: str, place: str) -> str:
    """Return the small drawing that stands for a kind of mark in a legend, or a patch of a table's tone."""
    return f'<i class="tone {TONES[kind]}"></i>' if kind in TONES else key_svg(kind, place)
