import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.train.packing import collate, pack


@given(st.lists(st.integers(1, 64), max_size=200))
def test_every_conversation_is_in_exactly_one_row_and_no_row_overflows(lengths):
    rows = pack(lengths, 64)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 64 for row in rows)
    assert rows == pack(lengths, 64)
    # Best fit leaves at most one row half empty.
    assert sum(sum(lengths[i] for i in row) <= 32 for row in rows) <= 1


def test_best_fit_takes_the_tightest_row():
    # 60 and 50 open two rows with 4 and 14 of room; 4 belongs to the first, 14 to the second.
    assert pack([60, 50, 14, 4], 64) == [[0, 3], [1, 2]]


def test_rows_are_over_95_percent_full_on_chat_lengths():
    lengths = np.clip(np.random.default_rng(0).lognormal(4.5, 0.7, 2000).astype(int), 8, 512)
    rows = pack(lengths, 512)
    assert lengths.sum() / (512 * len(rows)) > 0.95


def test_a_conversation_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="65"):
        pack([65], 64)


def test_positions_restart_and_first_tokens_are_never_predicted():
    one = np.array([5, 6, 7]), np.array([1, 1, 1], np.uint8)
    two = np.array([8, 9]), np.array([0, 1], np.uint8)
    batch = collate([[one, two]], 8)
    assert batch.input_ids_BT.tolist() == [[5, 6, 7, 8, 9, 0, 0, 0]]
    assert batch.position_ids_BT.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]]
    assert batch.predict_S.tolist() == [0, 1, 3] and batch.labels_S.tolist() == [6, 7, 9]
    assert batch.tokens == 5


def test_rows_without_supervised_tokens_give_an_empty_batch():
    batch = collate([[(np.array([1, 2]), np.zeros(2, np.uint8))]])
    assert len(batch.predict_S) == len(batch.labels_S) == 0 and batch.tokens == 2
