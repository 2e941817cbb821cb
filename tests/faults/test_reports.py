"""A study's report is written once; one that has changed, or whose study has, is written anew."""

import shutil

import pytest

import mixlaw
from light_reports import without_figures
from mixlaw.api import reported
from mixlaw.core import checksums
from mixlaw.core.documents import read_document, write_document


@pytest.fixture(scope="module", autouse=True)
def quick():
    with without_figures():
        yield


@pytest.fixture(scope="module")
def reported_study(counted_study, tmp_path_factory):
    """A copy of the study, and one of that copy with its report, whose commands name the first."""
    folder = tmp_path_factory.mktemp("reported")
    copy = shutil.copytree(counted_study.parent, folder / "copy")
    mixlaw.report(copy / "mix.yaml")
    return copy, shutil.copytree(copy, folder / "kept")


@pytest.fixture
def config(reported_study, monkeypatch):
    copy, kept = reported_study
    shutil.rmtree(copy)
    shutil.copytree(kept, copy)
    monkeypatch.setattr(checksums, "_known", {})
    return copy / "mix.yaml"


def contents(config):
    folder = config.parent / "study" / "report"
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def written(monkeypatch):
    """Count the reports that are written."""
    import mixlaw.report as package

    real, calls = package.write_report, []
    monkeypatch.setattr(package, "write_report", lambda *a, **k: calls.append(a) or real(*a, **k))
    return calls


def test_a_report_that_is_there_is_not_written_again(config, written):
    before = contents(config)
    assert {path.name for path in before} > {"report.html", "report.md", "report.json"}
    assert mixlaw.report(config)["html"] == config.parent / "study" / "report" / "report.html"
    assert not written and contents(config) == before


def test_each_of_its_files_is_verified_and_written_anew(config, written, monkeypatch):
    before = contents(config)
    kinds = {path.suffix: path for path in before}  # one of each
    assert {".html", ".md", ".json", ".png"} <= kinds.keys()
    for count, path in enumerate(kinds.values(), start=1):
        data = bytearray(before[path])
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        monkeypatch.setattr(checksums, "_known", {})
        assert not mixlaw.verify(config, retrain=0).sound, path
        mixlaw.report(config)
        assert len(written) == count and contents(config) == before, path
    assert mixlaw.verify(config, retrain=0).sound


@pytest.mark.parametrize("change", ["solution", "log", "code", "facts"])
def test_what_it_was_made_from_decides(config, written, change, monkeypatch):
    study = config.parent / "study"
    if change == "solution":
        value = read_document(study / "solution.json", "solution")
        write_document(study / "solution.json", "solution", value | {"warnings": ["another"]})
    elif change == "log":
        path = next(iter(sorted(study.glob("runs/*/timing.json"))))
        (path.parent / "metrics.jsonl").write_text('{"step": 1, "steps": 1, "loss": 3.0}\n')
        files = checksums.checksums(path.parent, ["metrics.jsonl"])
        write_document(path, "timing", read_document(path, "timing") | {"files": files})
    elif change == "code":
        monkeypatch.setattr(reported, "code_of", lambda *_: "another")
    else:
        path = study / "prices.json"
        value = read_document(path, "prices")
        write_document(path, "prices", value | {"evaluation_tokens": value["evaluation_tokens"] * 2})
    mixlaw.report(config)
    assert len(written) == 1
    mixlaw.report(config)
    assert len(written) == 1


def test_of_a_law_of_the_users_nothing_is_believed(config, written, monkeypatch):
    monkeypatch.setattr(reported, "is_bundled", lambda law: False)
    mixlaw.report(config)
    mixlaw.report(config)
    assert len(written) == 2
    assert mixlaw.verify(config, retrain=0).sound
