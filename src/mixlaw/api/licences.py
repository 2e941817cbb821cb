"""What the licences of the sources, as mix.yaml names them, say about publishing what is made of their rows.

The names are those of the Hub, such as `apache-2.0` or `cc-by-nc-4.0`. This is no legal advice: it keeps what a licence
clearly forbids from being published by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mixlaw.config import Config

_NOT_KNOWN = ("", "other", "unknown", "unspecified")
_FORBIDS = (
    (re.compile(r"cc-by(-nc)?-nd\b"), "forbids that changed copies be shared"),
    (
        re.compile(r"proprietary|all[ -]rights[ -]reserved|unlicensed|no[ -]licen[sc]e|none|confidential|internal"),
        "allows no copies",
    ),
)
_ASKS = (
    (re.compile(r"-nc\b"), "allows no commercial use"),
    (re.compile(r"-sa\b|share-?alike|^odbl\b|^gpl|^agpl"), "asks that copies keep the same licence"),
)


def problems(config: Config, domains: Iterable[str]) -> list[str]:
    """Return why rows of domains must not be published, one sentence for each domain that is in the way."""
    found = []
    for name in domains:
        licence = config.domains[name].license
        if _plain(licence) in _NOT_KNOWN:
            found.append(f"{name}: its licence is not known.")
        else:
            found += [f"{name}: its licence, {licence}, {what}." for rule, what in _FORBIDS if _met(rule, licence)]
    return found


def conditions(config: Config, domains: Iterable[str]) -> list[str]:
    """Return what the licences of domains ask of a copy or of what was trained on it, one sentence for each."""
    return [
        f"{name}: its licence, {config.domains[name].license}, {what}."
        for name in domains
        for pattern, what in _ASKS
        if _met(pattern, config.domains[name].license)
    ]


def _plain(licence: str | None) -> str:
    return (licence or "").strip().lower()


def _met(pattern: re.Pattern[str], licence: str | None) -> bool:
    return pattern.search(_plain(licence)) is not None
