"""One colour a domain, the same on the whole page, told apart by colour-blind readers too.

Seven colours (after Okabe and Ito, darkened to a contrast of 3:1 on white, lightened on black); from the eighth domain
on, the seven with the largest weights have one and the others are grey, because nobody tells twenty hues apart.
Every chart names its domains beside the marks, so colour never carries the meaning alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

SERIES = 7
"""How many colours there are."""


def series_of(domains: Sequence[str], weights: Mapping[str, float] | None = None) -> dict[str, str]:
    """Return domain -> class of `figures.css`, `series-0` to `series-6` or `series-rest`.

    Args:
        domains: names, in the order in which they take colours.
        weights: domain -> share; decides who has a colour where there are more domains than colours.
    """
    if len(domains) <= SERIES:
        chosen = list(domains)
    else:
        shares = weights or {}
        chosen = sorted(domains, key=lambda name: -shares.get(name, 0.0))[:SERIES]
    return {name: f"series-{chosen.index(name)}" if name in chosen else "series-rest" for name in domains}


def stylesheet() -> str:
    """Return the figures' stylesheet, light and dark."""
    return (Path(__file__).parent / "templates" / "figures.css").read_text(encoding="utf-8")


@cache
def colours() -> dict[str, str]:
    """Return the light colours of `figures.css`: `ink`, `muted`, `grid`, `axis`, `paper`, `series-0`, ...

    No two are the same, so that a drawing's colours can be given back their names on a page that has a dark half too.
    """
    light = stylesheet().partition("}")[0]
    return {name.removeprefix("figure-"): value for name, value in re.findall(r"--([\w-]+): (#\w{6});", light)}
