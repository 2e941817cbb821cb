"""What a solution is: weights, what they promise, and the certificate that they are optimal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixlaw.core.frames import frame
from mixlaw.core.notebook import bar, html_table, text_table
from mixlaw.core.target_units import differences_in, losses_in
from mixlaw.core.tokens import format_tokens

BASE_COLUMNS = ["base model", "best against it"]
"""Columns of a table of losses, where the base model was measured: its loss, and how much the best mixture changes."""

_STEP = 0.1
"""More data that a budget below a million tokens has room for, a share of it. No data."""

_ROUNDING = 1e-6
"""By how much the sum of stored weights may miss 1. No data."""


@dataclass(frozen=True)
class Certificate:
    """Proof of optimality.

    Attributes:
        kkt_residual: largest violation of the optimality conditions, relative to the largest marginal gain.
        gap: objective minus the Lagrange dual bound, nats; where `kind` is `global`, the true optimum is at most this
            much lower.
        multiplier: the common marginal gain of all domains strictly between their bounds, nats per unit share.
        kind: `global` where the problem is convex, so that the gap bounds the distance to the optimum; `stationary`
            where it only proves that no direction descends.
    """

    kkt_residual: float
    gap: float
    multiplier: float
    kind: str = "global"


@dataclass(frozen=True)
class Solution:
    """The best weights at a budget; see `mixlaw.solve.solve_mixture`.

    Attributes:
        status: `optimal`.
        budget_tokens: N.
        weights: domain -> share, sum 1.
        tokens: domain -> whole training tokens, sum N.
        epochs: domain -> passes over the available tokens; empty where those are unknown.
        predicted: target -> {mean, low, high}, nats.
        expected_regret: {mean, p95}: objective at these weights minus that at the best weights of the same posterior
            draw, nats (total loss); empty where it was not asked for. Where these weights lie outside what the runs can
            be mixed to, a target's gains are known to within a factor only (`mixlaw.fit.posterior.extrapolation`).
        baselines: name -> {weights{domain}, epochs{domain}, predicted{target{mean, low, high}}, total_loss,
            objective_value, regret{mean, p95}, probability_better}; `equal`, and `natural` where the available tokens
            are known. The regret is below 0 in draws where the constraints forbid a baseline that is better than all
            they allow; `probability_better` is the share of draws in which the solution beats the baseline.
        total_loss: sum of g_i L_i, expected over the posterior draws, nats.
        marginal: domain -> fall of the objective for a million more tokens of it at these weights, nats; without the
            pull towards a prior.
        certificate: of the best weights that were found, even if the natural mixture is recommended instead.
        extrapolation_factor: the budget over the largest total among the fitted runs.
        target_weights: target -> g_i.
        warnings: sentences.
        objective: `mean`, `weighted` or `max`.
        objective_value: what is minimised, expected over the posterior draws, without the pull towards a prior, nats.
        marginal_interval: domain -> {low, high, percent}: the 90 % interval of `marginal` over the draws, nats, and
            `marginal` in percent of `objective_value`.
        base: target -> loss of the base model before any training, nats, where it was measured.
        limits: one {target, reference, limit_percent, predicted_percent, probability_kept} for each limit of a loss.
            Percents are of the expected loss with the reference (`base`, the name of a mixture, `your` for one given by
            shares), or where that is None, of the limit in nats; `probability_kept` is that over the posterior draws,
            None for a fit without draws.
    """

    status: str
    budget_tokens: int
    weights: Mapping[str, float]
    tokens: Mapping[str, int]
    epochs: Mapping[str, float]
    predicted: Mapping[str, Mapping[str, float]]
    expected_regret: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, Any]]
    total_loss: float
    marginal: Mapping[str, float]
    certificate: Certificate
    extrapolation_factor: float
    target_weights: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    objective: str = "weighted"
    objective_value: float = float("nan")
    marginal_interval: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    base: Mapping[str, float] = field(default_factory=dict)
    limits: Sequence[Mapping[str, Any]] = ()

    @property
    def change_from_base(self) -> dict[str, float]:
        """Target -> by how many percent its expected loss lies above the base model's: below 0 it learns, above 0 it
        forgets."""
        return {t: 100 * (self.predicted[t]["mean"] / loss - 1) for t, loss in self.base.items() if loss > 0}

    @property
    def unit(self) -> str:
        """The unit of what is minimised: `nats`, unless metrics are among the targets that count."""
        return differences_in([t for t in self.predicted if self.target_weights.get(t, 1.0) > 0])

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {100 * weight:.1f} %" for name, weight in self.weights.items())
        return f"<Solution, {self.status}: {said} of {format_tokens(self.budget_tokens)} tokens>"

    def __str__(self) -> str:
        return "\n\n".join((text_table(*self._weights_table()), text_table(*self._losses_table())))

    def _repr_html_(self) -> str:
        title, columns, rows = self._weights_table()
        drawn = [bar(weight, i) for i, weight in enumerate(self.weights.values())]
        weights = html_table(title, [*columns, ""], [[*row, figure] for row, figure in zip(rows, drawn, strict=True)])
        return weights + html_table(*self._losses_table())

    def _weights_table(self) -> tuple[str, list[str], list[list[Any]]]:
        size, step = self.further()
        columns = ["domain", "weight", "tokens", "epochs", f"{self.unit} per further {step}"]
        rows: list[list[Any]] = []
        for name, weight in self.weights.items():
            numbers = (float(self.epochs.get(name, float("nan"))), size * float(self.marginal[name]))
            rows.append([name, f"{100 * weight:.1f} %", format_tokens(self.tokens[name]), *numbers])
        return f"Best mixture at {format_tokens(self.budget_tokens)} tokens ({self.status})", columns, rows

    def _losses_table(self) -> tuple[str, list[str], list[list[Any]], list[str]]:
        parts = [self.predicted, *(baseline["predicted"] for baseline in self.baselines.values())]
        rows: list[list[Any]] = [
            [target, *(float(part[target]["mean"]) for part in parts)] for target in self.predicted
        ]
        rows.append(["total", self.total_loss, *(float(b["total_loss"]) for b in self.baselines.values())])
        columns = ["target", "best", *self.baselines]
        if self.base:
            columns += BASE_COLUMNS
            rows = [[*row, *self.against_base(row[0])] for row in rows]
        notes = [f"warning: {text}" for text in self.warnings]
        if self.expected_regret:
            text = "expected regret {mean:.4f} {unit} (95th percentile {p95:.4f})"
            notes.insert(0, text.format(**self.expected_regret, unit=self.unit))
        return f"Predicted loss, {losses_in(self.predicted)}", columns, rows, notes

    def against_base(self, target: str) -> list[Any]:
        """Return the cells of `BASE_COLUMNS` for a row of a table of losses; empty where there is nothing to say."""
        change = self.change_from_base.get(target)
        return ["" if change is None else self.base[target], "" if change is None else f"{change:+.3g} %"]

    def further(self) -> tuple[float, str]:
        """Return the step for which a domain's `marginal` is shown, in millions of tokens and in words.

        A million where the budget has as many; else a tenth of it, for which the fall is still about proportional.
        """
        if self.budget_tokens >= 1_000_000:
            return 1.0, "million"
        return _STEP * self.budget_tokens / 1_000_000, format_tokens(_STEP * self.budget_tokens)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, one row per domain: weight, tokens, epochs (NaN where unknown), the weights of
        the baselines, and nats for a million more tokens.

        Raises:
            MissingExtra: pandas is not installed.
        """
        rows = []
        for name, weight in self.weights.items():
            row = {
                "domain": name,
                "weight": weight,
                "tokens": self.tokens[name],
                "epochs": self.epochs.get(name, float("nan")),
            }
            row |= {f"weight_{other}": b["weights"][name] for other, b in self.baselines.items()}
            rows.append(row | {"nats_per_further_million": self.marginal[name]})
        return frame(rows, "domain")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, the keys that `mixlaw solve --json` prints."""
        return {
            "budget": self.budget_tokens,
            **self.__dict__,
            "certificate": self.certificate.__dict__.copy(),
            "warnings": list(self.warnings),
            "limits": [dict(limit) for limit in self.limits],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Solution:
        """Return the solution from its JSON form.

        Raises:
            ValueError: the weights are no mixture, or the parts are not of the same domains and targets.
        """
        fields = {key: part for key, part in value.items() if key != "budget"}
        fields["certificate"] = Certificate(**fields["certificate"])
        fields |= {key: tuple(fields[key]) for key in ("warnings", "limits") if key in fields}
        solution = Solution(**fields)
        names, targets = set(solution.weights), set(solution.predicted)
        if not abs(sum(solution.weights.values()) - 1) <= _ROUNDING or set(solution.tokens) != names:
            raise ValueError("its weights and tokens are no mixture")
        if not names <= set(solution.marginal) or any(
            set(b["predicted"]) != targets for b in solution.baselines.values()
        ):
            raise ValueError("its parts are not of the same domains and targets")
        return solution
