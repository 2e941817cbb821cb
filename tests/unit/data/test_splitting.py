import numpy as np

from mixlaw.data import splitting
from mixlaw.data.tokenise import ROW


def test_held_out_rows_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    rows = np.zeros(500, ROW)
    rows["high"], rows["low"] = rng.integers(0, 12, 500), rng.integers(0, 12, 500)
    keys = list(zip(rows["high"].tolist(), rows["low"].tolist(), strict=True))
    for wanted in (1, 7, 20, 10_000):
        count = max(1, min(wanted, int(0.2 * len(set(keys)))))
        smallest = set(sorted(set(keys))[:count])
        assert splitting._held_out(rows, wanted).tolist() == [key in smallest for key in keys]
