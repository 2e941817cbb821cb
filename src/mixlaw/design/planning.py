"""From the options of a plan to a list of runs, within what the data hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.core.tokens import format_tokens, tokens_down
from mixlaw.design.affordable import Planner
from mixlaw.design.dirichlet import dirichlet_design
from mixlaw.design.grid import grid_design
from mixlaw.design.knowledge import Knowledge, laws_for
from mixlaw.design.optimal import optimal_design
from mixlaw.design.perturbation import RATIOS, perturbation_design
from mixlaw.design.ranges import SPAN, total_tokens
from mixlaw.design.repeats import PlannedRun, repeated
from mixlaw.design.sequential import first_batch, most_runs, sequential_tokens
from mixlaw.design.simplex_lattice import simplex_lattice_design
from mixlaw.design.space_filling import space_filling_design
from mixlaw.design.spending import Spending

Mixtures = list[tuple[str, dict[str, int]]]

_FEWEST_RUNS = 5
"""Smallest number of runs: a law has five parameters or more (`transfer`). No data."""


@dataclass(frozen=True)
class Wishes:
    """Options of a plan; each design uses some of them (`KEYS`).

    Attributes:
        levels: for `grid`: tokens of a domain divided by `base_tokens`.
        run_tokens: for `simplex_lattice` its totals; for `dirichlet` the fewest and most tokens of a run, or one total.
        min_share: for `simplex_lattice` and `dirichlet`: smallest share of every domain.
        proxy_tokens: for `d_optimal`, `g_optimal` and `sequential`: most tokens of all runs together.
        batch: for `sequential`: how many runs are chosen at a time; None: as many as domains, at least 3.
        threshold: for `sequential`: it ends when the 95th percentile of the regret is below this share of the loss.
        law: for `d_optimal` and `g_optimal`: the law whose parameters or predictions the runs should determine; `auto`
            is `transfer`.
        spending: for `auto` and `sequential`: what the runs may cost, evaluations included; number and size of the
            runs follow from it.
    """

    levels: Sequence[float] | None = None
    run_tokens: Sequence[float] | None = None
    min_share: float | None = None
    proxy_tokens: float | None = None
    batch: int | None = None
    threshold: float | None = None
    law: str = "auto"
    spending: Spending | None = None


@dataclass(frozen=True)
class Task:
    """What a design is made from.

    Attributes:
        available: domain -> distinct training tokens there are.
        base_tokens: n, the tokens of every domain in the middle of the design.
        runs: how many are wanted.
        seed: seed of whatever is random.
        wishes: options of the design.
        notes: sentences for the user; a design adds what it decides.
    """

    available: Mapping[str, int]
    base_tokens: int
    runs: int
    seed: int
    wishes: Wishes
    notes: list[str]

    @property
    def domains(self) -> list[str]:
        """The names, in the order of the configuration."""
        return list(self.available)

    @property
    def typical(self) -> float:
        """Tokens of the base mixture."""
        return float(sum(min(self.base_tokens, tokens) for tokens in self.available.values()))

    @property
    def caps(self) -> list[float]:
        """The most tokens of each domain, in the same order."""
        return [float(tokens) for tokens in self.available.values()]


def design_runs(
    design: str,
    available_tokens: Mapping[str, int],
    budget_tokens: int,
    *,
    base_tokens: int | None = None,
    runs: int | None = None,
    seed: int = 0,
    replicates: int = 0,
    wishes: Wishes | None = None,
) -> tuple[list[PlannedRun], list[str]]:
    """Return the proxy runs, and sentences for the user about choices and costs.

    Args:
        design: a key of `DESIGNS` or of `ALIASES`; `auto` is `sequential` where `wishes.spending` says what runs may
            cost, else `space_filling`.
        available_tokens: domain -> distinct training tokens there are.
        budget_tokens: the target budget.
        base_tokens: n per domain; None: a tenth of a domain's equal share of the budget, within what the data hold.
        runs: how many; None: 1 + 4 K, for `sequential` at most twice that. The published design has always 1 + 4 K.
        seed: seed of whatever is random in the design.
        replicates: how many further runs repeat others with other seeds, to measure the noise (`repeated`).
        wishes: options of the design; None for its defaults.

    Raises:
        DesignError: there is no such design, an option is not one of its own, a domain is too small for it, or the
            number of runs does not fit it.
    """
    wishes = wishes or Wishes()
    if design not in design_names():
        raise DesignError(f"There is no design '{design}'.", f"Known: {', '.join(design_names())}.")
    design = ALIASES.get(design, design)
    if design == "auto":
        design = "space_filling" if wishes.spending is None else "sequential"
    _require_wishes(design, wishes)
    domains, notes = list(available_tokens), []
    usual = 1 + len(RATIOS) * len(domains)
    if runs is not None and runs < _FEWEST_RUNS:
        raise DesignError(
            f"plan.runs is {runs}; a law with five parameters needs at least {_FEWEST_RUNS} runs.",
            f"Raise it; {usual} are usual for {len(domains)} domains.",
        )
    start = None
    if design == "sequential" and wishes.spending is not None:
        start = Planner(available_tokens, budget_tokens, wishes.spending, seed).start(runs)
        base_tokens = start.base_tokens
    if base_tokens is None:
        base_tokens = default_base_tokens(available_tokens, budget_tokens)
        notes.append(f"base_tokens: {format_tokens(base_tokens)} per domain, chosen from the budget and the data.")
    if runs is None:
        runs = most_runs(len(domains)) if design == "sequential" else usual
    task = Task(available_tokens, base_tokens, runs, seed, wishes, notes)
    mixtures = DESIGNS[design](task) if start is None else start.mixtures
    notes += [] if start is None else start.notes
    planned = [PlannedRun(name, tokens) for name, tokens in mixtures]
    again = repeated(planned, replicates)
    planned += again
    if design != "perturbation":
        for name in domains:
            if available_tokens[name] < SPAN * base_tokens:
                has = format_tokens(available_tokens[name])
                notes.append(f"'{name}' has {has} tokens, so the runs use at most that many.")
    if replicates:
        which = ", ".join(f"'{run.name}'" for run in again)
        notes.append(f"replicates: {which}, with other seeds, to measure the noise.")
    spent = total_tokens([(run.name, run.tokens) for run in planned])
    notes.append(f"design: {design}, {len(planned)} runs, {format_tokens(spent)} tokens in total.")
    return planned, notes


def default_base_tokens(available_tokens: Mapping[str, int], budget_tokens: int) -> int:
    """Return a tenth of a domain's equal share of the budget, within what the smallest domain holds."""
    share = budget_tokens / len(available_tokens)
    return max(1, int(min(share / 10, min(available_tokens.values()) / SPAN)))


def design_names() -> list[str]:
    """Return the possible values of `plan.design`, other names first."""
    return ["auto", *ALIASES, *DESIGNS]


def register(name: str, make: Callable[[Task], Mixtures]) -> None:
    """Register a design under a name, for this process: `plan: {design: NAME}`, `design_runs(NAME, ...)`.

    Args:
        name: the name for `plan.design`.
        make: function of a `Task` that returns the mixtures, (name, {domain: tokens}); the first is the base mixture.

    Raises:
        DesignError: the name already belongs to a design.
    """
    if name in design_names():
        raise DesignError(f"The name '{name}' already belongs to a design.", "Give your design another name.")
    DESIGNS[name] = make


def _require_wishes(design: str, wishes: Wishes) -> None:
    """Raise DesignError for a wish that the design would silently ignore."""
    for key, users in KEYS.items():
        if getattr(wishes, key) is not None and design not in users:
            raise DesignError(
                f"plan.{key} is used by design: {' and '.join(users)}; this plan's design is {design}.",
                f"Remove plan.{key}, or change plan.design.",
            )


def _perturbation(task: Task) -> Mixtures:
    usual = 1 + len(RATIOS) * len(task.domains)
    if task.runs != usual:
        raise DesignError(
            f"plan.runs is {task.runs}; the perturbation design of {len(task.domains)} domains has {usual} runs.",
            "Remove plan.runs, or use design: space_filling.",
        )
    smallest = min(task.available, key=lambda name: task.available[name])
    if 3 * task.base_tokens > task.available[smallest]:
        raise DesignError(
            f"Domain '{smallest}' has {format_tokens(task.available[smallest])} training tokens; the "
            f"perturbation design needs 3 x base_tokens = {format_tokens(3 * task.base_tokens)} of every domain.",
            f"Lower plan.base_tokens to {tokens_down(task.available[smallest] / 3)}, or use design: "
            "space_filling, which uses what there is.",
        )
    return perturbation_design(task.domains, task.base_tokens)


def _space_filling(task: Task) -> Mixtures:
    return space_filling_design(task.domains, task.base_tokens, task.runs, task.seed, task.caps)


def _grid(task: Task) -> Mixtures:
    return grid_design(task.domains, task.base_tokens, task.runs, task.seed, task.caps, task.wishes.levels)


def _simplex_lattice(task: Task) -> Mixtures:
    typical, totals = task.typical, task.wishes.run_tokens
    if totals is None:
        # One domain alone has no shares to vary: as many totals as runs, around the middle one.
        few = (typical / 2, 2.0 * typical)
        totals = few if len(task.domains) > 1 else np.geomspace(typical / SPAN, typical * SPAN, task.runs | 1).tolist()
        task.notes.append(f"run_tokens: {', '.join(map(format_tokens, totals))}, chosen around base_tokens.")
    return simplex_lattice_design(task.domains, totals, task.runs, task.caps, task.wishes.min_share or 0.0)


def _dirichlet(task: Task) -> Mixtures:
    typical, totals = task.typical, task.wishes.run_tokens
    if totals is None:
        totals = (max(typical / SPAN, 1.0), typical * SPAN)
        task.notes.append(f"run_tokens: {' to '.join(map(format_tokens, totals))}, chosen around base_tokens.")
    if len(totals) > 2:
        raise DesignError(
            f"plan.run_tokens has {len(totals)} numbers; the Dirichlet design takes the fewest and the most.",
            "Write it like [500k, 4M], or one number for a constant total.",
        )
    ends = (float(totals[0]), float(totals[-1]))
    return dirichlet_design(task.domains, ends, task.runs, task.seed, task.caps, min_share=task.wishes.min_share or 0.0)


def _sequential(task: Task) -> Mixtures:
    limit = sequential_tokens(task.domains, task.base_tokens, task.runs, task.wishes.proxy_tokens, task.caps)
    batch = first_batch(task.domains, task.base_tokens, task.runs, limit, task.seed, task.caps)
    task.notes.append(
        f"sequential: these {len(batch)} runs first, then batches where the fit is least certain, at most {task.runs} "
        f"runs and {format_tokens(limit)} tokens in total."
    )
    return batch


def _optimal(task: Task, criterion: Literal["D", "G"]) -> Mixtures:
    most = task.wishes.proxy_tokens
    laws = laws_for(task.wishes.law, task.domains, task.domains)
    if most is None:
        most = float(total_tokens(_space_filling(task)))
        task.notes.append(f"proxy_tokens: {format_tokens(most)}, as many as the space-filling design takes.")
    task.notes.append(
        f"law: the runs are chosen for '{laws[0].name}', the prior of its parameters and the tokens they cost."
    )
    knowledge = Knowledge(laws, task.base_tokens, seed=task.seed)
    return optimal_design(knowledge, task.runs, task.available, criterion=criterion, most_tokens=most)


DESIGNS: dict[str, Callable[[Task], Mixtures]] = {
    "perturbation": _perturbation,
    "space_filling": _space_filling,
    "grid": _grid,
    "simplex_lattice": _simplex_lattice,
    "dirichlet": _dirichlet,
    "d_optimal": partial(_optimal, criterion="D"),
    "g_optimal": partial(_optimal, criterion="G"),
    "sequential": _sequential,
}
"""Name -> how its mixtures are made; the only list of designs. `register` adds to it."""

ALIASES = {"published": "perturbation"}
"""Other name of a design -> its name."""

KEYS = {
    "levels": ("grid",),
    "run_tokens": ("simplex_lattice", "dirichlet"),
    "min_share": ("simplex_lattice", "dirichlet"),
    "proxy_tokens": ("d_optimal", "g_optimal", "sequential"),
    "batch": ("sequential",),
    "threshold": ("sequential",),
}
"""Key of `Wishes` -> the designs that use it."""
