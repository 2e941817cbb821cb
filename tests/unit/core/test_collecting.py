import gc

import pytest

from mixlaw.core.collecting import no_collecting


@pytest.fixture
def collections():
    found = []

    def note(phase, info):
        if phase == "start":
            found.append(info["generation"])

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_nothing_is_looked_through_meanwhile_and_everything_later(collections):
    with no_collecting():
        made = [[] for _ in range(10 * gc.get_threshold()[0])]
        assert not collections
    assert gc.isenabled() and gc.is_tracked(made)
    made = None
    loop = []
    loop.append(loop)
    del loop
    assert gc.collect() >= 1


def test_what_was_paused_stays_paused_also_after_an_error():
    with pytest.raises(ValueError), no_collecting():
        raise ValueError
    assert gc.isenabled()
    with no_collecting():
        with no_collecting():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
