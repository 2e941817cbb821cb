"""The verb `compare`: train the solution and what it should beat, at the budget, and say what came out.

The runs lie in `confirmation/` of the study, a study of its own with the same inputs, so that executors, leases and
resuming are those of every sweep and no fit ever sees them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.api.executor import train_pending
from mixlaw.api.mixture import wanted_mixture
from mixlaw.api.points import points_of
from mixlaw.api.project import Note, Project
from mixlaw.core.documents import write_document
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.mixture import Mixture
from mixlaw.core.renamed import renamed
from mixlaw.core.run import RunSpec
from mixlaw.core.suggestions import suggest
from mixlaw.core.tokens import format_tokens, parse_tokens
from mixlaw.evaluate.baselines import baselines, grid
from mixlaw.evaluate.confirmation import SOLUTION, limits, summarise
from mixlaw.solve.ceilings import usual_reference
from mixlaw.study.status import RunEvent
from mixlaw.study.store import Study

FIRST_SEED = 1000
"""Of the confirmation runs: proxy runs count from the plan's seed, so no sample is used twice."""

SEEDS = 3


def confirmation_study(study: Study) -> Study:
    """Return where a study's confirmation runs are."""
    return Study(study.folder / "confirmation")


@renamed(budget_tokens="budget")
def compare(
    config: str | Path | Project,
    *,
    budget: str | int | None = None,
    seeds: int = SEEDS,
    weights: Mapping[str, Mapping[str, float]] | None = None,
    against: Sequence[str] | None = None,
    with_grid: bool = False,
    keep_models: bool = False,
    workers: int | None = None,
    retry_failed: bool = False,
    on_event: Callable[[RunEvent], None] | None = None,
    note: Note | None = None,
) -> dict[str, Any]:
    """Train the solution and other mixtures at a budget, with several seeds each, and return the comparison.

    Args:
        config: a mix.yaml or its project.
        budget: None for the configuration's.
        seeds: runs of each mixture.
        weights: name -> {domain: share}: further mixtures of yours.
        against: which of the usual mixtures are trained (`mixlaw.evaluate.baselines`); None for all.
        with_grid: whether the grid of the paper is trained as well.
        keep_models: whether each run keeps its model, for `mixlaw eval`.
        workers: worker processes.
        retry_failed: whether failed runs are tried again.
        on_event: called for each `RunEvent`.
        note: called with a sentence about each step.

    Returns:
        As written to `confirmation/comparison-<budget>.json`: see `mixlaw.evaluate.confirmation.summarise`; with
        budget_tokens, law, the weights, tokens, epochs and predictions of each mixture, names that are `same_as`
        another, and how the solution's `limits` were kept (`mixlaw.evaluate.confirmation.limits`).

    Raises:
        StudyError: there is no fit, or a run failed.
        ConfigError: an impossible budget, number of seeds, or weights.
    """
    project = Project.open(config, note)
    if seeds < 1:
        raise ConfigError(f"--seeds is {seeds}; it must be at least 1.", "Correct it.")
    total = project.config.budget_tokens if budget is None else parse_tokens(budget, "the budget")
    chosen, same_as = _distinct(_mixtures(project, total, weights or {}, against, with_grid))
    specs = confirmation_specs(project, chosen, seeds, keep_models=keep_models)
    study = confirmation_study(project.study)
    study.add_to_plan(specs.values())
    statuses = train_pending(
        project,
        study,
        workers=workers,
        on_event=on_event,
        specs=list(specs.values()),
        retry_failed=retry_failed,
    )
    if failed := [status for status in statuses if status.state == "failed"]:
        raise StudyError(
            f"{len(failed)} of {len(statuses)} confirmation runs failed; the first, '{failed[0].name}': "
            f"{failed[0].reason}",
            "Fix the cause, then run the command again with --retry-failed.",
        )
    result = _result(project, study, total, chosen, specs, same_as)
    write_document(study.folder / f"comparison-{format_tokens(total)}.json", "comparison", result)
    return result


def confirmation_specs(
    project: Project, mixtures: Mapping[str, Mixture], seeds: int, *, keep_models: bool = False
) -> dict[tuple[str, int], RunSpec]:
    """Return the runs that compare mixtures: (name, seed) -> run."""
    return {
        (name, seed): RunSpec(
            f"{name}-{format_tokens(mixture.budget_tokens)}-s{seed}",
            mixture.tokens,
            FIRST_SEED + seed,
            project.trainer_config.inputs,
            "confirmation",
            keep_models,
            points=points_of(project),
        )
        for name, mixture in mixtures.items()
        for seed in range(seeds)
    }


def _mixtures(
    project: Project,
    budget: int,
    weights: Mapping[str, Mapping[str, float]],
    against: Sequence[str] | None,
    with_grid: bool,
) -> dict[str, Mixture]:
    """Return all mixtures by name, the solution first."""
    domains = list(project.config.domains)
    found = {SOLUTION: wanted_mixture(project, budget).mixture}
    for name, shares in weights.items():
        if name in found or not re.fullmatch(r"[\w.=+-]+", name):
            raise ConfigError(f"--weights: '{name}' cannot name a mixture.", "Use letters, digits, - and _.")
        found[name] = wanted_mixture(project, budget, shares).mixture
    rows = {name: len(tokens.train) for name, tokens in project.prepared.items()}
    usual = baselines(project.available_tokens, rows, budget, project.config.solve.max_epochs)
    for name in against or ():
        if name not in usual:
            raise ConfigError(f"--against: there is no mixture '{name}'; {suggest(name, usual)}.", "Correct it.")
    usual = {name: shares for name, shares in usual.items() if against is None or name in against}
    for name, shares in (usual | (grid(domains) if with_grid else {})).items():
        if name in found:
            raise ConfigError(f"--weights: '{name}' is the name of a baseline.", "Give your mixture another name.")
        found[name] = Mixture(shares, budget)
    return found


def _distinct(mixtures: Mapping[str, Mixture]) -> tuple[dict[str, Mixture], dict[str, str]]:
    """Return mixtures with different tokens, and name -> the one that it is the same as."""
    first: dict[tuple[tuple[str, int], ...], str] = {}
    same_as = {}
    for name, mixture in mixtures.items():
        key = tuple(sorted(mixture.tokens.items()))
        if (other := first.setdefault(key, name)) != name:
            same_as[name] = other
    return {name: mixture for name, mixture in mixtures.items() if name not in same_as}, same_as


def _result(
    project: Project,
    study: Study,
    budget: int,
    chosen: Mapping[str, Mixture],
    specs: Mapping[tuple[str, int], RunSpec],
    same_as: Mapping[str, str],
) -> dict[str, Any]:
    solution = project.solve(project.fit, budget, regrets=False)
    fit = project.fit.of_domains(list(project.config.domains))
    targets = list(project.config.domains)
    records = {key: study.record(spec) for key, spec in specs.items()}
    losses: dict[str, list[list[float]]] = {}
    for (name, _), record in records.items():
        if record is None:
            raise StudyError(f"Run '{name}' has no record.", "Run the command again.")
        losses.setdefault(name, []).append([record.losses[target].loss_nats for target in targets])
    weights = dict(solution.target_weights) or dict.fromkeys(targets, 1.0)
    noise = {target: fit.targets[target].noise_nats for target in targets}
    summary = summarise({name: np.array(values) for name, values in losses.items()}, targets, weights, noise)
    available = project.available_tokens
    for name, mixture in chosen.items():
        tokens = mixture.tokens
        predicted = fit.predict(tokens, available).of_mixture()
        summary["mixtures"][name] |= {
            "weights": dict(mixture.weights),
            "tokens": tokens,
            "epochs": {domain: n / available[domain] for domain, n in tokens.items()},
            "predicted": predicted,
            "predicted_total": sum(weights.get(target, 0.0) * p["mean"] for target, p in predicted.items()),
        }
    wish = project.config.solve
    reference = wish.reference or usual_reference(targets, available)
    means = {name: {t: loss["mean"] for t, loss in m["losses"].items()} for name, m in summary["mixtures"].items()}
    means |= {name: means[other] for name, other in same_as.items()}
    return {
        "limits": limits(means, fit.base, wish.floor, wish.no_worse, reference, solution.limits),
        "budget_tokens": budget,
        "law": fit.law,
        "targets": targets,
        "target_weights": weights,
        "same_as": dict(same_as),
        **summary,
        "runs": {spec.name: study.run_folder(spec).name for spec in specs.values()},
    }
