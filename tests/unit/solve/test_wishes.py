"""What is asked of a mixture is the same by name and as a value."""

from __future__ import annotations

import dataclasses

from mixlaw.solve.wishes import SolveWishes, WishesByName


def test_the_keywords_are_the_fields_of_the_wishes() -> None:
    assert [field.name for field in dataclasses.fields(SolveWishes)] == list(WishesByName.__annotations__)
