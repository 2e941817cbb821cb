"""The mixtures that a fit is asked about, from whatever users have: names are read wherever there are any.

Shape letters: R mixtures, K domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.core.by_name import amount, by_name, is_series
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.core.table_columns import are_records, columns_of, is_column, is_frame

Tokens = RunTable | Mapping[str, Any] | Sequence[Any] | np.ndarray | Any
"""Mixtures, as `asked` reads them: tables, `{domain: tokens}`, data frames, or an (R, K) array."""

_SOURCE = "The table of mixtures"


def asked(tokens: Any, domains: tuple[str, ...]) -> RunTable | np.ndarray:
    """Return mixtures as a run table, or as (R, K) tokens in the order of the domains.

    Args:
        tokens: a run table; `{domain: tokens}` for one mixture, or a list of these (a domain left out has none); a
            pandas Series with all domains in its index; a data frame or dict of columns, either those of a run table or
            one for each domain; or numbers in the order of the domains. Where there are names, tokens may be texts such
            as "2M".
        domains: of the fit.

    Raises:
        DataError: no mixture, an unknown or lacking domain, a wrong shape, or no number of tokens.
    """
    if isinstance(tokens, RunTable):
        return tokens
    named = isinstance(tokens, Mapping) or is_series(tokens)
    if is_frame(tokens) or (named and any(map(is_column, dict(tokens).values()))):
        return _of_columns(columns_of(tokens, _SOURCE), domains)
    if named and any(str(name).startswith("tokens:") and name not in domains for name in dict(tokens)):
        return _of_columns({str(name): [value] for name, value in tokens.items()}, domains)
    if named:
        return np.array([_one(tokens, domains, lacking=isinstance(tokens, Mapping))])
    if isinstance(tokens, (list, tuple)) and tokens and are_records(tokens):
        return np.array([_one(mixture, domains) for mixture in tokens])
    try:
        return np.atleast_2d(np.asarray(tokens, float))
    except (TypeError, ValueError):
        raise DataError(
            f"The tokens of the mixtures are {_short(tokens)}, which are no numbers.",
            "Give each mixture as {'math': '2M', 'code': '1M'}, or as numbers in the order of fit.domains.",
        ) from None


def available_of(available: Any, domains: tuple[str, ...]) -> dict[str, float] | None:
    """Return domain -> distinct tokens, given by name; None where nothing is said.

    Raises:
        DataError: an unknown domain, or no number of tokens.
    """
    if available is None:
        return None
    found = _amounts(available, "available")
    require_domains(tuple(found), domains)
    return found


def require_domains(given: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raise DataError where a name is none of the known domains."""
    stray = [domain for domain in given if domain not in known]
    if stray:
        raise DataError(
            f"The fit has no domain {', '.join(map(repr, stray))}; it has {', '.join(map(repr, known))}.",
            "Correct the name, or fit runs that have it.",
        )


def _one(tokens: Any, domains: tuple[str, ...], lacking: bool = True) -> list[float]:
    """Return (K,) tokens of a mixture that is given by name; `lacking` is whether a domain may be left out."""
    found = _amounts(tokens, "tokens")
    if not found:
        raise DataError("A mixture names no domain.", f"Write {{'{domains[0]}': 0}} for the model before any training.")
    require_domains(tuple(found), domains)
    if not lacking:
        _require_all(found, domains, "The mixture")
    return [found.get(domain, 0.0) for domain in domains]


def _of_columns(columns: Mapping[str, list[Any]], domains: tuple[str, ...]) -> RunTable | np.ndarray:
    """Return the mixtures of a table: whole rows of a run table, or the tokens of each domain."""
    if any(name.startswith("tokens:") and name not in domains for name in columns):
        return RunTable.from_columns(columns, _SOURCE, losses=False)
    require_domains(tuple(columns), domains)
    _require_all(columns, domains, _SOURCE)
    cells = [list(_amounts(dict(enumerate(columns[d], 1)), f"'{d}'").values()) for d in domains]
    return np.array(cells, float).T


def _require_all(given: Iterable[str], domains: tuple[str, ...], what: str) -> None:
    if missing := [domain for domain in domains if domain not in given]:
        raise DataError(
            f"{what} has no tokens of {', '.join(map(repr, missing))}; the fit has {', '.join(map(repr, domains))}.",
            "Add them, as 0 where there are none.",
        )


def _amounts(given: Any, what: str) -> dict[str, float]:
    try:
        return by_name(given, what, amount)
    except ConfigError as error:
        raise DataError(error.message, error.hint) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"of type {type(value).__name__}"
