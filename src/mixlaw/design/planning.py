"""From a configuration's wishes to a list of runs, within what the data hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixlaw.core.errors import DesignError
from mixlaw.core.tokens import format_tokens
from mixlaw.design.perturbation import RATIOS, perturbation_design
from mixlaw.design.space_filling import SPAN, space_filling_design

_FEWEST_RUNS = 5


@dataclass(frozen=True)
class PlannedRun:
    """One mixture to train.

    Attributes:
        name: unique in the plan.
        tokens: domain -> training tokens.
    """

    name: str
    tokens: Mapping[str, int]


def design_runs(
    design: str,
    available_tokens: Mapping[str, int],
    budget_tokens: int,
    *,
    base_tokens: int | None = None,
    runs: int | None = None,
    seed: int = 0,
) -> tuple[list[PlannedRun], list[str]]:
    """Return the proxy runs and sentences about what was decided.

    Args:
        design: `auto` (the space-filling one), `perturbation` or `space_filling`.
        available_tokens: domain -> distinct training tokens there are.
        budget_tokens: the target budget.
        base_tokens: n a domain; None: a tenth of a domain's equal share of the budget, within what the data hold.
        runs: how many; None: 1 + 4 K. The published design has no other number.
        seed: of the space-filling design.

    Raises:
        DesignError: a domain is too small for the design, or the number of runs does not fit it.
    """
    domains, notes = list(available_tokens), []
    usual = 1 + len(RATIOS) * len(domains)
    smallest = min(available_tokens, key=lambda name: available_tokens[name])
    if runs is not None and runs < _FEWEST_RUNS:
        raise DesignError(
            f"plan.runs is {runs}; a law with five parameters needs at least {_FEWEST_RUNS} runs.",
            f"Raise it; {usual} are usual for {len(domains)} domains.",
        )
    if base_tokens is None:
        share = budget_tokens / len(domains)
        base_tokens = max(1, int(min(share / 10, available_tokens[smallest] / SPAN)))
        notes.append(f"base_tokens: {format_tokens(base_tokens)} a domain, chosen from the budget and the data.")
    if design == "perturbation":
        if runs not in (None, usual):
            raise DesignError(
                f"plan.runs is {runs}; the perturbation design of {len(domains)} domains has {usual} runs.",
                "Drop plan.runs, or use design: space_filling.",
            )
        if 3 * base_tokens > available_tokens[smallest]:
            raise DesignError(
                f"Domain '{smallest}' has {format_tokens(available_tokens[smallest])} training tokens; the "
                f"perturbation design needs 3 x base_tokens = {format_tokens(3 * base_tokens)} of every domain.",
                f"Lower plan.base_tokens to {format_tokens(available_tokens[smallest] / 3)}, or use design: "
                "space_filling, which takes what there is.",
            )
        mixtures = perturbation_design(domains, base_tokens)
    else:
        runs = usual if runs is None else runs
        short = [name for name, tokens in available_tokens.items() if tokens < SPAN * base_tokens]
        for name in short:
            notes.append(
                f"'{name}' has {format_tokens(available_tokens[name])} tokens: its range in the runs ends there."
            )
        caps = [available_tokens[name] for name in domains]
        mixtures = space_filling_design(domains, base_tokens, runs, seed, caps)
    return [PlannedRun(name, tokens) for name, tokens in mixtures], notes
