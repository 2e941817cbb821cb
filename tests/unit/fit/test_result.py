"""What a fit is asked: repeats counted where it knows of them, the point or the draws, and fewer domains."""

from __future__ import annotations

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, DataError, FitError
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit
from mixlaw.laws.repetition import count_tokens
from planted_fits import planted_fit, two_runs

DOMAINS = ("a", "b")
POINT = np.array([0.5, 0.2, 0.6, 0.2, 0.8])
DRAWS = POINT * np.exp(0.1 * np.random.default_rng(0).standard_normal((40, 5)))
MIXTURE = {"a": 0.9e6, "b": 0.3e6}


def fit(decay: float = np.inf, runs: RunTable | None = None) -> Fit:
    draws = dict.fromkeys(DOMAINS, DRAWS)
    return planted_fit(
        "transfer", runs or two_runs(DOMAINS, DOMAINS), dict.fromkeys(DOMAINS, POINT), draws, decay=decay
    )


def test_tokens_beyond_what_there_is_count_as_the_decay_says() -> None:
    available = {"a": 0.3e6}
    counted = {"a": float(count_tokens(np.array(0.9e6), np.array(0.3e6), 4.0)), "b": 0.3e6}
    assert counted["a"] < 0.9e6
    found, fresh = fit(4.0).predict(MIXTURE, available), fit().predict(counted)
    assert found.mean == pytest.approx(fresh.mean)
    assert found.mean[0, 0] > fit(4.0).predict(MIXTURE).mean[0, 0]
    # as good as fresh
    assert fit().predict(MIXTURE, available).mean == pytest.approx(fit().predict(MIXTURE).mean)


def test_a_table_says_itself_which_tokens_repeat() -> None:
    unique = np.array([[0.3e6, 1e6]])
    table = RunTable(
        ("r",), ("b", "a"), ("a",), np.array([[0.3e6, 0.9e6]]), np.array([[1.0]]), unique_RK=unique[:, ::-1]
    )
    whole = RunTable(("r",), DOMAINS, ("a",), np.array([[0.9e6, 0.3e6]]), np.array([[1.0]]), unique_RK=unique)
    expected = fit(4.0).predict(MIXTURE, {"a": 0.3e6}).mean
    assert fit(4.0).predict(whole).mean == pytest.approx(expected)
    assert fit(4.0).predict(table).mean == pytest.approx(expected)
    assert fit().predict(whole).mean == pytest.approx(fit().predict(MIXTURE).mean)


def test_the_point_is_the_law_at_its_reported_parameters_and_the_draws_are_their_mean() -> None:
    law = fit().targets["a"].curve.law
    tokens = np.array([[0.9, 0.3]])
    assert fit().predict(MIXTURE, at="point").mean[0, 0] == pytest.approx(law.predict(POINT, tokens)[0])
    assert fit().predict(MIXTURE).mean[0, 0] == pytest.approx(law.predict(DRAWS, tokens).mean())
    with pytest.raises(ConfigError, match="at is 'mode'"):
        fit().predict(MIXTURE, at="mode")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="interval is 'both'"):
        fit().predict(MIXTURE, interval="both")  # type: ignore[arg-type]


def test_the_interval_of_runs_holds_that_of_the_law() -> None:
    found = fit().predict(MIXTURE)
    law = fit().targets["a"].curve.law.predict(DRAWS, np.array([[0.9, 0.3]]))[:, 0]
    assert (found.mean_low[0, 0], found.mean_high[0, 0]) == pytest.approx(tuple(np.quantile(law, (0.05, 0.95))))
    spread = np.sqrt(law.var() + 0.01**2)
    assert found.high[0, 0] - found.low[0, 0] == pytest.approx(2 * 1.645 * spread, rel=0.15)
    assert found.low[0, 0] < found.mean_low[0, 0] and found.high[0, 0] > found.mean_high[0, 0]
    assert found.ends[0] is found.low
    assert fit().predict(MIXTURE, interval="law").ends[0][0, 0] == found.mean_low[0, 0]


def test_beyond_the_largest_run_is_counted_in_powers_of_e() -> None:
    assert fit().largest_run == 2e6
    assert fit().distance(np.array([1e6, 2e6, 2e6 * np.e])).tolist() == pytest.approx([0, 0, 1])


def test_a_fit_of_one_size_knows_no_other_and_no_size_is_nothing() -> None:
    with pytest.raises(FitError, match="one model size"):
        fit().at_size(1e9)


def test_fewer_domains_keep_their_order_and_their_targets() -> None:
    part = fit().of_domains(["b"])
    assert part.domains == ("b",) and list(part.targets) == ["b"]
    assert part.runs.tokens_RK.shape == (2, 1) and part.runs.losses_RJ.shape == (2, 1)
    assert part.predict({"b": 1e6}).mean == pytest.approx(fit().predict({"b": 1e6}).mean[:, 1:])
    assert fit().of_domains(["b", "a"]).domains == DOMAINS
    with pytest.raises(DataError, match="no domain 'z'"):
        fit().of_domains(["z"])


def test_a_fit_says_how_many_runs_it_is_of_and_which_law() -> None:
    assert len(fit()) == 2
    assert fit().kind.name == fit().law == "transfer"
    assert fit().alternative == ""
    assert fit(4.0).counted_RK == pytest.approx(np.ones((2, 2)))
