"""The published design: a base mixture, and each domain alone scaled by 1/3, 1/2, 2 and 3.

Source: Li, Liu, Xing 2025, arXiv 2508.11953, Algorithm 1 (n = 660,000 tokens per domain there).
"""

from __future__ import annotations

from collections.abc import Sequence

RATIOS = {"third": 1 / 3, "half": 1 / 2, "x2": 2.0, "x3": 3.0}
"""Name -> tokens of a domain over those in the base mixture. Source: Li 2025, Algorithm 1."""


def perturbation_design(domains: Sequence[str], base_tokens: int) -> list[tuple[str, dict[str, int]]]:
    """Return 1 + 4 K mixtures as (name, {domain: tokens}).

    Args:
        domains: K names.
        base_tokens: n, tokens of every domain in the base mixture.
    """
    base = dict.fromkeys(domains, base_tokens)
    runs = [("base", dict(base))]
    for domain in domains:
        for name, ratio in RATIOS.items():
            runs.append((f"{domain}-{name}", base | {domain: round(ratio * base_tokens)}))
    return runs
