"""The experts and merged models of a study's plan (`plan: {merges: ...}`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixlaw.api.points import points_of
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import BASE, EXPERT, Merge, RunSpec
from mixlaw.core.tokens import format_tokens
from mixlaw.design.merges import expert_mixtures, merged_mixtures, usual_expert_tokens

if TYPE_CHECKING:
    from mixlaw.api.project import Project


def trained(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return the runs that feed the fit and train: neither experts nor merged models nor the base model."""
    return [spec for spec in specs if spec.merge is None and spec.role not in (BASE, EXPERT)]


def with_merges(
    project: Project, specs: list[RunSpec], further: Sequence[RunSpec] = ()
) -> tuple[list[RunSpec], list[str]]:
    """Return the runs of a plan with the experts and merged models that it asks for, and sentences about them.

    Args:
        project: whose plan it is.
        specs: the runs that train, of the first batch: experts and the merges between runs follow from these alone, so
            that a further batch trains no expert anew.
        further: runs of further batches; a merge of their shares is all that they add.

    Raises:
        ConfigError: one domain has nothing to merge with, or the trainer or the executor cannot merge.
    """
    plan, domains = project.config.plan, list(project.config.domains)
    every = [*specs, *further]
    if not plan.merges:
        return every, []
    _require_possible(project)
    seed, inputs = plan.seed, project.trainer_config.inputs
    tokens = plan.expert_tokens or usual_expert_tokens(spec.trained_tokens for spec in specs)
    experts = {
        domain: RunSpec(f"expert-{domain}", mixture, seed, inputs, EXPERT, points=points_of(project))
        for domain, mixture in expert_mixtures(domains, tokens, plan.expert_general).items()
    }
    ids = {domain: spec.id for domain, spec in experts.items()}
    found = merged_mixtures(
        domains, [s.tokens for s in specs], plan.merges, tokens, plan.expert_general, seed, [s.tokens for s in further]
    )
    merges = [
        RunSpec(one.name, one.tokens, seed, inputs, merge=Merge(ids, one.weights, plan.merge_scale)) for one in found
    ]
    note = (
        f"merges: {len(merges)} merged models of {len(experts)} experts, {format_tokens(tokens)} tokens each; "
        "merged models are only evaluated."
    )
    return [*every, *experts.values(), *merges], [note]


def _require_possible(project: Project) -> None:
    config = project.config
    if len(config.domains) < 2:
        raise ConfigError("plan.merges needs two domains or more; there is one.", "Leave it out.")
    if not config.train.trainer_class.merges:
        raise ConfigError(
            f"plan.merges is {config.plan.merges}, but the trainer '{config.train.trainer_class.name}' cannot merge "
            "models.",
            "Leave it out, or use train: {trainer: native}.",
        )
    if getattr(config.train.options, "peft", None):
        raise ConfigError(
            f"plan.merges is {config.plan.merges}, but train.peft trains adapters, which are not merged yet.",
            "Leave out plan.merges, or train.peft.",
        )
    if config.executor.kind != "local":
        raise ConfigError(
            f"plan.merges is {config.plan.merges}; merging needs the weights of all experts in the study folder, "
            f"which workers of executor '{config.executor.kind}' may not see.",
            "Leave it out, or use executor: {kind: local}.",
        )
