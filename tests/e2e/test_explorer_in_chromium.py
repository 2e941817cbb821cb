"""The explorer in a real browser: sliders and buttons say what the Python law says; axe-core finds nothing serious."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import yaml

from chromium import NEEDED, browser, open_file, screenshot, until
from light_reports import empty_files, without_figures
from mixlaw.core.tokens import format_tokens
from mixlaw.fit import fit_law
from mixlaw.report import write_report
from mixlaw.report.explorer import explorer_fit
from mixlaw.solve.solving import solve_mixture
from quick_fits import few_draws, few_folds
from report_examples import example
from report_fits import AVAILABLE, planted

__all__ = ["browser"]
pytestmark = NEEDED

STUDIES = {
    "three": ("transfer", {}),
    "pairwise": ("pairwise", {"interference": True, "decay": 4.0}),
}
ONE_STUDY = pytest.mark.parametrize("material", ["three"], indirect=True)
"""For what the law has no part in."""


@pytest.fixture(scope="module")
def materials(tmp_path_factory):
    """Return a function from the name of a study to its report, written once."""

    @functools.cache
    def made(name):
        law, options = STUDIES[name]
        fit = planted(law, **options)
        solution = solve_mixture(fit, 4e6, available=AVAILABLE)
        study = {"available_tokens": AVAILABLE, "commands": ["mixlaw run mix.yaml"]}
        logs = {run: [(step + 1, 3.0 - 0.1 * step) for step in range(10)] for run in fit.runs.runs[:3]}
        about = {"title": "Bot", "study": study, "logs": logs}
        with empty_files():
            files = write_report(tmp_path_factory.mktemp("report"), runs=fit.runs, fit=fit, solution=solution, **about)
        return name, files["html"], explorer_fit(fit, solution), solution

    return made


@pytest.fixture(scope="module", params=STUDIES)
def material(request, materials):
    return materials(request.param)


@pytest.fixture
def opened(browser, material):
    context, page, wrong = open_file(browser, material[1])
    until(page, "document.querySelector('#explorer-yaml').textContent !== ''")
    yield page
    context.close()
    assert wrong == []


def slide(page, name: str, value: float) -> None:
    """Move a slider as a hand does: the value, then the events."""
    page.get_by_role("slider", name=name, exact=True).evaluate(
        "(node, v) => { node.value = v; node.dispatchEvent(new Event('input', {bubbles: true}));"
        " node.dispatchEvent(new Event('change', {bubbles: true})); }",
        value,
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def chosen(page) -> dict:
    return yaml.safe_load(page.locator("#explorer-yaml").inner_text())


def shown(page) -> tuple[float, dict[str, list[float]]]:
    """Return the total and target -> [mean, low, high] as the page shows them."""
    rows = page.locator("#explorer tbody tr").evaluate_all(
        "all => all.map(r => [r.dataset.target, r.cells[1].innerText])"
    )
    losses = {target: [float(number) for number in re.findall(r"\d+\.\d+", text)] for target, text in rows}
    return float(page.locator("#explorer-total").inner_text()), losses


def assert_the_law_says_so(page, fit, weights: dict[str, float], budget: float) -> None:
    """The page shows four decimals; half of the last is allowed, and what rounding the shares adds."""
    total, losses = shown(page)
    tokens = {domain: share * budget for domain, share in weights.items()}
    expected = fit.predict(tokens, AVAILABLE)
    assert total == pytest.approx(expected.mean.sum(), abs=1e-4)
    for j, target in enumerate(fit.targets):
        band = [expected.mean[0, j], expected.mean_low[0, j], expected.mean_high[0, j]]
        assert losses[target] == pytest.approx(band, abs=1e-4)


def test_it_opens_at_the_optimum_with_the_report_s_own_numbers(opened, material):
    _, _, _, solution = material
    assert opened.get_by_role("button", name="Optimum").get_attribute("aria-pressed") == "true"
    total, losses = shown(opened)
    assert total == pytest.approx(solution.total_loss, abs=1e-4)
    for target, band in solution.predicted.items():
        assert losses[target] == pytest.approx([band[part] for part in ("mean", "mean_low", "mean_high")], abs=1e-4)
    assert chosen(opened)["tokens"] == pytest.approx(dict(solution.tokens), abs=1)
    against = opened.locator("#explorer-against").inner_text()
    assert "natural mixture" in against


def test_a_slider_moves_its_weight_and_the_others_give_way_in_proportion(opened, material):
    _, _, fit, solution = material
    slide(opened, "code", 40)
    rest = {d: w for d, w in solution.weights.items() if d != "code"}
    weights = {"code": 0.4} | {d: 0.6 * w / sum(rest.values()) for d, w in rest.items()}
    assert chosen(opened)["weights"] == pytest.approx(weights, abs=1e-4)
    assert_the_law_says_so(opened, fit, weights, solution.budget_tokens)
    # All the way and back: the others return in their proportions.
    slide(opened, "code", 100)
    assert chosen(opened)["weights"]["code"] == 1
    assert_the_law_says_so(opened, fit, {"code": 1.0}, solution.budget_tokens)
    slide(opened, "code", 40)
    assert chosen(opened)["weights"] == pytest.approx(weights, abs=1e-4)


def test_the_budget_slider_is_logarithmic_and_changes_every_loss(opened, material):
    _, _, fit, solution = material
    before = shown(opened)[0]
    slide(opened, "Budget", 1000)
    budget = chosen(opened)["budget"]
    assert budget == pytest.approx(10 * solution.budget_tokens, rel=1e-6)
    assert format_tokens(budget) in opened.locator("#explorer-budget-value").inner_text()
    assert_the_law_says_so(opened, fit, solution.weights, budget)
    assert shown(opened)[0] < before
    slide(opened, "Budget", 500)
    low, high = opened.evaluate("JSON.parse(document.getElementById('explorer-data').textContent).budgets")
    assert chosen(opened)["budget"] == pytest.approx(np.sqrt(low * high), rel=1e-3)


def test_buttons_set_the_mixtures_and_say_which_is_chosen(opened, material):
    _, _, fit, solution = material
    for name in ("natural", "equal"):
        button = opened.get_by_role("button", name=name.capitalize())
        button.click()
        weights = solution.baselines[name]["weights"]
        until(opened, f"document.querySelector('[data-mixture={name}]').ariaPressed === 'true'")
        assert chosen(opened)["weights"] == pytest.approx(weights, abs=1e-4)
        assert_the_law_says_so(opened, fit, weights, solution.budget_tokens)
    path = opened.get_by_role("group", name="Best weights at other budgets").get_by_role("button")
    assert path.count() == 7
    path.last.click()
    until(opened, f"document.querySelector('#explorer-yaml').textContent.includes('{solution.budget_tokens}0')")
    opened.get_by_role("button", name="Optimum").click()
    until(opened, "document.querySelector('[data-mixture=optimum]').ariaPressed === 'true'")
    assert chosen(opened)["budget"] == solution.budget_tokens


@ONE_STUDY
def test_the_keyboard_moves_a_slider_and_a_screen_reader_hears_it(opened, material):
    slider = opened.get_by_role("slider", name="math", exact=True)
    slider.focus()
    before = chosen(opened)["weights"]["math"]
    for _ in range(5):
        opened.keyboard.press("ArrowRight")
    until(opened, "document.getElementById('explorer-status').textContent !== ''")
    expected = pytest.approx(before + 0.005, abs=1.1e-3)
    for _ in range(100):  # the first press has said something; the page may still be drawing the others
        if chosen(opened)["weights"]["math"] == expected:
            break
        opened.wait_for_timeout(50)
    assert chosen(opened)["weights"]["math"] == expected
    assert "%" in slider.get_attribute("aria-valuetext") and "tokens" in slider.get_attribute("aria-valuetext")
    assert opened.locator("#explorer-status").inner_text().startswith("Total loss")


@ONE_STUDY
def test_the_map_shows_the_runs_and_a_press_on_it_chooses(opened, material):
    figure = opened.locator("#explorer .map svg")
    until(opened, "document.querySelectorAll('.map .run').length > 0")
    assert opened.locator("#explorer .map .run").count() == 14
    assert all(opened.locator("#explorer .map .cells path").nth(k).get_attribute("d") is not None for k in range(6))
    box = figure.bounding_box()
    figure.click(position={"x": box["width"] / 2, "y": box["height"] * 0.55})
    until(opened, "document.querySelector('[data-mixture=optimum]').ariaPressed === 'false'")
    assert min(chosen(opened)["weights"].values()) > 0.2


@ONE_STUDY
def test_copying_gives_yaml_that_sums_to_one(opened, material):
    slide(opened, "chat", 33.3)
    opened.locator("#explorer").get_by_role("button", name="Copy").click()
    until(opened, "document.getElementById('copied').textContent !== ''")
    value = chosen(opened)
    assert sum(value["weights"].values()) == pytest.approx(1, abs=1e-9)
    assert sum(value["tokens"].values()) == value["budget"]


@pytest.mark.parametrize(
    ("material", "width", "scheme"),
    [("three", 1280, "light"), ("three", 390, "dark"), ("pairwise", 1280, "dark"), ("pairwise", 390, "light")],
    indirect=["material"],
)
def test_axe_finds_nothing_serious(browser, material, width, scheme):
    sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    name, path, _, _ = material
    context, page, wrong = open_file(browser, path, width, scheme)
    until(page, "document.querySelectorAll('.map .run').length > 0")
    for details in page.locator("details > summary").all():
        if details.is_visible():
            details.click()
    screenshot(page, f"explorer-{name}-{width}-{scheme}")
    found = sync_playwright.Axe().run(page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [] and wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    context.close()


def test_more_than_three_domains_have_a_map_of_the_two_that_matter_most(browser, tmp_path):
    domains = ["a", "b", "c", "d", "e"]
    runs, fit = example(domains)
    solution = solve_mixture(fit, 2e7)
    with without_figures():
        path = write_report(tmp_path, runs=runs, fit=fit, solution=solution, title="t")["html"]
    context, page, wrong = open_file(browser, path)
    until(page, "document.querySelectorAll('.map .mixture').length > 0")
    first = page.get_by_role("combobox", name="First domain of the map")
    first.select_option("e")
    page.wait_for_timeout(300)
    assert page.locator(".map .name").first.text_content().startswith("e ")
    assert wrong == []
    context.close()


def test_two_domains_have_a_curve(browser, tmp_path):
    runs, fit = example(["a", "b"])
    with empty_files():
        path = write_report(tmp_path, runs=runs, fit=fit, solution=solve_mixture(fit, 2e6), title="t")["html"]
    context, page, wrong = open_file(browser, path, 390)
    until(page, "document.querySelectorAll('.map .curve').length > 0")
    screenshot(page, "two-domains-390")
    assert wrong == []
    context.close()


def test_a_law_without_an_equation_says_that_there_is_no_explorer(browser, tmp_path):
    with few_draws(), few_folds(2), empty_files():
        fit = fit_law(planted("chinchilla").runs, law="gbdt")
        path = write_report(tmp_path, runs=fit.runs, fit=fit, solution=None, title="t")["html"]
    context, page, wrong = open_file(browser, path)
    assert "There is no explorer" in page.locator("#explorer").inner_text()
    assert page.get_by_role("slider").count() == 0 and page.locator("#measured svg[role=img]").count() == 3
    assert wrong == []
    context.close()
