"""Token counts, mixtures, seeds, fingerprints, files."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.core.errors import ConfigError, DataError, Infeasible, MissingExtra, file_error
from mixlaw.core.files import atomic_open, read_json, write_json
from mixlaw.core.mixture import Mixture
from mixlaw.core.seeds import seed_from
from mixlaw.core.tokens import format_tokens, parse_tokens


@pytest.mark.parametrize(
    ("text", "value"),
    [("20M", 20_000_000), ("1.5B", 1_500_000_000), ("660k", 660_000), ("2e7", 20_000_000), ("1_000", 1000), (5, 5)],
)
def test_token_counts_read_as_people_write_them(text: str | int, value: int) -> None:
    assert parse_tokens(text) == value


@pytest.mark.parametrize("text", ["", "many", "20X", "-5M", "0", 0, -1, "nan", float("nan"), -(10**400), True])
def test_what_is_no_positive_token_count_is_refused(text: str | int) -> None:
    with pytest.raises(ConfigError):
        parse_tokens(text)


@pytest.mark.parametrize("text", ["1e30", "1e400", 1e30, 10**400, "9" * 400])
def test_a_token_count_beyond_any_data_is_refused_shortly(text: str | float) -> None:
    with pytest.raises(ConfigError, match="at most 1e18") as caught:
        parse_tokens(text)
    assert len(str(caught.value)) < 150


def test_token_counts_are_shown_in_three_digits() -> None:
    assert [format_tokens(n) for n in (20_000_000, 1_500_000_000, 999_950, 512)] == ["20M", "1.5B", "1M", "512"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda w: sum(w) > 0.01), st.integers(1, 10**9))
def test_a_mixtures_tokens_are_whole_and_sum_to_the_budget(raw: list[float], budget: int) -> None:
    weights = {str(i): w / sum(raw) for i, w in enumerate(raw)}
    tokens = Mixture(weights, budget).tokens
    assert sum(tokens.values()) == budget
    assert all(abs(tokens[name] - w * budget) <= 1 for name, w in weights.items())


@pytest.mark.parametrize("weights", [{"a": 0.5, "b": 0.4}, {"a": 1.5, "b": -0.5}, {"a": float("nan")}])
def test_weights_that_are_no_shares_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Mixture(weights, 100)


def test_seeds_depend_on_names_and_their_borders() -> None:
    assert seed_from("a", "b") == 8662206895790957538
    assert len({seed_from("a", "b"), seed_from("ab"), seed_from("b", "a"), seed_from("a", 1), seed_from("a", "1")}) == 5


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(RuntimeError), atomic_open(tmp_path / "x.json") as file:
        file.write("half")
        raise RuntimeError
    assert read_json(tmp_path / "x.json") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_is_said_with_the_path_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(OSError) as raised, atomic_open(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(file_error(raised.value)).startswith(f"{path} cannot be written: No space left on device.")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        write_json(tmp_path, {"a": 1})
    assert caught.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == [] and not list(tmp_path.parent.glob("*.tmp"))


def test_broken_json_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1,\n oops}')
    with pytest.raises(DataError, match="line 2, column 2"):
        read_json(tmp_path / "x.json")


def test_a_path_that_is_no_json_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 200_000)
    for path, words in ((tmp_path / "x.json", "cannot be read as JSON"), (tmp_path / "x.json" / "y", "cannot be read")):
        with pytest.raises(DataError, match=words):
            read_json(path)


def test_errors_survive_the_way_between_processes() -> None:
    for error in (Infeasible("fact", "remedy", ("a",)), MissingExtra("torch", "train", "Training")):
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.hint, type(again)) == (str(error), error.hint, type(error))
