"""Seeds that derive from names, never from positions.

A domain's sample depends on the study's seed and the domain's name alone, so adding or reordering domains
changes no other domain's sample.
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_from(*names: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on nothing but the names.

    Args:
        names: words and numbers; ("a", "b") and ("ab",) give different seeds.

    Returns:
        A non-negative integer, the same on every machine and in every Python version.
    """
    text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*names: str | int) -> np.random.Generator:
    """Return a NumPy generator seeded by `seed_from(*names)`."""
    return np.random.Generator(np.random.PCG64(seed_from(*names)))
