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
from mixlaw.report.health import FAIL, PASS, WARN, Check
from mixlaw.report.sections import Section
from mixlaw.report.svg import Figure, Markup, stylesheet

TEMPLATES = Path(__file__).parent / "templates"
_DATA_SIZE = 1_000_000
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

    Raises:
        MissingExtra: Jinja is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ImportError:
        raise MissingExtra("jinja2", "report", "the report") from None

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["kept"] = lambda text: text.replace(" %", "\u00a0%")
    parts = ("law", "map", "explorer", "report") if explorer.get("domains") else ("report",)
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
        reference=next((m["name"] for m in explorer.get("mixtures", ()) if m["name"] != "optimum"), ""),
        style=Markup(stylesheet() + _read("report.css") + _read("explorer.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        policy=_policy(scripts.values()),
        panels_shown=_PANELS_SHOWN,
        key=_key,
    )


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


def _key(kind: str) -> Markup:
    """Return the small drawing that stands for a kind of mark in a legend."""
    style = "" if kind.startswith("mix-") else " series-key"
    drawings = {
        "bar": f'<rect x="1" y="5" width="22" height="8" rx="2" class="fill{style}"/>',
        "mark-equal": '<line x1="12" y1="2" x2="12" y2="16" class="mark-equal"/>',
        "mark-natural": '<line x1="12" y1="2" x2="12" y2="16" class="mark-natural"/>',
        "full": f'<circle cx="12" cy="9" r="4.5" class="point full{style}"/>',
        "hollow": f'<circle cx="12" cy="9" r="4.5" class="point hollow{style}"/>',
        "curve": f'<line x1="1" y1="9" x2="23" y2="9" class="curve{style}"/>',
        "faint": f'<line x1="1" y1="9" x2="23" y2="9" class="curve faint{style}"/>',
        "beyond": f'<line x1="1" y1="9" x2="23" y2="9" class="curve beyond{style}"/>',
        "band": f'<rect x="1" y="3" width="22" height="12" class="band{style}"/>',
        "diamond": f'<path d="M12,3l6,6l-6,6l-6,-6Z" class="diamond{style}"/>',
        "whisker": f'<line x1="1" y1="9" x2="23" y2="9" class="whisker{style}"/>',
        "help": '<rect x="1" y="3" width="22" height="12" rx="3" class="tone help-3"/>',
        "hurt": '<rect x="1" y="3" width="22" height="12" rx="3" class="tone hurt-3"/>',
        "open": '<rect x="1" y="3" width="22" height="12" rx="3" class="tone open"/>',
        "edge": '<line x1="12" y1="1" x2="12" y2="17" class="edge"/>',
        "diagonal": '<line x1="1" y1="16" x2="23" y2="2" class="diagonal"/>',
    }
    if kind.startswith("mix-") and kind in ("mix-recommended", "mix-natural"):
        drawings[kind] = f'<circle cx="12" cy="9" r="4.5" class="dot {kind}"/>'
    body = Markup(drawings.get(kind, ""))
    return Markup(Figure("", "", body, 24, 18).svg.replace('role="img" aria-label=". "', 'aria-hidden="true"'))
