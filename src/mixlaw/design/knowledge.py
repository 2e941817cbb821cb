"""What is known before runs are chosen, and the mixtures that they are chosen from.

    Knowledge    the laws, what is believed of their parameters, and the runs that exist
    Choice       the same, worked out for a finite set of candidate mixtures

Shape letters: S draws, R runs, N candidates, K domains, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.core.errors import DesignError
from mixlaw.design.candidates import candidate_tokens
from mixlaw.design.information import NOISE_NATS, information, known, prior_draws
from mixlaw.design.posterior import Posterior, Posteriors
from mixlaw.design.ranges import by_name
from mixlaw.laws import find
from mixlaw.laws.base import Law

Runs = Sequence[Mapping[str, float]]
"""Mixtures: domain -> tokens; a domain left out has none."""

MILLION = 1e6
"""Tokens in the unit of a fit's draws. No data."""

_DRAWS = 16
"""Draws of the parameters over which a criterion is averaged. No data."""

_CANDIDATES = 800
"""How many mixtures the runs are chosen from, if none are given. No data."""

_MOST_NUMBERS = 2e7
"""Largest number of floats in all factors together, 160 MB; laws with many parameters get fewer draws. No data."""


@dataclass(frozen=True)
class Knowledge:
    """What is known before runs are chosen.

    Attributes:
        laws: one a target, or two where either may hold; all of the same domains.
        base_tokens: n, the middle of every domain's range (in logarithms); with the domains it sets the unit of the
            priors.
        draws: (S, P) parameters of each law, tokens in millions, such as a fit's; at most 16 evenly spaced ones are
            used. None: from the laws' priors.
        done: runs that exist; new ones add to what they tell.
        noise_nats: standard deviation of a measured loss.
        seed: of candidates and of draws from priors.
    """

    laws: Sequence[Law]
    base_tokens: float
    draws: Sequence[np.ndarray] | None = None
    done: Runs = ()
    noise_nats: float = NOISE_NATS
    seed: int = 0


@dataclass(frozen=True)
class Choice:
    """What runs are chosen among.

    Attributes:
        knowledge: what is known before them.
        names: K domains, sorted.
        tokens_NK: whole tokens of the candidates.
        unit: tokens of a typical run.
        draws: parameters of each law, (S, P), in units of `unit`.
        factors: of each law, (S, N, P); see `mixlaw.design.information.information`.
        known: of each law, (S, P, P): what prior and finished runs tell.
    """

    knowledge: Knowledge
    names: list[str]
    tokens_NK: np.ndarray
    unit: float
    draws: list[np.ndarray]
    factors: list[np.ndarray]
    known: list[np.ndarray]

    @staticmethod
    def of(
        knowledge: Knowledge,
        caps: Mapping[str, float] | None = None,
        *,
        domains: Sequence[str] | None = None,
        candidates: Runs | None = None,
    ) -> Choice:
        """Return the candidates and what is known before them.

        Args:
            knowledge: the laws and what is believed of them.
            caps: domain -> most tokens of it (those there are); a domain left out has no cap.
            domains: that candidates have tokens of; None: all of the laws'.
            candidates: the mixtures to choose from; None: those of `mixlaw.design.candidates`.
        """
        laws, base_tokens = knowledge.laws, knowledge.base_tokens
        caps, domains = caps or {}, laws[0].domains if domains is None else domains
        names, most = by_name(domains, [caps.get(name, np.inf) for name in domains])
        if candidates is None:
            tokens = candidate_tokens(base_tokens, most, _CANDIDATES, knowledge.seed)
        else:
            tokens = np.array([[run.get(name, 0) for name in names] for run in candidates], float)
        parameters = sum(len(law.parameters) for law in laws)
        count = int(np.clip(_MOST_NUMBERS / parameters / len(tokens), 2, _DRAWS))
        unit = float(base_tokens) * len(names)
        choice = Choice(knowledge, names, tokens, unit, _draws(knowledge, count, unit), [], [])
        asked = [dict(zip(names, row, strict=True)) for row in tokens.tolist()]
        for p, law in enumerate(laws):
            choice.factors.append(choice.information(p, asked))
            choice.known.append(known(law, choice.information(p, knowledge.done)))
        return choice

    def information(self, p: int, runs: Runs) -> np.ndarray:
        """Return what each of some runs would tell about the p-th law, (S, R, P)."""
        law = self.knowledge.laws[p]
        tokens = np.array([[run.get(domain, 0) for domain in law.domains] for run in runs], float)
        tokens_RK = tokens.reshape(-1, len(law.domains)) / self.unit
        return information(law, self.draws[p], tokens_RK, self.knowledge.noise_nats)

    def posteriors(self) -> Posteriors:
        """Return what is known of the laws, without any candidate run."""
        parts = [Posterior(factors, known) for factors, known in zip(self.factors, self.known, strict=True)]
        return Posteriors(parts, [law.target for law in self.knowledge.laws])

    def mixture(self, n: int) -> dict[str, int]:
        """Return a candidate as domain -> tokens."""
        return dict(zip(self.names, map(int, self.tokens_NK[n]), strict=True))


def laws_for(name: str, domains: Sequence[str], targets: Sequence[str]) -> list[Law]:
    """Return a law of each target; `auto` is `transfer`. Raise DesignError for one without an equation."""
    kind = find("transfer" if name == "auto" else name)
    if kind.law is None:
        raise DesignError(f"'{kind.name}' has no parameters that runs could determine.", "Name a law with an equation.")
    return [kind.law(tuple(domains), target) for target in targets]


def _draws(knowledge: Knowledge, count: int, unit: float) -> list[np.ndarray]:
    """Return at most `count` draws of each law's parameters, as many of each, (S, P), in units of a typical run."""
    if knowledge.draws is None:
        return [prior_draws(law, count, knowledge.seed) for law in knowledge.laws]
    count = min(count, *map(len, knowledge.draws))
    return [
        law.rescale(theta[np.linspace(0, len(theta) - 1, count).astype(int)], MILLION / unit)
        for law, theta in zip(knowledge.laws, knowledge.draws, strict=True)
    ]
