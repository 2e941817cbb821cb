"""The tables of words and of chunks give what the tokenizer gives, for every text that they take."""

import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.chunk_table import ChunkTable
from mixlaw.data.tokenised import bytes_before
from mixlaw.data.word_table import WordTable

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA.replace("{1,3}", "")
LETTERS = (
    "abcXYZ  \n\n\t\r'sS'Re 0123 .,!?()<|>éüßñ’“”–—…•×÷½²αβγДжя漢字かな한글عربى 😀🎉"
    "\u00a0\u3000\u2009e\u0301٣Ⅷ①ʼ\x00\x1c𝐀"
)


def variant(marked, pattern=None, normalizer=None, trims=None, digits=None):
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors

    backend = Tokenizer.from_str(marked.tokenizer.backend_tokenizer.to_str())
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    if digits is not None:
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=digits), byte_level])
    if normalizer:
        backend.normalizer = getattr(normalizers, normalizer)()
    if trims is not None:
        backend.post_processor = processors.ByteLevel(trim_offsets=trims)
    return backend


KINDS = {
    "bundled": {},
    "qwen": {"pattern": QWEN, "normalizer": "NFC", "trims": False},
    "llama": {"pattern": LLAMA, "trims": True},
    "smollm": {"digits": True},
    "numbers": {"digits": False},
}


@pytest.fixture(scope="module")
def tables(marked):
    """Return kind -> its tokenizer and its tables, which know more words with every text."""
    backends = {kind: variant(marked, **wishes) for kind, wishes in KINDS.items()}
    words = {kind: WordTable.of(backend) for kind, backend in backends.items()}
    return {kind: (backends[kind], words[kind], ChunkTable.of(words[kind])) for kind in KINDS}


def assert_as_the_tokenizer(backend, table, texts):
    texts = [texts[r] for r in table.taken(texts)]
    ids, starts, lengths = table.tokens(texts)
    encoded = [backend.encode(text, add_special_tokens=False) for text in texts]
    assert ids.tolist() == [i for e in encoded for i in e.ids]
    before = [bytes_before(text) for text in texts]
    assert starts.tolist() == [b[start] for b, e in zip(before, encoded, strict=True) for start, _ in e.offsets]
    assert lengths.tolist() == [len(e.ids) for e in encoded]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300, deadline=None)
@given(parts=st.lists(st.text(st.sampled_from(LETTERS) | st.characters(codec="utf-8"), max_size=25), max_size=4))
def test_ids_and_places_are_the_tokenizers(tables, kind, parts):
    backend, *both = tables[kind]
    for table in both:
        assert_as_the_tokenizer(backend, table, ["<|im_end|>".join(parts), *parts])


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_end_where_words_end_whatever_stands_around_them(marked, kind):
    words = WordTable.of(variant(marked, **KINDS[kind]))
    signs, rng = "aS'.<09 \n\r\té½…\xa0中", random.Random(0)
    texts = ["".join(rng.choices(signs, k=rng.choice([2, 5, 40]))) for _ in range(20_000)]
    chunks = ChunkTable.of(words)
    assert chunks is not None
    for a, b in zip(words.tokens(texts), chunks.tokens(texts), strict=True):
        assert np.array_equal(a, b)


def test_unknown_expressions_and_odd_special_tokens_have_no_chunks(marked):
    for pattern in (QWEN + r"|\p{L}+ ", QWEN.removesuffix(r"|\s+"), r" ?[^\s]+|\s+"):
        words = WordTable.of(variant(marked, pattern=pattern))
        assert words is not None and ChunkTable.of(words) is None
    backend = variant(marked)
    backend.add_special_tokens(["<\0>"])
    assert ChunkTable.of(WordTable.of(backend)) is None


def test_texts_are_kept_apart(marked):
    chunks = ChunkTable.of(WordTable.of(variant(marked)))
    texts = ["", "a<|im_", "end|>b", "", "\0", "\0\0<|im_end|>", ""]
    alone = [chunks.tokens([text]) for text in texts]
    together = chunks.tokens(texts)
    assert together[0].tolist() == [i for ids, _, _ in alone for i in ids]
    assert together[1].tolist() == [s for _, starts, _ in alone for s in starts]
    assert together[2].tolist() == [len(ids) for ids, _, _ in alone]


def test_plain_text_is_taken_and_text_that_libraries_read_differently_is_not(marked):
    table = WordTable.of(variant(marked))
    taken = ["", "plain\n\ttext", "naïve café", "漢字かな", "“quoted” – 5 €", "emoji 😀"]
    assert all(table.takes(text) for text in taken)
    others = ["\x1c", "\x0b", "\x85", "e\u0301", "\u180e", "\U0001d400", "\ue000", "\u0378"]
    assert not any(table.takes("a" + text) for text in others)
    assert not unicodedata.is_normalized("NFC", "e\u0301")


def test_a_full_table_starts_again_with_the_same_ids(marked, monkeypatch):
    from mixlaw.data import chunk_table, word_table

    words = WordTable.of(variant(marked))
    texts = [f"word{i} and {random.Random(i).random()}" for i in range(50)]
    for table in (words, ChunkTable.of(words)):
        first = table.tokens(texts)
        monkeypatch.setattr(word_table, "_MOST_WORDS", 10)
        monkeypatch.setattr(chunk_table, "_MOST_CHUNKS", 10)
        assert all(np.array_equal(a, b) for a, b in zip(first, table.tokens(texts), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": "NFKC"},
        {"pattern": r"\p{Lu}+|\p{Ll}+"},
        {"pattern": r"(a)(b)"},
        {"pattern": r"[\p{L}&&[a-z]]+"},
    ],
)
def test_a_tokenizer_with_an_unknown_step_has_no_table(marked, change):
    assert WordTable.of(variant(marked, **change)) is None


def test_unusual_models_and_tokens_have_no_table(marked):
    from tokenizers import AddedToken, pre_tokenizers

    backend = variant(marked)
    backend.add_tokens([AddedToken("<x>", lstrip=True)])
    assert WordTable.of(backend) is None
    backend = variant(marked)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    assert WordTable.of(backend) is None
    backend = variant(marked)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert WordTable.of(backend) is None


def test_a_table_that_differs_from_the_tokenizer_is_dropped(marked):
    tokenizer = ChatTokenizer(marked.tokenizer, "again")
    rendered = [("a plain text", [(0, 5)])]
    (right,) = tokenizer.encode(rendered, 100)
    wrong = ChatTokenizer(marked.tokenizer, "again")
    wrong._table = WordTable.of(variant(marked, pattern=r"\p{L}"))
    assert wrong._table.tokens(["a plain text"])[0].tolist() != right.ids.tolist()
    (found,) = wrong.encode(rendered, 100)
    assert wrong._table is None and found.ids.tolist() == right.ids.tolist()


@pytest.mark.parametrize("max_length", [5, 4096])
def test_rows_with_and_without_the_table_stay_in_their_order(marked, max_length):
    texts = ["one plain", "two \x1c odd", "three", "e\u0301 four", "five and six"]
    rendered = [(text, [(0, 3), (len(text) - 2, len(text))]) for text in texts]
    tokenizer = ChatTokenizer(marked.tokenizer, "again")
    together = list(tokenizer.encode(rendered, max_length))
    for row, one in zip(together, rendered, strict=True):
        slow = ChatTokenizer(marked.tokenizer, "slow")
        slow._table = None
        (alone,) = slow.encode([one], max_length)
        assert row.ids.tolist() == alone.ids.tolist() and row.supervised.tolist() == alone.supervised.tolist()
        assert (row.supervised_bytes, row.truncated) == (alone.supervised_bytes, alone.truncated)
