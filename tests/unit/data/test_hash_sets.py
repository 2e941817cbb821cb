import numpy as np
import pytest

from mixlaw.data import hash_sets
from mixlaw.data.hash_sets import in_common, is_in, later_copies, repeated


@pytest.fixture(autouse=True, params=[3, 1 << 20])
def _at_once(request, monkeypatch):
    monkeypatch.setattr(hash_sets, "_AT_ONCE", request.param)


def some(rng, count, most=40):
    return rng.integers(0, most, count).astype(np.uint64) * np.uint64(2**58)


def test_members_are_those_that_python_finds():
    rng = np.random.default_rng(0)
    hashes, wanted = some(rng, 100), np.unique(some(rng, 15))
    assert is_in(hashes, wanted).tolist() == [h in set(wanted.tolist()) for h in hashes.tolist()]
    assert not is_in(hashes, wanted[:0]).any() and len(is_in(hashes[:0], wanted)) == 0


def test_repeated_ones_come_more_than_once():
    assert repeated(np.array([5, 3, 5, 9, 3, 5], np.uint64)).tolist() == [3, 5]
    assert len(repeated(np.zeros(0, np.uint64))) == 0


def test_later_copies_are_all_but_the_first_with_both_halves_alike():
    high, low = np.array([7, 1, 7, 7, 7, 1], np.uint64), np.array([0, 4, 1, 0, 0, 4], np.uint64)
    assert later_copies(high, low).tolist() == [False, False, False, True, True, True]


def test_what_sets_have_in_common_is_what_python_finds():
    rng = np.random.default_rng(1)
    sets = [np.unique(some(rng, n)) for n in (30, 5, 0, 60, 30)]
    expected = [[len(set(a.tolist()) & set(b.tolist())) for b in sets] for a in sets]
    assert in_common(sets).tolist() == expected and sum(map(sum, expected)) > 100
