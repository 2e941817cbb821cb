"""The base model as a run: evaluated once, as it is, with the runs of a sweep.

Its losses are where every curve begins, the best evidence for what a model knows before any training, and what
`no_worse` with `reference: base` compares with. It costs one evaluation.
"""

from __future__ import annotations

from mixlaw.config import Config
from mixlaw.core.errors import ConfigError
from mixlaw.core.run import BASE, RunSpec
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

NAME = "base-model"
"""Of the run, in the plan and in run tables."""


def base_spec(config: Config, trainer: TrainerConfig) -> RunSpec:
    """Return the run that evaluates the base model; its identity depends on no training data."""
    return RunSpec(NAME, dict.fromkeys(config.domains, 0), 0, trainer.inputs, BASE)


def base_run(config: Config, trainer: TrainerConfig, study: Study) -> tuple[list[RunSpec], list[str]]:
    """Return the run that evaluates the base model, or none, and what the user should know about that.

    Args:
        config: `plan.base_model` says whether it is wanted; `auto`: where the trainer measures it unasked.
        trainer: the study's.
        study: whose runs, where another program has trained them, are not compared with what this trainer measures.

    Raises:
        ConfigError: it is wanted or its losses are needed, and it would not be evaluated.
    """
    wish, kind, spec = config.plan.base_model, trainer.trainer_class, base_spec(config, trainer)
    if wish is False:
        return [], []
    if study.record(spec) is not None:
        return [spec], []
    if kind.base_model == "no":
        why = f"the trainer '{kind.name}' cannot evaluate a model as it is (see its class attribute `base_model`)"
        remedy = f"Adopt the losses of the model as run '{NAME}', or leave the base model out."
    elif wish is True:
        return [spec], []
    elif _adopted(study):
        why = "another program trained the runs"
        remedy = f"Adopt its losses as run '{NAME}', or say plan: {{base_model: true}}."
    elif kind.base_model == "asked":
        why = "not every program can do that"
        remedy = 'If yours can (spec.json has "train_model": false), say plan: {base_model: true}.'
    else:
        return [spec], []
    if wish is True or config.solve.reference == "base":
        key = "plan.base_model: true" if wish is True else "solve.reference: base"
        raise ConfigError(f"{key} needs the losses of the base model, and it is not evaluated: {why}.", remedy)
    return [], [] if kind.base_model == "no" else [f"The base model is not evaluated: {why}. {remedy}"]


def _adopted(study: Study) -> bool:
    return study.plan_path.exists() and any(study.adopted(spec) for spec in study.load_plan())
