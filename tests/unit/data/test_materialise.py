import itertools
import json
import os

import numpy as np
import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import ConfigError, DataError, StudyError
from mixlaw.core.fingerprints import file_fingerprint
from mixlaw.core.mixture import Mixture
from mixlaw.data import materialise as materialise_module
from mixlaw.data.materialise import materialise
from mixlaw.data.rows import sample_rows

WEIGHTS = {"code": 0.5, "law": 0.2, "math": 0.3}


@pytest.fixture
def domains(write_lines, chats):
    rows = {"code": 200, "law": 30, "math": 120}
    return {
        name: Domain(name, str(write_lines(f"data/{name}.jsonl", chats(n, f"{name} ")))) for name, n in rows.items()
    }


@pytest.fixture
def prepared(domains, prepare):
    return {name: prepare(domain) for name, domain in domains.items()}


@pytest.fixture
def mix(domains, prepared, tmp_path):
    def run(budget=8000, weights=None, out="mix", **more):
        return materialise(domains, prepared, Mixture(weights or WEIGHTS, budget), tmp_path / out, **more)

    return run


def read(folder):
    return [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def source_messages(domain):
    with open(domain.path, encoding="utf-8") as file:
        return [json.loads(line)["messages"] for line in file]


@pytest.mark.parametrize("budget", [300, 8000, 40_000])
def test_achieved_tokens_are_within_one_row_of_the_requested(mix, prepared, budget):
    manifest = mix(budget)
    for name, weight in WEIGHTS.items():
        entry = manifest["domains"][name]
        assert entry["requested_tokens"] == pytest.approx(weight * budget, abs=1)
        assert abs(entry["achieved_tokens"] - entry["requested_tokens"]) <= prepared[name].train.row_tokens.max()
    assert manifest["achieved_tokens"] == sum(e["achieved_tokens"] for e in manifest["domains"].values())


def test_the_files_hold_the_sampled_rows_of_the_sources(mix, domains, prepared, tmp_path):
    mix(seed=3)
    rows = read(tmp_path / "mix")
    for name, domain in domains.items():
        source = source_messages(domain)
        train = prepared[name].train
        sample = sample_rows(train, Mixture(WEIGHTS, 8000).tokens[name], 3, name)
        expected = [source[train.source_rows[r]] for r in sample]
        found = [row["messages"] for row in rows if row["domain"] == name]
        assert sorted(map(str, found)) == sorted(map(str, expected))


def test_no_held_out_conversation_is_written(mix, prepared, domains, tmp_path):
    mix(200_000)
    written = {str(row["messages"]) for row in read(tmp_path / "mix")}
    for name, domain in domains.items():
        source = source_messages(domain)
        held = {str(source[n]) for n in prepared[name].validation.source_rows}
        trained = {str(source[n]) for n in prepared[name].train.source_rows}
        assert held and not held & written and trained <= written


def test_the_manifest_counts_what_is_in_the_files(mix, prepared, tmp_path):
    manifest = mix()
    written = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    assert written.pop("sha256") and written == manifest
    rows = read(tmp_path / "mix")
    (file,) = manifest["files"]
    assert file == {
        "name": "train.jsonl",
        "sha256": file_fingerprint(tmp_path / "mix" / "train.jsonl"),
        "rows": len(rows),
    }
    assert sum(entry["achieved_share"] for entry in manifest["domains"].values()) == pytest.approx(1)
    for name, entry in manifest["domains"].items():
        train = prepared[name].train
        assert entry["rows"] == sum(row["domain"] == name for row in rows)
        assert entry["requested_share"] == WEIGHTS[name]
        assert entry["achieved_share"] == entry["achieved_tokens"] / manifest["achieved_tokens"]
        assert entry["epochs"] == pytest.approx(entry["achieved_tokens"] / train.tokens)
        assert entry["sources"] == prepared[name].sources
        assert 0 < entry["supervised_tokens"] < entry["achieved_tokens"]


def test_a_domain_smaller_than_its_share_is_repeated_in_whole_passes(mix, prepared, tmp_path):
    entry = mix(40_000)["domains"]["law"]
    assert entry["epochs"] > 3 and entry["distinct_rows"] == len(prepared["law"].train)
    counts = np.unique([str(r) for r in read(tmp_path / "mix") if r["domain"] == "law"], return_counts=True)[1]
    assert counts.max() - counts.min() <= 1


def test_the_rows_are_shuffled_over_all_domains(mix, tmp_path):
    mix()
    names = [row["domain"] for row in read(tmp_path / "mix")]
    changes = sum(a != b for a, b in itertools.pairwise(names))
    assert changes > len(names) / 3  # three blocks one after another would change twice


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_the_same_mixture_gives_the_same_bytes(mix, file_format):
    first, second = mix(file_format=file_format), mix(out="again", file_format=file_format)
    assert first == second
    assert mix(out="other", seed=1, file_format=file_format)["files"] != first["files"]


def test_parquet_holds_the_rows_of_jsonl_in_the_same_order(mix, tmp_path):
    import pyarrow.parquet as parquet

    mix()
    mix(out="parquet", file_format="parquet")
    assert parquet.read_table(tmp_path / "parquet" / "train.parquet").to_pylist() == read(tmp_path / "mix")


def test_what_is_written_can_be_read_as_a_domain_again(mix, prepare, tmp_path):
    manifest = mix()
    for name, more in (("mix", {}), ("parquet", {"file_format": "parquet"})):
        mix(out=name, **more)
        again = prepare(tmp_path / name, "again")
        assert again.format == "messages" and again.sources[0]["rows"] == manifest["files"][0]["rows"]


def test_a_domain_without_weight_is_in_the_manifest_and_not_in_the_files(mix, tmp_path):
    manifest = mix(weights={"code": 0.6, "law": 0.0, "math": 0.4})
    assert {row["domain"] for row in read(tmp_path / "mix")} == {"code", "math"}
    assert manifest["domains"]["law"]["rows"] == manifest["domains"]["law"]["achieved_tokens"] == 0


def test_a_domain_added_changes_no_other_domains_rows(mix, tmp_path):
    mix(8000, {"code": 0.5, "math": 0.5})
    mix(10_000, {"code": 0.4, "law": 0.2, "math": 0.4}, out="more")

    def of(folder, name):
        return sorted(str(row) for row in read(tmp_path / folder) if row["domain"] == name)

    assert all(of("mix", name) == of("more", name) for name in ("code", "math"))


def test_an_unchanged_mixture_is_left_as_it_is_and_a_damaged_one_written_again(mix, tmp_path):
    manifest = mix()
    file = tmp_path / "mix" / "train.jsonl"
    before = file.stat()
    assert mix() == manifest and file.stat().st_ino == before.st_ino
    file.write_text("{}\n")
    assert mix() == manifest and file_fingerprint(file) == manifest["files"][0]["sha256"]


def test_another_mixture_replaces_the_folder_whole(mix, tmp_path):
    mix()
    mix(file_format="parquet")
    assert sorted(os.listdir(tmp_path / "mix")) == ["manifest.json", "train.parquet"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("content", [{}, {"manifest_version": 3}, []])
def test_a_folder_that_mixlaw_did_not_write_is_never_replaced(mix, tmp_path, content):
    (tmp_path / "mix").mkdir()
    (tmp_path / "mix" / "thesis.txt").write_text("years of work")
    with pytest.raises(StudyError, match="not a mixture"):
        mix()
    (tmp_path / "mix" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(StudyError, match="not a mixture"):
        mix()
    assert (tmp_path / "mix" / "thesis.txt").read_text() == "years of work"


def test_a_file_put_beside_a_mixture_is_never_deleted(mix, tmp_path):
    mix()
    (tmp_path / "mix" / "thesis.txt").write_text("years of work")
    mix()
    with pytest.raises(StudyError, match=r"thesis\.txt"):
        mix(9000)
    assert (tmp_path / "mix" / "thesis.txt").exists()


def test_an_empty_folder_is_filled_and_a_file_in_the_way_is_an_error(mix, tmp_path):
    (tmp_path / "mix").mkdir()
    mix()
    assert read(tmp_path / "mix")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StudyError):
        mix(out="file")
    with pytest.raises(StudyError, match="cannot be written"):
        mix(out="file/mix")


def test_a_failure_while_writing_leaves_the_earlier_mixture_and_work_to_go_on_with(mix, tmp_path, monkeypatch):
    manifest = mix()
    with monkeypatch.context() as broken:
        broken.setattr(materialise_module, "_manifest", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        for more in ({"budget": 9000}, {"out": "new"}):
            with pytest.raises(OSError, match="disk full"):
                mix(**more)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".partial")) == ["cache", "data", "mix"]
    written = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    assert written.pop("sha256") and written == manifest
    mix(10_000)
    mix(out="new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "data", "mix", "new"]


def test_a_source_that_changed_since_it_was_counted_is_an_error(mix, domains, tmp_path):
    with open(domains["law"].path, "a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(DataError, match="'law': its files changed"):
        mix()
    assert not (tmp_path / "mix").exists()


def test_a_source_that_is_gone_is_an_error(mix, domains):
    os.remove(domains["law"].path)
    with pytest.raises(DataError, match="'law': no such file"):
        mix()


def test_a_dataset_that_changed_on_the_hub_is_an_error(prepare, monkeypatch, tmp_path):
    import datasets

    rows = [{"prompt": f"q{i}", "completion": f"a{i}"} for i in range(30)]
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: datasets.Dataset.from_list(rows))
    domains = {"d": Domain("d", "org/chats")}
    prepared, mixture = {"d": prepare(domains["d"])}, Mixture({"d": 1.0}, 200)
    assert materialise(domains, prepared, mixture, tmp_path / "mix")["domains"]["d"]["rows"] > 0
    del rows[0]
    with pytest.raises(DataError, match="its dataset changed"):
        materialise(domains, prepared, mixture, tmp_path / "new")


def test_an_unknown_format_or_domain_is_an_error(mix):
    with pytest.raises(ConfigError, match="jsonl, parquet"):
        mix(file_format="csv")
    with pytest.raises(ConfigError, match="physics"):
        mix(weights={"physics": 1.0})
