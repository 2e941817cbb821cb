"""How much mixtures lean on few domains."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.lean import lean


def test_equal_shares_do_not_lean_and_one_domain_alone_leans_fully() -> None:
    tokens = np.array([[5.0, 5, 5, 5], [0, 0, 7, 0], [5, 5, 0, 0], [0, 0, 0, 0]])
    assert lean(tokens) == pytest.approx([0, 1, 0.5, 0], abs=1e-12)
    assert lean(tokens * 1e6).tolist() == pytest.approx(lean(tokens).tolist())
    assert lean(np.array([[3.0], [0.0]])).tolist() == [0, 0]
