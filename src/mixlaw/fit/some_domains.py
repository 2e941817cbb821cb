"""A fit for mixtures of some of its domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mixlaw.core.errors import FitError
from mixlaw.fit.asked import require_domains

if TYPE_CHECKING:
    from mixlaw.fit.result import Fit


def of_domains(fit: Fit, domains: Sequence[str]) -> Fit:
    """Return the fit for mixtures of some domains: see `Fit.of_domains`."""
    require_domains(tuple(domains), fit.domains)
    kept = [k for k, domain in enumerate(fit.domains) if domain in set(domains)]
    if len(kept) == len(fit.domains):
        return fit
    if fit.kind.law is None:
        raise FitError(
            "Runs with a domain that was dropped can be used by laws with an equation only.", "Fit another law."
        )
    names, gone = tuple(fit.domains[k] for k in kept), set(fit.domains) - set(domains)
    targets = {name: fitted for name, fitted in fit.targets.items() if name not in gone}
    # A run on dropped domains alone would look like the base model, which has no tokens of any.
    left = (fit.runs.totals_R == 0) | (fit.runs.tokens_RK[:, kept] > 0).any(axis=1)
    runs = fit.runs.take(left)
    runs = replace(
        runs,
        domains=names,
        targets=tuple(targets),
        tokens_RK=runs.tokens_RK[:, kept],
        losses_RJ=runs.losses_RJ[:, [j for j, name in enumerate(fit.targets) if name not in gone]],
        counts_RJ=None,
        unique_RK=None if runs.unique_RK is None else runs.unique_RK[:, kept],
    )
    return replace(fit, domains=names, targets={n: f.of_domains(names) for n, f in targets.items()}, runs=runs)
