"""What `push` would write, what it refuses, and that a study comes back from the Hub as it went."""

import json
import shutil

import numpy as np
import pytest

import mixlaw
from hub_stub import running_hub
from mixlaw.api.project import Project
from mixlaw.api.push import forget_places, paths_in, push, write_study
from mixlaw.cli import main
from mixlaw.core.errors import ConfigError, HubError, StudyError
from quick_study import short_fits, trained_here, write_quick_demo


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    config = write_quick_demo(tmp_path_factory.mktemp("push"))
    config.write_text(config.read_text(encoding="utf-8") + "\nfit: {law: transfer}\n", encoding="utf-8")
    with short_fits():
        with trained_here():
            mixlaw.run(config)
        yield config


def licensed(config, **licences):
    text = config.read_text(encoding="utf-8")
    for name, licence in licences.items():
        text = text.replace(f"data/{name}.jsonl.gz}}", f"data/{name}.jsonl.gz, license: {licence}}}")
    other = config.with_name("licensed.yaml")
    other.write_text(text, encoding="utf-8")
    return Project(mixlaw.config.load_config(other), file=config)


def names(config):
    return list(Project.open(config).domains)


def test_a_dry_run_of_the_study_shows_the_files_and_asks_nobody(finished, capsys, monkeypatch):
    monkeypatch.setattr("mixlaw.api.hub._ask", lambda *_: pytest.fail("the Hub was asked"))
    assert main(["push", str(finished), "study", "--repo", "me/study", "--dry-run", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {"README.md", "runs.csv", "fit.json", "solution.json", "mix.yaml", "report/report.html"} <= set(files)
    assert all(size > 0 for size in files.values())


def test_a_published_study_names_no_place_of_this_machine_and_shows_no_row(finished, tmp_path):
    project = Project.open(finished)
    write_study(project, tmp_path)
    here = str(finished.parent)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert here.encode() not in path.read_bytes(), path
    assert not list(tmp_path.rglob("*.jsonl*"))
    assert mixlaw.load_fit(tmp_path / "fit.json").law == project.fit.law


def test_places_that_lie_elsewhere_are_forgotten_and_words_that_look_alike_are_kept(tmp_path):
    config = {"train": {"command": "python /opt/secret/train.py --cache=/data"}, "paths": ["/srv/a b", "relative/x"]}
    places = {place: place.rpartition("/")[2] for place in paths_in(config)}
    assert set(places) == {"/opt/secret/train.py", "/data", "/srv/a b", "/srv/a"}
    said = "/opt/secret/train.py /data/x and/data /database '/srv/a b' /srv/a%20b"
    (tmp_path / "report.md").write_text(said, encoding="utf-8")
    forget_places(tmp_path, places)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == "train.py data/x and/data /database 'a b' a b"


def test_a_study_that_was_pushed_is_fitted_and_adopted_to_the_same_fit(finished, tmp_path, monkeypatch):
    with running_hub(monkeypatch, tmp_path / "cache") as hub:
        done = push(finished, "study", "me/study")
        assert hub.commits == 1
        assert hub.private == {"me/study": True}
        assert set(hub.files) == set(done.files)
        direct = mixlaw.fit("hf:me/study")
        other = tmp_path / "other"
        shutil.copytree(finished.parent, other, ignore=shutil.ignore_patterns("study", "cache"))
        mixlaw.adopt(other / "mix.yaml", "hf:me/study")
        adopted = mixlaw.fit(other / "mix.yaml")
    own = mixlaw.fit(finished)
    tokens = np.full((1, len(own.domains)), 5000.0)
    for fit in (direct, adopted):
        assert fit.law == own.law
        assert fit.predict(tokens, at="point").mean == pytest.approx(own.predict(tokens, at="point").mean, rel=1e-6)


def test_a_mixture_goes_with_its_card_and_the_notices_of_its_sources(finished, tmp_path, monkeypatch):
    with running_hub(monkeypatch, tmp_path / "cache") as hub:
        done = push(finished, "mixture", "me/mix")
    assert "README.md" in hub.files
    assert "train.jsonl" in hub.files
    assert any(name.startswith("notices/") for name in hub.files)
    assert "manifest.json" not in hub.files
    assert not done.public


@pytest.mark.parametrize(
    ("licence", "said"),
    [("cc-by-nd-4.0", "forbids that changed copies"), ("proprietary", "allows no copies"), ("other", "is not known")],
)
def test_a_public_mixture_is_refused_where_a_licence_forbids_it(finished, licence, said):
    first, *rest = names(finished)
    project = licensed(finished, **{first: licence}, **dict.fromkeys(rest, "apache-2.0"))
    with pytest.raises(ConfigError, match=said) as caught:
        push(project, "mixture", "me/mix", public=True, dry_run=True)
    assert "apache" not in caught.value.message
    assert push(project, "mixture", "me/mix", dry_run=True).licences[first] == licence


def test_what_licences_ask_is_said(finished):
    first, *rest = names(finished)
    project = licensed(finished, **{first: "cc-by-nc-sa-4.0"}, **dict.fromkeys(rest, "mit"))
    done = push(project, "mixture", "me/mix", public=True, dry_run=True)
    assert [text.split(", ")[-1] for text in done.conditions] == [
        "allows no commercial use.",
        "asks that copies keep the same licence.",
    ]


def test_a_repository_that_is_public_already_takes_no_mixture_of_unknown_licence(finished, tmp_path, monkeypatch):
    with running_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.private["me/mix"] = False
        with pytest.raises(ConfigError, match="its licence is not known"):
            push(finished, "mixture", "me/mix")
        assert hub.commits == 0
        hub.private["me/mix"] = True
        assert not push(finished, "mixture", "me/mix", public=True).public


def test_what_cannot_be_pushed_is_said(finished, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="USER/NAME"):
        push(finished, "study", "study", dry_run=True)
    with pytest.raises(StudyError, match="no models yet"):
        push(finished, "model", "me/model", dry_run=True)
    with pytest.raises(StudyError, match=r"no manifest\.json"):
        push(finished, "mixture", "me/mix", folder=tmp_path, dry_run=True)
    with running_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.refuses = True
        with pytest.raises(HubError, match="You have no right"):
            push(finished, "study", "me/study")
        with pytest.raises(HubError, match="no readable run table"):
            mixlaw.fit("hf:me/nothing")
