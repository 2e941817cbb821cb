"""The technical report and the experiments' pages, from templates and the committed result files.

    python docs/report/build.py           writes docs/report/report.md, docs/insights.md and docs/experiments/*.md
    python docs/report/build.py --pdf     the pictures and docs/report/report.pdf as well (Matplotlib, Chromium)

A page's text is `templates/NAME.md.j2`. Its figures are read where they are shown: `data("bench/cost/reporting.json")`
is the file, or nothing where it is not there yet. A figure that a file lacks is an error.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jinja2
from pictures import KINDS, PICTURES, write_pictures

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EARLIER = (
    "*Weights and predictions here are those of the law when this was run. What it believes beyond its runs has "
    "changed since ([why](beyond.md)).*"
)
"""Stands on the pages of experiments that were solved by an earlier law."""
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\([^)]*\)")
STYLE = """
@page { size: A4; margin: 17mm 18mm }
body { font: 9.6pt/1.36 "DejaVu Sans", Arial, sans-serif; color: #111 }
h1 { font-size: 18pt; margin: 0 0 4pt } h2 { font-size: 13pt; margin: 13pt 0 4pt }
h3 { font-size: 10.5pt; margin: 9pt 0 3pt } p:has(+ table) { break-after: avoid }
p, ul { margin: 4pt 0 } h1, h2, h3 { break-after: avoid } tr, pre, img { break-inside: avoid }
table { border-collapse: collapse; font-size: 8.4pt; margin: 5pt 0; break-inside: avoid }
td { white-space: nowrap }
th, td { border-bottom: .5pt solid #bbb; padding: 2pt 6pt; text-align: right } th { border-bottom: 1pt solid #333 }
th:first-child, td:first-child { text-align: left }
code, pre { font: 8.2pt "DejaVu Sans Mono", monospace } pre { background: #f4f4f4; padding: 5pt 7pt; margin: 5pt 0 }
img { width: 100% }
"""


def pages() -> dict[Path, str]:
    """Return the text of every page by its path."""
    loader = jinja2.FileSystemLoader(HERE / "templates")
    templates = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, from our own files
    )
    templates.globals |= {
        "earlier": EARLIER,
        "data": data,
        "rows": rows,
        "kinds": KINDS,
        "drawn": drawn,
        "n": number,
        "signed": signed,
    }
    made = {where(name): templates.get_template(name).render() for name in loader.list_templates()}
    return {path: re.sub(r" +$", "", text, flags=re.MULTILINE) for path, text in made.items()}


def where(template: str) -> Path:
    """Return the path of a template's page."""
    name = template.removesuffix(".j2")
    if name == "report.md":
        return HERE / name
    return HERE.parent / (name if name == "insights.md" else f"experiments/{name}")


def data(path: str) -> Any:
    """Return what a result file of the repository holds; nothing if it is not there yet."""
    file = ROOT / path
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def rows(path: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a run table by their runs' names, numbers as numbers; none where it is not there yet."""
    if not (ROOT / path).exists():
        return {}
    with open(ROOT / path, encoding="utf-8", newline="") as file:
        return {
            row["run"]: {key: float(cell) for key, cell in row.items() if ":" in key} for row in csv.DictReader(file)
        }


def drawn(name: str, words: str) -> str:
    """Return the line that shows a picture of the experiments; nothing where there is nothing to draw yet."""
    there = any(Path(one.path).stem == name and one.there for one in PICTURES)
    place = "experiments/" if name == "insights" else ""  # its page lies a folder above
    return f"![{words}]({place}{name}.png)" if there else ""


def number(value: float | None, places: int = 2) -> str:
    """Return a number with so many decimal places; a dash where there is none."""
    return "-" if value is None else f"{value:,.{places}f}".replace("-", "−")


def signed(value: float, places: int = 2) -> str:
    """Return a number with its sign."""
    return f"{value:+.{places}f}".replace("-", "−")


def title(text: str) -> str:
    """Return the PDF's title: it says of which text it is."""
    return f"mixlaw: technical report {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def write_pdf(text: str, path: Path) -> None:
    """Print Markdown to PDF with the system's Chromium."""
    import markdown
    from playwright.sync_api import sync_playwright

    plain = LINK.sub(r"\1", text.replace(" [As PDF](report.pdf).", ""))  # links of the site lead nowhere from a PDF
    body = markdown.markdown(plain, extensions=["tables", "fenced_code"])
    page_file = path.with_suffix(".print.html")
    head = f"<!doctype html><meta charset=utf-8><title>{title(text)}</title><style>{STYLE}</style>"
    page_file.write_text(head + body, encoding="utf-8")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(page_file.as_uri())
            page.pdf(path=str(path), prefer_css_page_size=True)
            browser.close()
    finally:
        page_file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdf", action="store_true", help="draw the pictures and print the report, too")
    wishes = parser.parse_args()
    made = pages()
    for path, text in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if wishes.pdf:
        write_pictures()
        write_pdf(made[HERE / "report.md"], HERE / "report.pdf")


if __name__ == "__main__":
    main()
