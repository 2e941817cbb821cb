"""Which executor trains a project's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec

from mixlaw.api.project import Project
from mixlaw.core.errors import ConfigError, MissingExtra
from mixlaw.core.run import RunSpec
from mixlaw.study.status import RunEvent, RunStatus
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

KINDS = ("local", "ray")


def executor_kind(project: Project, executor: str | None) -> str:
    """Return which executor is meant: the one that is given, or the configuration's.

    Raises:
        ConfigError: no such executor.
        MissingExtra: it is Ray, which is not installed.
    """
    kind = executor or project.config.executor.kind
    if kind not in KINDS:
        raise ConfigError(f"The executor is {kind!r}; it must be one of {', '.join(KINDS)}.", "Correct it.")
    if kind == "ray" and find_spec("ray") is None:
        raise MissingExtra("ray", "ray", "The executor 'ray'")
    return kind


def require_extras(project: Project, executor: str | None = None) -> None:
    """Say now, and not after an hour of tokenising, what training will miss.

    What a cluster's nodes have is their business.

    Raises:
        ConfigError: no such executor, or the trainer misses something on this machine, such as its program.
        MissingExtra: a tracker, the executor, or a package of the trainer is not installed.
    """
    _ = project.reporter
    if executor_kind(project, executor) != "local":
        return
    train = project.config.train
    train.trainer_class.check(train.options, train.folder)


def require_cluster(project: Project, executor: str | None = None) -> None:
    """Say before the domains are tokenised that no Ray cluster answers; once they are, training finds out itself.

    Raises:
        ConfigError, StudyError: see `mixlaw.study.ray_cluster.connected`.
    """
    if executor_kind(project, executor) == "ray" and not project.study.domains_path.exists():
        from mixlaw.study.executor_ray import RayOptions
        from mixlaw.study.ray_cluster import connected

        with connected(RayOptions(**project.config.executor.ray_options()).address):
            pass


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
        executor: `local` or `ray`; None for the configuration's.
        workers: most runs at once; None for the configuration's.
        on_event: called for everything that happens.
        specs: the runs; None for the whole plan.
        retry_failed: try every failed run again.
        trainer: how; None for the project's.

    Raises:
        ConfigError, StudyError, DataError, MissingExtra: see `executor_kind`, and the executors.
    """
    node, trainer = project.config.executor, trainer or project.trainer_config
    most = workers or node.workers
    runs = study.load_plan() if specs is None else list(specs)
    with project.reporter.following(study, runs, on_event) as follow:
        if executor_kind(project, executor) == "ray":
            from mixlaw.study.executor_ray import RayOptions
            from mixlaw.study.executor_ray import run_pending as on_ray

            options = RayOptions(**node.ray_options())
            return on_ray(
                study,
                trainer,
                most,
                follow,
                options=options,
                specs=specs,
                retry_failed=retry_failed,
            )
        from mixlaw.study.executor_local import run_pending

        return run_pending(study, trainer, most, follow, specs=specs, retry_failed=retry_failed)
