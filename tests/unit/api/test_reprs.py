"""What values show of themselves: a sentence as repr, a table as text, a table with figures in a notebook."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import mixlaw
from mixlaw.core.run import RunSpec
from mixlaw.core.runtable import RunTable

HOSTILE = "<img src=x onerror=alert(1)>"


def runs_of(names):
    rng = np.random.default_rng(0)
    tokens = rng.uniform(2e5, 2e6, (13, 2))
    tokens[0] = 6e5
    losses = 0.6 * (tokens / 1e6 + 0.2 * tokens[:, ::-1] / 1e6) ** -0.2 + 0.7
    return RunTable(tuple(f"run-{i}" for i in range(13)), names, names, tokens, losses, ("0",) * 13)


@pytest.fixture(scope="module")
def values():
    from mixlaw.api.files import Check
    from mixlaw.api.mixture import MixtureFiles
    from mixlaw.api.sweep import Plan
    from mixlaw.study.status import RunStatus, RunStatuses

    names = ("chat", HOSTILE)
    runs = runs_of(names)
    fit = mixlaw.fit(runs, law="transfer")
    specs = [RunSpec("base", {"chat": 100, HOSTILE: 300}, 0, {})]
    statuses = RunStatuses([RunStatus("base", "base-0", "failed", 400, f"the loss is {HOSTILE}")])
    counts = {"rows": 9, "tokens": 90, "supervised_tokens": 40}
    entry = {"achieved_share": 1.0, "achieved_tokens": 90, "epochs": 0.5, "rows": 9}
    return {
        "runs": runs,
        "fit": fit,
        "solution": mixlaw.solve(fit, "20M"),
        "prediction": mixlaw.predict(fit, {"chat": 1e6}),
        "predictions": mixlaw.predict(fit, runs),
        "laws": mixlaw.laws(runs, ["transfer", "ridge"]),
        "plan": Plan(specs, list(statuses), ["a note"], None),
        "statuses": statuses,
        "check": Check(
            {HOSTILE: {"format": "messages", "train": counts, "validation": counts}}, {}, 9, 900, 1000, ["a note"]
        ),
        "files": MixtureFiles({"achieved_tokens": 90, "domains": {HOSTILE: entry}}, Path("mix")),
    }


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


NAMES = ("runs", "fit", "solution", "prediction", "predictions", "laws", "plan", "statuses", "check", "files")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_gets_a_table_in_which_names_are_text(values, name):
    html, parser = values[name]._repr_html_(), Tags()
    parser.feed(html)
    assert parser.open == [] and "table" in parser.seen
    assert "img" not in parser.seen and "script" not in parser.seen


@pytest.mark.parametrize("name", ["runs", "solution", "prediction", "laws", "plan"])
def test_these_have_figures(values, name):
    assert "<svg" in values[name]._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_repr_is_one_short_line_and_text_is_a_table(values, name):
    said, text = repr(values[name]), str(values[name])
    assert said.startswith("<") and said.endswith(">") and "\n" not in said and "array(" not in said
    assert len(said) < 200
    assert "\n" in text and "<svg" not in text and "array(" not in text


def test_the_containers_stay_what_they_were(values):
    assert isinstance(values["laws"], list) and isinstance(values["statuses"], list)
    manifest, folder = values["files"]
    assert manifest["achieved_tokens"] == 90 and folder.name == "mix"
    assert values["prediction"].targets == ("chat", HOSTILE)
    assert set(values["fit"].parameters["chat"]) == {"C", "k", "alpha", "beta", "E"}
    assert set(values["fit"].status) == {"chat", HOSTILE}
