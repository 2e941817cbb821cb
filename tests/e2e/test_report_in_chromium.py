"""The report in a real browser: no error, no request, hostile names as text, both themes, keyboard, phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chromium import NEEDED, browser, open_file, screenshot, until
from light_reports import empty_files
from mixlaw.report import write_report
from mixlaw.solve.solving import solve_mixture
from report_examples import HOSTILE, example

__all__ = ["browser"]
pytestmark = NEEDED


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    domains = [HOSTILE, "</script><script>alert(2)</script>", *(f"domain {i}" for i in range(8))]
    runs, fit = example(domains)
    fit = replace(fit, warnings=(f"{HOSTILE}: E ended at a bound.",))
    available = {domain: 4e6 for domain in domains}
    solution, path = solve_mixture(fit, 2e7, available=available), [solve_mixture(fit, n) for n in (5e6, 2e7, 8e7)]
    study = {"commands": ["mixlaw run mix.yaml"], "model": HOSTILE, "hashes": {HOSTILE: HOSTILE}}
    folder = tmp_path_factory.mktemp("report")
    with empty_files():
        files = write_report(folder, runs=runs, fit=fit, solution=solution, title=HOSTILE, study=study, path=path)
    return files["html"]


@pytest.fixture
def opened(browser, report):
    """Return a function that opens the report and collects whatever goes wrong."""
    contexts = []

    def open_page(width: int = 1280, scheme: str = "light"):
        context, page, wrong = open_file(browser, report, width, scheme)
        contexts.append(context)
        return page, wrong

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_loads_without_error_or_request_and_fits_the_window(opened, width, scheme):
    page, wrong = opened(width, scheme)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    screenshot(page, f"report-{width}-{scheme}")
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [1280, 390])
def test_no_text_of_a_figure_is_cut_off_at_its_edge(opened, width):
    page, _ = opened(width)
    cut = page.evaluate(
        """() => [...document.querySelectorAll("svg.figure")].flatMap((figure) => {
          const box = figure.getBoundingClientRect();
          return [...figure.querySelectorAll("text")].filter((text) => {
            const own = text.getBoundingClientRect();
            return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1
              || own.bottom > box.bottom + 1;
          }).map((text) => text.textContent);
        })"""
    )
    assert cut == []


def test_a_hostile_name_shows_as_text_everywhere(opened):
    page, wrong = opened()
    assert page.locator("img").count() == 0 and page.locator("script").count() == 4
    assert page.title().startswith(HOSTILE)
    assert HOSTILE in page.locator("#weights table").inner_text()
    data = page.evaluate("JSON.parse(document.getElementById('report-data').textContent)")
    assert data["title"] == HOSTILE
    assert HOSTILE in page.locator("#explorer .sliders").inner_text()
    assert HOSTILE in page.locator("#explorer-yaml").inner_text()
    explorer = page.evaluate("JSON.parse(document.getElementById('explorer-data').textContent)")
    assert explorer["domains"][0]["name"] == HOSTILE
    page.locator(f"#weights .mark[data-tip^='{HOSTILE}']").hover()
    assert page.locator("#tip").inner_text().startswith(HOSTILE)
    assert wrong == []


def test_the_toggle_changes_the_colours_and_tells_so(opened):
    page, wrong = opened()
    paper = "getComputedStyle(document.body).backgroundColor"
    light, button = page.evaluate(paper), page.get_by_role("button", name="Dark colours")
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true" and page.evaluate(paper) != light
    for _ in range(5):  # the browser keeps what a page stores a moment later, and a page may be loaded before
        page.reload()
        if page.evaluate(paper) != light:
            break
        page.wait_for_timeout(500)
    assert page.evaluate(paper) != light
    assert wrong == []


def test_the_keyboard_reaches_the_report_first_and_then_every_section(opened):
    page, _ = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    links = page.get_by_role("navigation", name="Sections").get_by_role("link")
    assert links.count() == page.get_by_role("heading", level=2).count() >= 9
    assert page.get_by_role("heading", level=1).count() == 1


def test_every_chart_has_a_name_and_every_table_a_caption(opened):
    page, _ = opened()
    names = page.locator("main figure svg[role=img]").evaluate_all("all => all.map(s => s.getAttribute('aria-label'))")
    assert len(names) > 10 and all(len(name) > 20 for name in names)
    captions = page.locator("table").evaluate_all("all => all.map(t => t.caption && t.caption.textContent)")
    assert captions and all(captions)


def test_text_has_the_contrast_that_readers_need(opened):
    """WCAG AA asks 4.5:1 of text; black on white is 21:1."""
    for scheme in ("light", "dark"):
        page, _ = opened(scheme=scheme)
        worst = page.evaluate(CONTRAST)
        assert worst >= 4.5, f"{scheme}: {worst:.2f}"


def test_copying_a_command_says_so(opened):
    page, wrong = opened()
    page.locator("#again").get_by_role("button", name="Copy").first.click()
    until(page, "document.getElementById('copied').textContent !== ''")
    assert wrong == []


CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const paper = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      layers.push(color.length === 3 ? [...color, 1] : color);
      if (layers.at(-1)[3] === 1) break;
    }
    const over = (under, [r, g, b, a]) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]);
    return layers.reverse().reduce(over, [255, 255, 255]);
  };
  let worst = 21;
  for (const node of document.querySelectorAll("p, td, th, small, dt, dd, a, summary, li, button, figure text")) {
    if (!node.getClientRects().length || !node.textContent.trim()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgb(node.tagName === "text" ? style.fill : style.color)), light(paper(node))];
    worst = Math.min(worst, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return worst;
}"""
