"""Every JSON file of a study has a format number, and a damaged one is one clear sentence, not a traceback."""

import json
import shutil
from pathlib import Path

import pytest

import mixlaw as package
from light_reports import without_figures
from mixlaw.api.project import Project
from mixlaw.core.documents import KINDS, read_document
from mixlaw.core.errors import MixlawError, RunFailed
from mixlaw.core.run import RunRecord, TargetLoss
from quick_fits import few_draws, few_folds


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Fits and reports of which nothing but their files is read."""
    with few_draws(), few_folds(2), without_figures():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with planted losses instead of training: planned, fitted, solved, mixed and reported."""
    folder = tmp_path_factory.mktemp("finished")
    config = write_inputs(folder)
    config.write_text(config.read_text() + "fit: {law: transfer}\n")
    package.plan(config)
    study = Project.open(config).study
    for number, spec in enumerate(study.load_plan()):
        lease = study.claim(spec)
        assert lease is not None
        losses = {name: 2 + 3 * (tokens + 50) ** -0.3 + 1e-4 * (number % 3) for name, tokens in spec.tokens.items()}
        counted = {name: TargetLoss(100 * loss, 100, 300) for name, loss in losses.items()}
        study.complete(spec, RunRecord(spec, spec.tokens, spec.tokens, spec.tokens, counted, 3, 9), {"wall_s": 1.0})
        lease.release()
    package.run(config)
    first, second, *_ = study.load_plan()
    for name in ("record.json", "timing.json"):  # as if the first had failed and the second were at work
        for spec in (first, second):
            (study.run_folder(spec) / name).unlink()
    study.fail(first, RunFailed("The loss was nan.", "Lower it."), retry=False)
    assert study.claim(second) is not None
    return folder


def write_inputs(folder):
    base = Path(package.__file__).parent / "demo" / "tiny_base"
    for name in ("chat", "math"):
        turns = [[("user", f"{name} {i}?"), ("assistant", f"It is {i}.")] for i in range(80)]
        rows = [{"messages": [{"role": role, "content": text} for role, text in pair]} for pair in turns]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mix.yaml").write_text(
        f"study: study\nmodel: {{name_or_path: {json.dumps(str(base))}}}\n"
        "domains: {chat: {path: chat.jsonl}, math: {path: math.jsonl}}\n"
        "validation: {rows: 10}\nbudget_tokens: 2k\nplan: {base_tokens: 300, probe: false}\ntrain: {max_length: 64}\n"
    )
    return folder / "mix.yaml"


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study, as large as a few token files."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy" / "study"


def kind_of(path, study):
    relative = path.relative_to(study)
    found = [kind for kind, known in KINDS.items() if "input" not in relative.parts and relative.match(known.files)]
    assert len(found) == 1, (relative, found)
    return found[0]


def one_of_each_kind(study):
    return {kind_of(path, study): path for path in sorted(study.rglob("*.json"), reverse=True)}


def newer(text):
    return json.dumps(json.loads(text) | {"format": 99})


def wrong_type(text):
    """Return the file with every value that is no format number turned into null."""
    value = json.loads(text)
    return json.dumps({key: part if key == "format" else None for key, part in value.items()})


DAMAGES = {
    "cut off": lambda text: text[: len(text) // 2],
    "a list": lambda _: "[1]",
    "nulls": wrong_type,
    "newer": newer,
}


def test_every_json_file_of_a_study_has_the_format_number_of_its_kind(study):
    kinds = one_of_each_kind(study)
    assert {"config", "domains", "plan", "fit", "solution", "report", "mixture", "rows", "prepared"} <= kinds.keys()
    assert {"spec", "record", "timing", "error", "lease"} <= kinds.keys()
    for path in study.rglob("*.json"):
        number = json.loads(path.read_text())["format"]
        assert type(number) is int and number == KINDS[kind_of(path, study)].format, path


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_reader_names_each_damaged_file(study, damage):
    for kind, path in one_of_each_kind(study).items():
        path.write_text(DAMAGES[damage](path.read_text()))
        with pytest.raises(MixlawError) as caught:
            read_document(path, kind)
        assert str(path) in caught.value.message and caught.value.hint, kind


# What each verb reads. A run's record, error, lease and timing that are damaged cost the run or nothing, never the
# study: the run is shown as pending and is trained again. That a newer mixlaw wrote them stops every verb.
REFUSED = {"status": ("plan",), "report": ("config", "plan", "fit", "solution")}
RECOVERED = ("record", "error", "lease", "timing")
CACHED = {"prepared", "rows"}  # what the cache held is made again


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("verb", REFUSED)
def test_a_damaged_file_is_one_error_of_the_verb_that_reads_it(study, mixlaw, verb, damage, caplog):
    kinds = one_of_each_kind(study)
    for kind in (*REFUSED[verb], *RECOVERED, *(CACHED if verb == "report" else ())):
        path = kinds[kind]
        good = path.read_text()
        path.write_text(DAMAGES[damage](good))
        result = mixlaw(verb, study)
        if kind not in CACHED or damage == "newer":
            path.write_text(good)
        assert "Traceback" not in result.stderr and "internal" not in result.stderr.lower(), (kind, result.stderr)
        if kind in CACHED and damage != "newer":
            assert result.code in (0, 3) and str(path) in caplog.text and "It is made again" in caplog.text
            assert path.read_text() == good
        elif kind in REFUSED[verb] or (damage == "newer" and (verb == "status" or kind in ("record", *CACHED))):
            assert result.code == 1 and result.stderr.startswith("error "), (kind, result.stderr)
            assert path.name in result.stderr, (kind, result.stderr)
            assert damage != "newer" or "newer mixlaw" in result.stderr, (kind, result.stderr)
        elif result.code == 1:
            assert damage == "newer" and "newer mixlaw" in result.stderr, (kind, result.stderr)
        else:
            assert result.code in (0, 3), (kind, result.stderr)


def test_a_damaged_record_is_said_to_be_unusable(study, mixlaw):
    path = next(study.glob("runs/*/record.json"))
    path.write_text(path.read_text()[:30])
    (run,) = [run for run in mixlaw("status", study, "--json").json["runs"] if run["folder"] == path.parent.name]
    assert run["state"] == "pending" and "record.json cannot be used" in run["reason"]
    assert str(path) in run["reason"] and "not valid JSON" in run["reason"]


def test_a_study_whose_files_have_no_numbers_is_read_as_before(study, mixlaw):
    for kind, path in one_of_each_kind(study).items():
        if KINDS[kind].format == 1:
            value = json.loads(path.read_text())
            del value["format"]
            value.pop("sha256", None)  # nor had they checksums
            path.write_text(json.dumps(value))
    for verb in REFUSED:
        assert mixlaw(verb, study).code in (0, 3)
