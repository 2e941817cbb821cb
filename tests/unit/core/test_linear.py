"""Linear constraints as people write them."""

from __future__ import annotations

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.core.linear_constraint import LinearConstraint

DOMAINS = ("chat", "code", "math", "open-r1", "my domain", "a", "b", "a-b", "2024", "x=y", "日本語", "code/python")


@pytest.mark.parametrize(
    ("text", "terms", "sign", "bound"),
    [
        ("code + math <= 0.5", {"code": 1, "math": 1}, "<=", 0.5),
        ("0.5 chat + code >= 0.2", {"chat": 0.5, "code": 1}, ">=", 0.2),
        ("0.5*chat+code>=.2", {"chat": 0.5, "code": 1}, ">=", 0.2),
        ("a - b <= 0", {"a": 1, "b": -1}, "<=", 0),
        ("a-b == 1e-1", {"a-b": 1}, "==", 0.1),
        ("a = 0.3", {"a": 1}, "==", 0.3),
        ("'my domain' + code <= 0.5", {"my domain": 1, "code": 1}, "<=", 0.5),
        ("my domain + code <= 0.5", {"my domain": 1, "code": 1}, "<=", 0.5),
        ("\"x=y\" + '2024' <= 0.5", {"x=y": 1, "2024": 1}, "<=", 0.5),
        ("open-r1 <= 2 code", {"open-r1": 1, "code": -2}, "<=", 0),
        ("-code + 0.5 <= math - 0.2 chat", {"code": -1, "math": -1, "chat": 0.2}, "<=", -0.5),
        ("日本語 + code/python <= .3", {"日本語": 1, "code/python": 1}, "<=", 0.3),
        ("code + code <= 0.5", {"code": 2}, "<=", 0.5),
    ],
)
def test_what_is_read(text: str, terms: dict, sign: str, bound: float) -> None:
    found = LinearConstraint.parse(text, DOMAINS)
    assert (dict(found.terms), found.sign) == (terms, sign)
    assert found.bound == pytest.approx(bound)
    assert LinearConstraint.parse(str(found), DOMAINS) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code", "0 signs"),
        ("", "0 signs"),
        ("code < 3", "has '<'"),
        ("0.1 <= code <= 0.3", "2 signs"),
        ("cod <= .5", "did you mean 'code'"),
        ("'zzz' <= .5", "there are 'chat'"),
        ("code + <= .5", "a domain is needed"),
        ("<= .5", "a domain or a number is needed"),
        ("code <=", "at its end"),
        ("code math <= .5", r"\+ or - is needed"),
        ("3 * <= 2", "a domain is needed"),
        ("0.3 <= .5", "names no domain"),
        ("2024 <= .3", "names no domain"),
        ("code - code <= 0", "names no domain"),
        ("code <= 1e999", "not finite"),
    ],
)
def test_what_cannot_be_read_says_why_and_how_to_write_it(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        LinearConstraint.parse(text, DOMAINS)
    assert error.value.hint


def test_a_value_is_checked_like_a_text() -> None:
    with pytest.raises(ConfigError, match="sign"):
        LinearConstraint({"a": 1.0}, "<", 0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no domain"):
        LinearConstraint({}, "<=", 0.5)
    assert LinearConstraint.parse("any + name <= 1").terms == {"any": 1, "name": 1}
