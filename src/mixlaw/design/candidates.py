"""The finite set of mixtures among which an optimal design chooses.

The published perturbations of the base mixture; the cells of a grid of low, middle and high amounts, all of them where
they are few and a random part otherwise; and points that fill the range. Optimal runs lie at its ends and corners,
seldom inside.

Shape letters: N candidates, K domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from mixlaw.core.seeds import generator, seed_from
from mixlaw.design.perturbation import RATIOS
from mixlaw.design.ranges import token_range, whole


def candidate_tokens(base_tokens: float, caps_K: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return about `count` different mixtures, (N, K) whole tokens within the range and the caps.

    Args:
        base_tokens: n, the middle of every domain's range (in logarithms).
        caps_K: most tokens of each domain; infinite for none.
        count: N wanted; there are more where the perturbations alone are more.
        seed: of what is random.
    """
    from scipy.stats import qmc

    K = len(caps_K)
    low, high = token_range(base_tokens, caps_K)
    middle = np.sqrt(low * high)
    alone = [np.ones(K)]
    for k in range(K):
        for ratio in RATIOS.values():
            alone.append(np.where(np.arange(K) == k, ratio, 1.0))
    room = max(count - len(alone), 0)
    if room // 2 >= 3**K:
        cube = np.array(list(product((0.0, 0.5, 1.0), repeat=K)))
    else:
        cube = generator("candidate cells", seed).integers(0, 3, (room // 2, K)) / 2
    inside = room - len(cube)
    if inside:
        sobol = qmc.Sobol(K, scramble=True, rng=np.random.default_rng(seed_from("candidates", seed)))
        cube = np.vstack([cube, sobol.random(1 << max(inside - 1, 0).bit_length())[:inside]])
    points = np.exp(np.log(low) + cube.reshape(-1, K) * np.log(high / low))
    tokens = whole(np.clip(np.vstack([middle * np.array(alone), points]), low, high), caps_K, 1)
    return np.array(list(dict.fromkeys(map(tuple, tokens.tolist()))), dtype=np.int64)


def candidates_around(bases: Sequence[float], caps_K: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return about `count` different mixtures around several middles, (N, K) whole tokens (see `candidate_tokens`)."""
    each = [candidate_tokens(base, caps_K, max(count // len(bases), 1), seed) for base in bases]
    return np.array(list(dict.fromkeys(map(tuple, np.vstack(each).tolist()))), dtype=np.int64)
