"""Three domains' tokens, as one process counted them with the tokenizer alone, before pieces and the table of words.

A change of these figures is a change of every cached study: raise the cache's version with it, and say why.
"""

from pathlib import Path

import pytest
from experiments.data.cut import cut

import mixlaw
from mixlaw.core.domain import Domain
from mixlaw.data.chat import load_tokenizer
from mixlaw.data.prepare import prepare_domain

BASE = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
GOLDEN = {
    "code": ("4750576d118941f9", "a87c27e21823e248", 327, 736, 351_515, 993_084),
    "instruction": ("dcf1df0fda2ce699", "48df97e7060270e9", 3, 83, 937_291, 14_288_698),
    "math": ("03e84668cb376b84", "0365d05942f2dac9", 0, 5, 351_927, 1_065_291),
}
"""Start of the content hashes of training and validation rows; rows dropped and cut; supervised bytes; sum of rows."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    cut(folder)
    return folder


@pytest.mark.parametrize("name", GOLDEN)
def test_tokens_are_those_of_the_first_version(name, data, tmp_path):
    d = prepare_domain(
        Domain(name, str(data / f"{name}.jsonl.gz")),
        load_tokenizer(str(BASE)),
        validation_rows=150,
        max_length=512,
        cache_dir=tmp_path,
    )
    hashes = d.train.fingerprint[:16], d.validation.fingerprint[:16]
    rows = d.dropped, d.truncated, d.train.supervised_bytes_total, int(d.train.source_rows.sum())
    assert (*hashes, *rows) == GOLDEN[name]
