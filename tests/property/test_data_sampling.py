"""What every sample of a domain's rows satisfies, whatever their lengths, the seed and the tokens wanted."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.data.rows import TokenRows, sample_rows

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)
NAMES = st.tuples(st.integers(0, 2**40), st.text(max_size=8))
TOKENS = st.integers(1, 1000)
# A slow moment of a busy machine is no failure.
untimed = settings(deadline=None)


def rows_of(lengths):
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    nothing = np.zeros(bounds[-1], np.uint8)
    return TokenRows(Path(), nothing, nothing, bounds, np.arange(len(lengths)), nothing, {})


@untimed
@given(LENGTHS, NAMES, TOKENS, TOKENS)
def test_a_smaller_sample_is_a_prefix_of_a_larger_one(lengths, names, a, b):
    rows = rows_of(lengths)
    small, large = sample_rows(rows, min(a, b), *names), sample_rows(rows, max(a, b), *names)
    assert large[: len(small)].tolist() == small.tolist()


@untimed
@given(LENGTHS, NAMES, TOKENS)
def test_the_sample_of_n_is_a_prefix_of_the_sample_of_2n(lengths, names, tokens):
    rows = rows_of(lengths)
    small, large = sample_rows(rows, tokens, *names), sample_rows(rows, 2 * tokens, *names)
    assert large[: len(small)].tolist() == small.tolist()


@untimed
@given(LENGTHS, NAMES, TOKENS)
def test_no_other_end_of_the_same_order_is_nearer_to_the_tokens_wanted(lengths, names, tokens):
    rows = rows_of(lengths)
    sample = sample_rows(rows, tokens, *names)
    longer = sample_rows(rows, tokens + 3 * rows.tokens, *names)
    ends = np.cumsum(rows.row_tokens[longer])  # of one row, of two, ...
    achieved = rows.row_tokens[sample].sum()
    assert len(sample) >= 1
    assert abs(achieved - tokens) == np.abs(ends - tokens).min()
    assert abs(achieved - tokens) <= max(lengths)


@untimed
@given(LENGTHS, NAMES, TOKENS)
def test_repetition_is_in_whole_passes(lengths, names, tokens):
    rows = rows_of(lengths)
    sample = sample_rows(rows, tokens, *names).tolist()
    for start in range(0, len(sample), len(lengths)):
        one_pass = sample[start : start + len(lengths)]
        assert len(set(one_pass)) == len(one_pass)
    times = [Counter(sample)[row] for row in range(len(lengths))]
    assert max(times) - min(times) <= 1


@untimed
@given(LENGTHS, NAMES, st.integers(1, 5))
def test_whole_passes_have_exactly_the_tokens_wanted(lengths, names, passes):
    rows = rows_of(lengths)
    sample = sample_rows(rows, passes * rows.tokens, *names)
    assert np.bincount(sample).tolist() == [passes] * len(lengths)


@untimed
@given(LENGTHS, LENGTHS, NAMES, TOKENS)
def test_another_domains_sample_taken_before_changes_nothing(lengths, others, names, tokens):
    rows = rows_of(lengths)
    alone = sample_rows(rows, tokens, *names)
    sample_rows(rows_of(others), tokens, names[0], "another " + names[1])
    assert sample_rows(rows, tokens, *names).tolist() == alone.tolist()


@untimed
@given(st.lists(st.integers(1, 40), min_size=12, max_size=30), st.integers(0, 2**40))
def test_domains_of_the_same_shape_and_other_names_have_other_orders(lengths, seed):
    rows = rows_of(lengths)
    orders = {tuple(sample_rows(rows, rows.tokens, seed, name)) for name in ("a", "b", "c")}
    assert len(orders) > 1  # two orders of twelve rows agree once in 479 million


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 1)), min_size=1), min_size=1))
def test_rows_written_and_opened_are_the_same(values):
    arrays = [(np.array([i for i, _ in r], np.uint32), np.array([s for _, s in r], np.uint8)) for r in values]
    with tempfile.TemporaryDirectory() as folder:
        rows = TokenRows.write(Path(folder) / "a", arrays, list(range(len(arrays))), [1] * len(arrays))
        for r, (ids, supervised) in enumerate(arrays):
            part = slice(rows.offsets[r], rows.offsets[r + 1])
            assert rows.ids[part].tolist() == ids.tolist() and rows.supervised[part].tolist() == supervised.tolist()
        assert rows.row_supervised.tolist() == [int(supervised.sum()) for _, supervised in arrays]


@untimed
@given(LENGTHS, NAMES, TOKENS, TOKENS)
def test_a_pool_holds_all_that_is_drawn_from_it_and_grows_with_its_tokens(lengths, names, tokens, pool):
    rows = rows_of(lengths)
    held = set(sample_rows(rows, min(pool, sum(lengths)), *names).tolist())
    drawn = Counter(sample_rows(rows, tokens, *names, pool=pool).tolist())
    assert set(drawn) <= held
    assert max(drawn.values()) - min(drawn[row] for row in held) <= 1
    reached = sum(lengths[row] * times for row, times in drawn.items())
    assert abs(reached - tokens) <= max(lengths) / 2 or len(drawn) == 1
