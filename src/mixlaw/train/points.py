"""Points along a run: what a run of fewer tokens would have come to, without training one.

    rate constant after the warm-up;   at a point after s steps:   theta = mean of the weights after steps .8 s to s

A loss in the middle of a run is that of a learning rate which has not ended; a run that ends there is better. In place
of a branch whose rate falls to nothing from a saved state, which costs its steps again, the weights of the last fifth
of the steps are averaged: to first order the same, and measured the same (docs/lab.md). The run goes on from its own
weights; its end is such a point, too, so that all rows of a run are alike.

Source: Polyak and Juditsky 1992, SIAM J. Control Optim. 30:838-855 (the mean of iterates in place of a falling rate);
Haegele et al. 2024, arXiv 2405.18392, sections 3 and 4 (constant rate with cool-downs, and weight averaging, in place
of a run for each length).
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixlaw.core.run import Counted, RunSpec, TargetLoss
from mixlaw.data.rows import TokenRows
from mixlaw.train.sample import predicted_tokens

if TYPE_CHECKING:
    import torch

AVERAGED = 0.2
"""Part of the steps before a point whose weights are averaged. Chosen on: eight mixtures of the demo's domains, where
.4 gives losses up to .06 nats higher at the same steps (docs/lab.md)."""

Row = Sequence[tuple[str, int]]


def problem_of(points: Sequence[float]) -> str:
    """Return what is wrong with shares of a run's steps, before its end, as points; empty where nothing is."""
    every = [*points, 1.0]
    for share, following in itertools.pairwise(every):
        if not 0 < share < 1:
            return f"{share:g} is not between 0 and 1, the run's beginning and its end"
        if share > (1 - AVERAGED) * following + 1e-9:
            least = f"{(1 - AVERAGED) * following:.3g}"
            return f"{share:g} is too near to {following:g}: at most {least}, since weights before a point are averaged"
    return ""


class Points:
    """The points of one run while it trains.

    Args:
        spec: the run, with points.
        plan: the rows of each step, as (domain, row) of their conversations.
        train_rows: domain -> its rows.
        network: the model that is trained.
    """

    def __init__(
        self, spec: RunSpec, plan: Sequence[Sequence[Row]], train_rows: Mapping[str, TokenRows], network: Any
    ) -> None:
        self._plan, self._train_rows, self._network = plan, train_rows, network
        self._ends = [max(1, round(share * len(plan))) for share in spec.points]
        self._mean: dict[str, torch.Tensor] = {}
        self._count = 0
        self.shares = spec.points
        self.reached: list[Counted] = []
        self.evaluation_s = 0.0

    def after(self, step: int, evaluate: Callable[[], dict[str, TargetLoss]]) -> bool:
        """Take note of the weights after a step; evaluate their mean where a point lies, and return whether one does.

        At the run's end the mean takes the weights' place, for an evaluation by the caller.

        Args:
            step: steps taken.
            evaluate: gives the losses of the network as it stands.
        """
        ends = self._ends[len(self.reached) :]
        if ends and step > ends[0] - max(1, round(AVERAGED * ends[0])):
            self._add()
        due = [end for end in ends[:-1] if end == step]
        for _ in due:
            began = time.perf_counter()
            with self._averaged():
                losses = evaluate()
            self.reached.append(self._counted(step, losses))
            self.evaluation_s += time.perf_counter() - began
        if step == len(self._plan):
            self._swap()
        elif due:
            self._mean, self._count = {}, 0
        return bool(due)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the mean so far, for a checkpoint."""
        return {f"mean {name}": value for name, value in self._mean.items()}

    def state(self) -> dict[str, Any]:
        """Return the rest of what a checkpoint needs, as JSON."""
        return {"count": self._count, "reached": [point.to_json() for point in self.reached]}

    def restore(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Take back what a checkpoint holds."""
        self._count = int(state["count"])
        self.reached = [Counted.from_json(value) for value in state["reached"]]
        self._mean = {
            name: tensors[f"mean {name}"].to(weight.device)
            for name, weight in self._weights()
            if f"mean {name}" in tensors
        }

    def _weights(self) -> list[tuple[str, torch.Tensor]]:
        return [(name, p.detach()) for name, p in self._network.named_parameters() if p.requires_grad]

    def _add(self) -> None:
        self._count += 1
        for name, weight in self._weights():
            if self._count == 1:
                self._mean[name] = weight.clone()
            else:
                self._mean[name].add_(weight - self._mean[name], alpha=1 / self._count)

    def _swap(self) -> None:
        """Exchange the weights and their mean."""
        for name, weight in self._weights():
            kept = weight.clone()
            weight.copy_(self._mean[name])
            self._mean[name] = kept

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        self._swap()
        self._network.eval()
        try:
            yield
        finally:
            self._swap()
            self._network.train()

    def _counted(self, steps: int, losses: dict[str, TargetLoss]) -> Counted:
        """Return what the run has trained on after so many steps."""
        rows: dict[str, list[int]] = {}
        for batch in self._plan[:steps]:
            for row in batch:
                for domain, index in row:
                    rows.setdefault(domain, []).append(index)
        tokens, supervised, unique = {}, {}, {}
        for domain in sorted(rows):
            kind, chosen = self._train_rows[domain], np.array(rows[domain])
            tokens[domain] = int(kind.row_tokens[chosen].sum())
            supervised[domain] = int(predicted_tokens(kind)[chosen].sum())
            unique[domain] = int(kind.row_tokens[np.unique(chosen)].sum())
        return Counted(steps, tokens, supervised, unique, losses)
