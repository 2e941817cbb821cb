"""The same rows are the same conversations, tokens and split, whatever kind of file they come in."""

import bz2
import csv
import functools
import gzip
import io
import json
import lzma
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
from hypothesis import given, settings
from hypothesis import strategies as st

import mixlaw
from mixlaw.core.domain import Domain
from mixlaw.data.chat import load_tokenizer
from mixlaw.data.prepare import conversations, prepare_domain

# No NUL, which CSV cannot hold; no empty text, which CSV cannot tell from null.
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
TEXT = st.text(CHARACTERS | st.sampled_from(',;"\n\r\t\\[]{} |\u2028\ufeff\U0001f600'), min_size=1, max_size=20)
ROWS = st.lists(
    st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT.filter(str.strip), "note": st.none() | TEXT}),
    min_size=3,
    max_size=12,
    unique_by=lambda row: (row["prompt"], row["completion"]),
)


def csv_text(rows, delimiter):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def arrow(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


def parquet_bytes(table):
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


def files(rows):
    """Return name -> bytes."""
    lines = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    array, table = json.dumps(rows).encode(), pa.Table.from_pylist(rows)
    return {
        "a.jsonl": lines,
        "a.ndjson": b"\xef\xbb\xbf" + b"\r\n\r\n".join(json.dumps(row).encode() for row in rows),
        "a.jsonl.gz": gzip.compress(lines),
        "a.jsonl.zst": zstd(lines),
        "b.jsonl.zst": zstd(lines[:50]) + zstd(lines[50:]),
        "a.jsonl.bz2": bz2.compress(lines),
        "a.json.xz": lzma.compress(array),
        "a.json": array,
        "b.json": json.dumps(rows, indent=2, ensure_ascii=False).encode(),
        "c.json": json.dumps({"data": rows}).encode(),
        "a.csv": csv_text(rows, ","),
        "b.csv": csv_text(rows, ";"),
        "a.tsv.gz": gzip.compress(csv_text(rows, "\t")),
        "a.csv.zst": zstd(csv_text(rows, ",")),
        "a.parquet": parquet_bytes(table),
        "a.arrow": arrow(table),
    }


@functools.cache
def tokenizer():
    return load_tokenizer(str(Path(mixlaw.__file__).parent / "demo" / "tiny_base"))


@settings(deadline=None, max_examples=8)
@given(ROWS)
def test_every_kind_of_file_gives_the_same_conversations_tokens_and_split(rows):
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name, data in files(rows).items():
            path = Path(folder) / name
            path.write_bytes(data)
            domain = Domain("d", str(path))
            prepared = prepare_domain(
                domain, tokenizer(), validation_rows=2, max_length=512, cache_dir=Path(folder) / "cache" / name
            )
            found[name] = (
                [(row.number, messages, form) for row, messages, form in conversations(domain)],
                prepared.train.fingerprint,
                prepared.validation.fingerprint,
                prepared.train.source_rows.tolist(),
                prepared.validation.source_rows.tolist(),
            )
        first = found["a.jsonl"]
        assert len(first[0]) == len(rows)
        assert {name for name, other in found.items() if other != first} == set()
