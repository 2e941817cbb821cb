"""One training run: what determines it, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.shapes import MOST_LOSS_NATS

BASE = "base"
"""Role of the run that evaluates the base model as it is, before any training."""

_MOST_OF_PLANNED = 10
"""Runs that another program trained may have another number of tokens than was planned, but not any."""

_LONGEST_ROW = 2**20
"""Tokens. A domain ends with a whole row, which may be longer than what was planned."""


EXPERT = "expert"
"""The role of a run whose learnt weights are kept, for merged runs; it never feeds the fit."""


@dataclass(frozen=True)
class Merge:
    """Of what a merged run is made: base + scale * sum_k w_k (expert_k - base).

    Attributes:
        experts: domain -> id of the run that trained its expert.
        weights: domain -> w of its expert; they sum to 1.
        scale: by how much the sum is stretched; > 0.
    """

    experts: Mapping[str, str]
    weights: Mapping[str, float]
    scale: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, without experts that have no part in it."""
        used = [name for name in sorted(self.weights) if self.weights[name] != 0]
        weights = {name: float(self.weights[name]) for name in used}
        return {"experts": {name: self.experts[name] for name in used}, "weights": weights, "scale": float(self.scale)}


@dataclass(frozen=True)
class RunSpec:
    """What determines a run's result.

    Attributes:
        name: readable, unique in the plan, such as `base-0` or `math-x3`; not part of the identity.
        tokens: domain -> training tokens requested; a domain left out has none.
        seed: of the samples, their order and whatever is random in training.
        inputs: name -> content hash of everything else that determines the result: `model`, `train`
            (settings), `data:<domain>` and `validation:<target>`.
        role: `proxy` (feeds the fit), `base` (the model as it is, evaluated and not trained; feeds it too), `expert`,
            `confirmation` or `final` (never do); not part of the identity.
        keep_model: whether the trainer saves the trained model in the run's folder; not part of the identity.
        pools: domain -> distinct training tokens that the run may draw from, where these are fewer than there are.
        merge: of what a merged run is made, which trains nothing; its tokens are those of the mixture that it stands
            for. None for a run that trains.
        points: after which shares of its steps the run is evaluated, rising, the last one 1 (`mixlaw.train.points`);
            empty: at its end, after the schedule of the settings.
    """

    name: str
    tokens: Mapping[str, int]
    seed: int
    inputs: Mapping[str, str] = field(default_factory=dict)
    role: str = "proxy"
    keep_model: bool = False
    pools: Mapping[str, int] = field(default_factory=dict)
    merge: Merge | None = None
    points: tuple[float, ...] = ()

    @property
    def trained_tokens(self) -> int:
        """Training tokens that the run costs; a merged run costs none."""
        return 0 if self.merge is not None else sum(self.tokens.values())

    @property
    def id(self) -> str:
        """The run's identity: SHA-256 over tokens, pools, seed, experts and the inputs that this mixture touches."""
        used = {name: int(n) for name, n in self.tokens.items() if n > 0}
        inputs = {
            key: value
            for key, value in self.inputs.items()
            if not key.startswith("data:") or key.removeprefix("data:") in used
        }
        pools = {name: int(n) for name, n in self.pools.items() if name in used}
        content = {"tokens": used, "seed": self.seed, "inputs": inputs}
        content |= {"pools": pools} if pools else {}
        if self.merge is not None:
            content |= {"merge": self.merge.to_json()}
        content |= {"points": list(self.points)} if self.points else {}
        return fingerprint(content)

    @property
    def evaluations(self) -> int:
        """How often the validation sets are evaluated."""
        return max(1, len(self.points))

    @property
    def untrained(self) -> bool:
        """Whether the model is evaluated as it is: `role` is `base`."""
        return self.role == BASE

    @property
    def folder(self) -> str:
        """The name of the run's folder, `<name>-<hash8>`."""
        return f"{self.name}-{self.id[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, the identity included."""
        value = {
            "name": self.name,
            "id": self.id,
            "role": self.role,
            "seed": self.seed,
            "tokens": {name: int(n) for name, n in self.tokens.items()},
            "inputs": dict(self.inputs),
        }
        value |= {"pools": {name: int(n) for name, n in self.pools.items()}} if self.pools else {}
        value |= {"merge": self.merge.to_json()} if self.merge is not None else {}
        value |= {"points": list(self.points)} if self.points else {}
        return value | ({"keep_model": True} if self.keep_model else {})

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunSpec:
        """Return the spec; raise DataError where the identity does not fit the content."""
        spec = RunSpec(
            value["name"],
            value["tokens"],
            value["seed"],
            value["inputs"],
            value["role"],
            value.get("keep_model", False),
            value.get("pools", {}),
            Merge(**value["merge"]) if value.get("merge") is not None else None,
            tuple(value.get("points", ())),
        )
        if value.get("id", spec.id) != spec.id:
            raise DataError(
                f"The spec of run '{spec.name}' was changed by hand: its id is {value['id'][:8]}, its content's "
                f"{spec.id[:8]}.",
                "Plan the runs again.",
            )
        return spec


@dataclass(frozen=True)
class TargetLoss:
    """A validation loss as a sum and a count.

    Attributes:
        nats: summed negative log-likelihood of the supervised tokens, nats.
        count: supervised tokens evaluated.
        bytes: UTF-8 bytes of the supervised text, for bits per byte; 0 where unknown.
    """

    nats: float
    count: int
    bytes: int = 0

    @property
    def loss_nats(self) -> float:
        """Mean nats per supervised token."""
        return self.nats / self.count


@dataclass(frozen=True)
class Counted:
    """What was trained on up to some step of a run, and the losses then.

    Attributes:
        steps: optimiser steps.
        tokens, supervised_tokens, unique_tokens, losses: as of a `RunRecord`.
    """

    steps: int
    tokens: Mapping[str, int]
    supervised_tokens: Mapping[str, int]
    unique_tokens: Mapping[str, int]
    losses: Mapping[str, TargetLoss]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return _json_of(self) | {"steps": self.steps}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Counted:
        """Return what a JSON form holds."""
        losses = {name: TargetLoss(**loss) for name, loss in value["losses"].items()}
        return Counted(value["steps"], value["tokens"], value["supervised_tokens"], value["unique_tokens"], losses)


@dataclass(frozen=True)
class RunRecord:
    """What came of a run. Only what the spec determines: times and hosts are kept elsewhere.

    Attributes:
        spec: the run.
        tokens: domain -> training tokens actually consumed (whole rows: within one row of the request).
        supervised_tokens: domain -> those of them that carried loss.
        unique_tokens: domain -> distinct training tokens among them (fewer than `tokens` once a domain repeats).
        losses: target -> validation loss.
        steps: optimiser steps.
        parameters: trainable parameters of the model.
        points: the run at each of the spec's points but the last, which is the run itself.
    """

    spec: RunSpec
    tokens: Mapping[str, int]
    supervised_tokens: Mapping[str, int]
    unique_tokens: Mapping[str, int]
    losses: Mapping[str, TargetLoss]
    steps: int
    parameters: int
    points: tuple[Counted, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "spec": self.spec.to_json(),
            **_json_of(self),
            "steps": self.steps,
            "parameters": self.parameters,
            **({"points": [point.to_json() for point in self.points]} if self.points else {}),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunRecord:
        """Return the record; raise DataError where its spec's identity does not fit, or a number cannot be."""
        record = RunRecord(
            RunSpec.from_json(value["spec"]),
            value["tokens"],
            value["supervised_tokens"],
            value["unique_tokens"],
            {name: TargetLoss(**loss) for name, loss in value["losses"].items()},
            value["steps"],
            value["parameters"],
            tuple(map(Counted.from_json, value.get("points", ()))),
        )
        if wrong := _implausible(record):
            raise DataError(f"{wrong}.", "Delete the run's folder and train it again: mixlaw train mix.yaml.")
        return record


def _json_of(counted: RunRecord | Counted) -> dict[str, Any]:
    return {
        "tokens": dict(counted.tokens),
        "supervised_tokens": dict(counted.supervised_tokens),
        "unique_tokens": dict(counted.unique_tokens),
        "losses": {name: loss.__dict__.copy() for name, loss in counted.losses.items()},
    }


def _implausible(record: RunRecord) -> str | None:
    """Return which number of a record cannot be, given the others, or None."""
    if len(record.points) != max(0, len(record.spec.points) - 1):
        return f"It has {len(record.points)} points along the run, but {len(record.spec.points)} were planned"
    for counted in (*record.points, record):
        if wrong := _implausible_counts(record.spec, counted):
            return wrong
    return None


def _implausible_counts(spec: RunSpec, record: RunRecord | Counted) -> str | None:
    for domain, tokens in record.tokens.items():
        planned = spec.tokens.get(domain, 0)
        if tokens > _MOST_OF_PLANNED * planned + _LONGEST_ROW:
            return f"'tokens.{domain}' is {tokens}, but {planned} were planned"
        for what in ("supervised_tokens", "unique_tokens"):
            if (part := getattr(record, what).get(domain, 0)) > tokens:
                return f"'{what}.{domain}' is {part}, but the run trained on {tokens} tokens of it"
    for target, loss in record.losses.items():
        if loss.count < 1 or not 0 <= loss.loss_nats <= MOST_LOSS_NATS:
            each = f"a token has at most {MOST_LOSS_NATS:g}"
            return f"'losses.{target}' has {loss.nats:g} nats over {loss.count} tokens; {each}"
    return None


def longest_first(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return runs by falling tokens, then name: the last runs to start are the short ones, then merged ones."""
    return sorted(specs, key=lambda spec: (-spec.trained_tokens, spec.name))
