"""Boosted trees whose splits are passed gradually, so that a loss is continuous in the tokens.

A split lies anywhere between two neighbouring training runs; a tree puts it in the middle. Here the way from one side
to the other is a cubic between the two runs' values, so that every training run is predicted as by the tree itself.

    share(x) = u^2 (3 - 2 u)          u = (x - below) / (above - below), held within 0 and 1

Shape letters: R runs, Q queries, D columns, N splits, F leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_AT_ONCE = 4_000_000
"""Numbers that are held while queries are predicted together. For memory. No data."""


@dataclass(frozen=True)
class GradualTrees:
    """Fitted trees as arrays.

    Attributes:
        column_N: which column each split asks for.
        below_N: the training runs' largest value on the near side.
        above_N: their smallest value on the far side.
        path_FX: for each leaf the gates on the way to it: n for the near side of split n, N + n for its far side, 2 N
            for none.
        value_F: what each leaf adds, nats.
    """

    column_N: np.ndarray
    below_N: np.ndarray
    above_N: np.ndarray
    path_FX: np.ndarray
    value_F: np.ndarray

    @staticmethod
    def of(booster: Any, columns_RD: np.ndarray) -> GradualTrees:
        """Return the trees of a LightGBM model that was trained on these columns."""
        splits: list[tuple[int, float, float]] = []
        leaves: list[tuple[list[tuple[int, bool]], float]] = []
        values = [np.unique(column) for column in columns_RD.T]
        for tree in booster.dump_model()["tree_info"]:
            leaves += _leaves(tree["tree_structure"], [], splits, values)
        N, depth = len(splits), max((len(path) for path, _ in leaves), default=0)
        path_FX = np.full((len(leaves), max(depth, 1)), 2 * N)
        for f, (path, _) in enumerate(leaves):
            path_FX[f, : len(path)] = [n + N * far for n, far in path]
        column_N, below_N, above_N = np.array(splits, float).reshape(-1, 3).T
        return GradualTrees(column_N.astype(int), below_N, above_N, path_FX, np.array([value for _, value in leaves]))

    def predict(self, columns_QD: np.ndarray) -> np.ndarray:
        """Return (Q,) losses, nats."""
        step = max(1, _AT_ONCE // max(self.path_FX.size, 1))
        parts = [self._predict(columns_QD[at : at + step]) for at in range(0, len(columns_QD), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _predict(self, columns_QD: np.ndarray) -> np.ndarray:
        u_QN = np.clip((columns_QD[:, self.column_N] - self.below_N) / (self.above_N - self.below_N), 0.0, 1.0)
        far_QN = u_QN**2 * (3 - 2 * u_QN)
        gates_QG = np.concatenate([1 - far_QN, far_QN, np.ones((len(columns_QD), 1))], axis=1)
        weights_QF = np.ones((len(columns_QD), len(self.value_F)))
        for places_F in self.path_FX.T:
            weights_QF *= gates_QG[:, places_F]
        return weights_QF @ self.value_F


def _leaves(
    node: dict[str, Any],
    path: list[tuple[int, bool]],
    splits: list[tuple[int, float, float]],
    values: list[np.ndarray],
) -> Iterator[tuple[list[tuple[int, bool]], float]]:
    """Yield each leaf below a node with its path of splits and sides; the splits on the way are appended."""
    if "leaf_value" in node:
        yield path, float(node["leaf_value"])
        return
    column = int(node["split_feature"])
    at = int(np.searchsorted(values[column], node["threshold"], side="right"))
    at = min(max(at, 1), len(values[column]) - 1)
    n = len(splits)
    splits.append((column, float(values[column][at - 1]), float(values[column][at])))
    yield from _leaves(node["left_child"], [*path, (n, False)], splits, values)
    yield from _leaves(node["right_child"], [*path, (n, True)], splits, values)
