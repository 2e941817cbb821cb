"""What runs cost, as a share of the final run that they plan.

    training      F = f P D      f floating-point operations a parameter and token, by the kind of run (`OPERATIONS`)
    evaluation    F = 2 P V      V tokens of all validation sets: a forward pass
    final run     F_1 = f_1 P_1 N

P are the parameters of the model that is trained, P_1 those of the final model, N the budget in tokens; both D and N
count every pass over a row. Shares are F / F_1, so that a proxy on a smaller model is as cheap as it is. Attention,
which grows with the length of a row, is left out on both sides.

Source: Kaplan et al. 2020, arXiv 2001.08361, section 2.1 (2 P a token forward, twice that backward). LoRA: half of the
backward pass is for the gradients of weights, which frozen weights have none of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mixlaw.core.errors import ConfigError
from mixlaw.core.rounding import shown, up
from mixlaw.core.run import RunSpec
from mixlaw.core.tokens import format_tokens, parse_tokens, tokens_up

OPERATIONS = {"full": 6.0, "lora": 4.0, "merged": 0.0, "point": 0.0}
"""Kind of run -> floating-point operations of its training, a parameter and token. A merged model is only evaluated;
the training of a point along a run is counted with the run. Source: see the module. No data."""

EVALUATION = 2.0
"""Floating-point operations of an evaluation, a parameter and token. Source: see the module. No data."""

_TOKENS = re.compile(r"\s*(\S+?)\s*tokens?\s*")
_OTHERS = re.compile(r"(?i)\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*(%|flops?)\s*")
_HINT = "Write it like 10%, 2M tokens or 2e18 FLOPs."

_MOST_PERCENT = 10_000.0
"""A larger limit is a mistyped number. No data."""


@dataclass(frozen=True)
class Cost:
    """What something costs.

    Attributes:
        share: of the final run.
        flop: floating-point operations; None where the model's size is not known.
    """

    share: float
    flop: float | None = None

    def __add__(self, other: Cost) -> Cost:
        flop = None if self.flop is None or other.flop is None else self.flop + other.flop
        return Cost(self.share + other.share, flop)

    def __str__(self) -> str:
        return f"{percent(self.share)} of the final run"

    def to_json(self) -> dict[str, float | None]:
        """Return the JSON form."""
        return {"share_of_final_run": self.share, "flop": self.flop}


@dataclass(frozen=True)
class Prices:
    """What each run of a study costs.

    Attributes:
        budget_tokens: N, training tokens of the final run, repeated ones counted as often as they are read.
        evaluation_tokens: V, tokens of all validation sets as each run reads them.
        parameters: P of the model that the runs train; None where unknown.
        final_parameters: P_1 of the final model; None: the same model.
        kind: of the runs.
        final_kind: of the final run.
    """

    budget_tokens: float
    evaluation_tokens: float = 0.0
    parameters: int | None = None
    final_parameters: int | None = None
    kind: str = "full"
    final_kind: str = "full"

    @property
    def size_ratio(self) -> float:
        """P / P_1."""
        if self.final_parameters is None or self.parameters is None:
            return 1.0
        return self.parameters / self.final_parameters

    @property
    def final(self) -> Cost:
        """The final run."""
        P = self.final_parameters or self.parameters
        return Cost(1.0, None if P is None else OPERATIONS[self.final_kind] * P * self.budget_tokens)

    def training(self, tokens: float, kind: str | None = None) -> Cost:
        """Return what training on so many tokens costs, without an evaluation."""
        return self._of(OPERATIONS[kind or self.kind] * tokens)

    def evaluation(self) -> Cost:
        """Return what one evaluation costs, of all validation sets."""
        return self._of(EVALUATION * self.evaluation_tokens)

    def run(self, tokens: float, evaluations: int = 1) -> Cost:
        """Return what a run costs: its training and its evaluations."""
        return self.training(tokens) + self._of(EVALUATION * self.evaluation_tokens * evaluations)

    def runs(self, specs: Iterable[RunSpec]) -> Cost:
        """Return what runs cost together."""
        return sum((self.run(spec.trained_tokens, spec.evaluations) for spec in specs), self._of(0.0))

    @property
    def evaluation_as_tokens(self) -> float:
        """Training tokens of a run that cost as much as one evaluation."""
        return EVALUATION * self.evaluation_tokens / OPERATIONS[self.kind]

    def tokens_for(self, share: float) -> float:
        """Return how many training tokens of such runs cost this share of the final run."""
        return share * OPERATIONS[self.final_kind] * self.budget_tokens / (OPERATIONS[self.kind] * self.size_ratio)

    def _of(self, operations: float) -> Cost:
        """Return the cost of so many operations a parameter of the runs' model."""
        share = operations * self.size_ratio / (OPERATIONS[self.final_kind] * self.budget_tokens)
        return Cost(share, None if self.parameters is None else operations * self.parameters)


@dataclass(frozen=True)
class MostCost:
    """The most that runs may cost, as people write it: 10%, 2M tokens, 2e18 FLOPs.

    Attributes:
        amount: in the unit.
        unit: `share` of the final run, `tokens` of training (evaluations counted as what they cost), or `flop`.
    """

    amount: float
    unit: Literal["share", "tokens", "flop"] = "share"

    def __str__(self) -> str:
        if self.unit == "share":
            return percent(self.amount)
        if self.unit == "tokens":
            return f"{format_tokens(self.amount)} tokens"
        return f"{self.amount:.3g} FLOPs"

    @staticmethod
    def parse(text: str, what: str = "max_cost") -> MostCost:
        """Return what a text says.

        Args:
            text: `10%`, `2M tokens` or `2e18 FLOPs`.
            what: the name of the quantity, for the message.

        Raises:
            ConfigError: none of these, or not positive.
        """
        if match := _TOKENS.fullmatch(text):
            return MostCost(parse_tokens(match[1], what), "tokens")
        if (match := _OTHERS.fullmatch(text)) is None:
            raise ConfigError(f"{what} is {text!r}, which is no cost.", _HINT)
        value, unit = float(match[1]), match[2].lower()
        if not 0 < value < math.inf or (unit == "%" and value > _MOST_PERCENT):
            raise ConfigError(f"{what} is {text!r}; it must be more than 0, and at most 10,000 %.", _HINT)
        return MostCost(value / 100) if unit == "%" else MostCost(value, "flop")

    def share(self, prices: Prices) -> float | None:
        """Return it as a share of the final run; None for operations of a model of unknown size."""
        if self.unit == "share":
            return self.amount
        if self.unit == "tokens":
            return prices.training(self.amount).share
        if self.unit == "flop" and prices.final.flop is not None:
            return self.amount / prices.final.flop
        return None

    def raised(self, share: float, prices: Prices) -> str | None:
        """Return the limit in the same unit that allows this share of the final run; None where none may be written."""
        if self.unit == "tokens":
            return f"{tokens_up(share / prices.training(1.0).share)} tokens"
        if self.unit == "flop" and prices.final.flop is not None:
            return f"{shown(up(share * prices.final.flop))} FLOPs"
        return percent_up(share) if up(100 * share) <= _MOST_PERCENT else None


def percent(share: float) -> str:
    """Return a share in percent, with two digits where it is small: 614 %, 9.8 %, .051 % as 0.051 %."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 99.5 else f"{value:.2g} %"


def percent_up(share: float) -> str:
    """Return a share in percent for a remedy that asks for at least as much: in three digits, rounded up."""
    return f"{shown(up(100 * share))} %"
