"""One dataset that is several domains: its values counted, its rows read once, each domain as if it stood alone."""

import json
import random

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.core.mixture import Mixture
from mixlaw.data import prepare as prepare_module
from mixlaw.data.collection import take_census
from mixlaw.data.materialise import materialise
from mixlaw.data.prepare import conversations, prepare_domains
from mixlaw.data.reading import Source
from mixlaw.data.texts import TextRows, write_texts

VALUES = ["gsm", "math-hard", "code", "code", "rare", None]


@pytest.fixture
def rows(chats):
    rng = random.Random(3)
    return [row | {"source": rng.choice(VALUES)} for row in chats(300)]


@pytest.fixture(params=["jsonl", "parquet"])
def path(request, write_lines, rows, tmp_path):
    if request.param == "jsonl":
        return write_lines("c.jsonl", rows)
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet", row_group_size=30)
    return tmp_path / "c.parquet"


def part(name, path, *values, **more):
    return Domain(name, str(path), split_by="source", values=values, **more)


def test_the_census_counts_every_value(path, rows):
    census = take_census(Domain("c", str(path)), "source")
    assert census.rows.keys() == {"code", "gsm", "math-hard", "rare"}
    assert sum(census.rows.values()) + census.without == 300
    assert all(count == sum(r["source"] == value for r in rows) for value, count in census.rows.items())
    assert list(census.rows.values()) == sorted(census.rows.values(), reverse=True)


def test_numbers_and_truth_values_are_named_as_in_yaml(write_lines, chats, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = [row | {"n": i % 3, "b": i % 2 == 0} for i, row in enumerate(chats(12))]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    for source in (write_lines("c.jsonl", rows), tmp_path / "c.parquet"):
        assert take_census(Domain("c", str(source)), "n").rows == {"0": 4, "1": 4, "2": 4}
        assert take_census(Domain("c", str(source)), "b").rows == {"false": 6, "true": 6}


def test_a_domain_of_a_collection_has_the_rows_of_a_file_of_its_own(
    path, rows, write_lines, prepare, unmarked, tmp_path
):
    domains = [part("math", path, "gsm", "math-hard"), part("code", path, "code")]
    own = {"math": ("gsm", "math-hard"), "code": ("code",)}
    keys = {"validation_rows": 6, "max_length": 512, "cache_dir": tmp_path / "cache"}
    together = prepare_domains(domains, unmarked, **keys)
    for domain in domains:
        alone = prepare(domain, cache_dir=tmp_path / f"alone-{domain.name}", validation_rows=6)
        assert alone.to_json() == together[domain.name].to_json()
        file = write_lines(f"{domain.name}.jsonl", [r for r in rows if r["source"] in own[domain.name]])
        other = prepare(file, validation_rows=6)
        assert other.train.fingerprint == alone.train.fingerprint
        assert other.validation.fingerprint == alone.validation.fingerprint
        numbers = [r.number for r, _, _ in conversations(domain)]
        assert numbers == [i for i, r in enumerate(rows) if r["source"] in own[domain.name]]
        assert set(alone.train.source_rows) < set(numbers)
        assert alone.sources[0]["split_by"] == "source" and alone.sources[0]["rows"] == len(numbers)


def test_the_source_is_hashed_and_read_once_for_all_domains(path, prepare, unmarked, tmp_path, monkeypatch):
    hashed, read = [], []
    real_hash, real_read = prepare_module.file_fingerprint, Source.read
    monkeypatch.setattr(prepare_module, "file_fingerprint", lambda p: hashed.append(p) or real_hash(p))
    monkeypatch.setattr(Source, "read", lambda self, *a, **k: read.append(a) or real_read(self, *a, **k))
    domains = [part("math", path, "gsm"), part("code", path, "code"), part("rare", path, "rare")]
    prepare_domains(domains, unmarked, validation_rows=5, max_length=512, cache_dir=tmp_path / "cache")
    assert len(hashed) == 1 and len(read) == 2  # the first row says the format; then all rows


def test_the_filter_is_part_of_the_cache_key(path, prepare, tmp_path):
    prepare(part("a", path, "gsm"))
    prepare(part("b", path, "gsm"))
    prepare(part("a", path, "gsm", "code"))
    prepare(part("a", path, "code", "gsm"))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_mixture_of_a_collection_is_that_of_files_of_their_own(path, rows, write_lines, prepare, tmp_path):
    weights = {"math": 0.4, "code": 0.6}
    values = {"math": ("gsm", "math-hard"), "code": ("code",)}
    parts = {name: part(name, path, *v) for name, v in values.items()}
    files = {}
    for name, v in values.items():
        files[name] = Domain(name, str(write_lines(f"{name}.jsonl", [r for r in rows if r["source"] in v])))
    written = []
    for kind, domains in (("parts", parts), ("files", files)):
        prepared = {name: prepare(domain) for name, domain in domains.items()}
        for workers in (1, 2):
            out = tmp_path / f"{kind}-{workers}"
            manifest = materialise(domains, prepared, Mixture(weights, 20_000), out, shards=3, workers=workers)
            written.append([(out / file["name"]).read_bytes() for file in manifest["files"]])
    assert written[0] == written[1] == written[2] == written[3]
    assert {json.loads(line)["domain"] for data in written[0] for line in data.splitlines()} == {"math", "code"}


def test_texts_of_a_domain_of_a_collection_are_its_rows(path, prepare, unmarked):
    domain = part("code", path, "code")
    prepared = prepare(domain)
    write_texts(domain, prepared)
    lines = TextRows.open(prepared.train).lines(range(len(prepared.train)))
    by_number = {row.number: talk.messages for row, talk, _ in conversations(domain)}
    assert [json.loads(line)["messages"] for line in lines] == [by_number[n] for n in prepared.train.source_rows]


def fails(domain, column):
    with pytest.raises(DataError) as caught:
        take_census(domain, column)
    assert caught.value.hint
    return str(caught.value)


def test_a_column_that_is_not_there_is_one_error_that_names_those_that_are(path):
    text = fails(Domain("c", str(path)), "sorce")
    assert "no column 'sorce'" in text and "'messages', 'source'" in text


def test_a_column_of_lists_or_nulls_names_no_domain(path, write_lines, chats):
    assert "cannot be the name of a domain" in fails(Domain("c", str(path)), "messages")
    nulls = write_lines("n.jsonl", [row | {"source": None} for row in chats(3)])
    assert "null in all 3 rows" in fails(Domain("c", str(nulls)), "source")
    assert "no rows" in fails(Domain("c", str(write_lines("e.jsonl", []))), "source")


def test_a_domain_whose_values_never_occur_is_an_error_that_names_them(path, prepare):
    with pytest.raises(DataError, match=r"no row of .* has a 'source' of 'nothing'"):
        prepare(part("d", path, "nothing"))


def test_a_malformed_line_of_a_collection_is_named(write_lines, chats):
    path = write_lines("m.jsonl", [*(row | {"source": "a"} for row in chats(4)), b"{"])
    assert "line 5: not valid JSON" in fails(Domain("c", str(path)), "source")


def test_a_hub_dataset_is_a_collection_too(rows, prepare, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: datasets.Dataset.from_list(rows))
    assert take_census(Domain("c", "org/mix"), "source").rows["code"] == sum(r["source"] == "code" for r in rows)
    domain = Domain("code", "org/mix", split_by="source", values=("code",), revision="0123456789" * 4)
    d = prepare(domain)
    assert d.sources[0]["rows"] == sum(r["source"] == "code" for r in rows)
    assert "no column 'x'" in fails(Domain("c", "org/mix"), "x")
