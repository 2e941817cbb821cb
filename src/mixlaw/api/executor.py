"""Which executor trains a project's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mixlaw.api.project import Project
from mixlaw.core.run import RunSpec
from mixlaw.study.executors import Executor, Sweep, find_executor
from mixlaw.study.status import RunEvent, RunStatus
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig


def executor_of(project: Project, executor: str | None = None) -> Executor:
    """Return the executor that is meant: the one that is given, or the configuration's.

    Raises:
        ConfigError: no such executor.
    """
    node = project.config.executor
    kind = executor or node.kind
    return find_executor(kind)(node.options(kind))


def require_extras(project: Project, executor: str | None = None) -> None:
    """Say now, and not after an hour of tokenising, what training will miss.

    What a cluster's nodes have is their business.

    Raises:
        ConfigError: no such executor, the trainer misses something on this machine, such as its program, or its
            options do not fit the model.
        StudyError: this machine does not have the commands of the executor.
        MissingExtra: a tracker, the executor, or a package of the trainer is not installed.
    """
    _ = project.reporter
    train = project.config.train
    chosen = executor_of(project, executor)
    chosen.require(train.trainer_class.name)
    if chosen.here:
        train.trainer_class.check(train.options, train.folder)
    require_options_fit(project)


def require_options_fit(project: Project) -> None:
    """Raise ConfigError where the trainer's options ask of the model what it cannot do."""
    train = project.config.train
    train.trainer_class.check_model(train.options, project.model_settings)


def require_cluster(project: Project, executor: str | None = None) -> None:
    """Say before the domains are tokenised that no cluster answers; once they are, training finds out itself.

    Raises:
        ConfigError, StudyError: see `mixlaw.study.ray_cluster.connected`.
    """
    if not project.study.domains_path.exists():
        executor_of(project, executor).reach()


def train_pending(
    project: Project,
    study: Study,
    *,
    executor: str | None = None,
    workers: int | None = None,
    on_event: Callable[[RunEvent], None] | None = None,
    specs: Iterable[RunSpec] | None = None,
    retry_failed: bool = False,
    trainer: TrainerConfig | None = None,
) -> list[RunStatus]:
    """Train the runs of a study that have no record, tell the trackers, and return the status of all.

    Args:
        project: whose trainer, and whose executor.
        study: where the runs lie: the project's study, its confirmation or its final runs.
        executor: `local`, `ray` or `slurm`; None for the configuration's.
        workers: most runs at once; None for the configuration's.
        on_event: called for everything that happens.
        specs: the runs; None for the whole plan.
        retry_failed: try every failed run again.
        trainer: how; None for the project's.

    Raises:
        ConfigError, StudyError, DataError, MissingExtra: see `executor_of`, and the executors.
    """
    trainer = trainer or project.trainer_config
    most = workers or project.config.executor.workers
    runs = study.load_plan() if specs is None else list(specs)
    with project.reporter.following(study, runs, on_event) as follow:
        sweep = Sweep(study, trainer, most, follow, specs, retry_failed)
        return executor_of(project, executor).train(sweep)
