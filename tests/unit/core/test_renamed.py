"""Old names of arguments work, and say the new one."""

import warnings

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.core.renamed import renamed


@renamed(budget_tokens="budget")
def spend(what, budget=None):
    """Return both."""
    return what, budget


def test_an_old_name_is_taken_and_the_line_that_gave_it_is_warned():
    with pytest.warns(FutureWarning, match="Use budget=... instead of budget_tokens=...") as caught:
        assert spend("a", budget_tokens=3) == ("a", 3)
    assert caught[0].filename == __file__


def test_the_name_of_today_warns_of_nothing_and_both_are_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert spend("a", budget=3) == ("a", 3)
    with pytest.raises(ConfigError, match="'budget' and 'budget_tokens' are the same"):
        spend("a", budget=3, budget_tokens=3)
