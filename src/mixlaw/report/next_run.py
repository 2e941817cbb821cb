"""The further run that would help most, said to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixlaw.core.cost import percent as share_percent
from mixlaw.core.tokens import format_tokens
from mixlaw.report.numbers import significant, whole
from mixlaw.report.section import Section
from mixlaw.report.tables import Cell, Table


def next_section(found: Mapping[str, Any], unit: str = "nats") -> Section:
    """Say which further run would help most, what it costs and what it is worth.

    Args:
        found: `fall_nats` and `regret_nats` are in the unit of the objective.
        unit: that unit.
    """
    tokens = {domain: n for domain, n in found["tokens"].items() if n > 0}
    cost, worth = found["cost"], found["worth"]
    verdict = "It is worth its cost." if worth > cost else "It is not worth its cost."
    lead = (
        f"The further run that would help most has {format_tokens(sum(tokens.values()))} tokens. It costs "
        f"{share_percent(cost)} of the final run, and should lower the expected regret of "
        f"{significant(found['regret_nats'], 2)} {unit} by {significant(found['fall_nats'], 2)}, which is worth "
        f"{share_percent(worth)} of the final run. {verdict}"
    )
    rows = [[Cell(domain), Cell(whole(n))] for domain, n in tokens.items()]
    table = Table("Training tokens of that run", [("Domain", False), ("Tokens", True)], rows)
    notes = [
        "The worth of a regret is the training that would lower the loss by as much if the final run were longer. "
        "Both figures are estimates, from the parameters that the runs so far allow."
    ]
    return Section("next", "Next best run", lead, (), [table], notes=notes, short="Next run")
