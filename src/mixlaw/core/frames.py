"""Values as pandas data frames, where pandas is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixlaw.core.errors import MissingExtra


def frame(rows: Sequence[dict[str, Any]], index: str) -> Any:
    """Return a `pandas.DataFrame` of rows, indexed by a column; a missing number is NaN.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtra("pandas", "train", "data frames") from None
    return pandas.DataFrame(list(rows)).set_index(index)
