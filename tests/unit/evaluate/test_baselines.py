import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.core.errors import ConfigError
from mixlaw.evaluate.baselines import baselines, grid, unimax

AVAILABLE = {"a": 100.0, "b": 400.0, "c": 1600.0}


def test_the_usual_mixtures_are_what_their_names_say():
    found = baselines(AVAILABLE, {"a": 10, "b": 10, "c": 80}, 900, 1.0)
    assert found["equal"] == dict.fromkeys(AVAILABLE, 1 / 3)
    assert found["natural"] == pytest.approx({"a": 1 / 21, "b": 4 / 21, "c": 16 / 21})
    # Tokens a row are 10, 40 and 20: the same number of rows of each.
    assert found["equal_rows"] == pytest.approx({"a": 1 / 7, "b": 4 / 7, "c": 2 / 7})
    assert found["temperature_0.5"] == pytest.approx({"a": 1 / 7, "b": 2 / 7, "c": 4 / 7})
    assert found["unimax"] == pytest.approx({"a": 100 / 900, "b": 400 / 900, "c": 400 / 900})


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(1, 1e6), min_size=1),
    st.floats(1, 1e7),
    st.floats(0.5, 5),
)
def test_unimax_is_as_equal_as_the_limit_allows(available, budget, epochs):
    weights = unimax(available, budget, epochs)
    assert sum(weights.values()) == pytest.approx(1)
    if budget > epochs * sum(available.values()):
        return
    level = max(weights.values())
    for name, weight in weights.items():
        assert weight * budget <= epochs * available[name] * (1 + 1e-9)
        # Below the common level only where the limit on epochs binds.
        assert weight == pytest.approx(level) or weight * budget == pytest.approx(epochs * available[name])


def test_the_grid_of_three_domains_is_the_published_one():
    points = grid(["a", "b", "c"])
    assert len(points) == 21
    shares = np.array([list(p.values()) for p in points.values()])
    assert shares.min() == 0.125 and shares.max() == 0.75 and np.allclose(shares.sum(axis=1), 1)
    assert len({tuple(row) for row in shares}) == 21


@pytest.mark.parametrize("domains", [["a"], [*"abcdefghi"]])
def test_a_grid_that_cannot_be_is_an_error(domains):
    with pytest.raises(ConfigError, match="--grid"):
        grid(domains)
