"""Numbers as mix.yaml may have them: tokens like 20M, shares like 0.3 or 30 %, and percent like 1 %."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mixlaw.core.errors import ConfigError
from mixlaw.core.percents import parse_percent, parse_share
from mixlaw.core.tokens import parse_tokens


def _tokens(value: Any) -> int:
    if not isinstance(value, (str, int, float)):
        raise ValueError("not a number of tokens; write it like 20M, 1.5B, 660k or 2e7")
    try:
        return parse_tokens(value)
    except ConfigError as error:
        raise ValueError(f"{error.message.removeprefix('token count is ')} {error.hint}") from None


Tokens = Annotated[int, BeforeValidator(_tokens)]
TokenList = Annotated[list[Tokens], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]


def _share(value: Any) -> Any:
    try:
        return parse_share(value) if isinstance(value, str) else value
    except ConfigError as error:
        raise ValueError(f"{error.message.removeprefix('share is ')} {error.hint}") from None


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]


def _percent(value: Any) -> float:
    try:
        return parse_percent(value)
    except ConfigError as error:
        raise ValueError(f"{error.message.removeprefix('percentage is ')} {error.hint}") from None


Percent = Annotated[float, BeforeValidator(_percent), Field(gt=-100, allow_inf_nan=False)]
