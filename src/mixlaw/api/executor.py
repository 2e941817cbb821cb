"""Which executor trains a project's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec

from mixlaw.api.project import Project
from mixlaw.config.executor import ExecutorNode
from mixlaw.core.cores import usable_cores
from mixlaw.core.errors import ConfigError, MissingExtra
from mixlaw.core.run import RunSpec
from mixlaw.study.status import RunEvent, RunStatus
from mixlaw.study.store import Study

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

    Raises:
        ConfigError, StudyError, DataError, MissingExtra: see `executor_kind`, and the executors.
    """
    node = project.config.executor
    most = workers or node.workers
    runs = study.load_plan() if specs is None else list(specs)
    with project.reporter.following(study, runs, on_event) as follow:
        if executor_kind(project, executor) == "ray":
            from mixlaw.study.executor_ray import RayOptions
            from mixlaw.study.executor_ray import run_pending as on_ray

            options = RayOptions(**node.ray_options())
            return on_ray(
                study,
                project.trainer_config,
                most,
                follow,
                options=options,
                specs=specs,
                retry_failed=retry_failed,
            )
        from mixlaw.study.executor_local import run_pending

        return run_pending(study, project.trainer_config, most, follow, specs=specs, retry_failed=retry_failed)


def estimated_s(statuses: Sequence[RunStatus], executor: ExecutorNode) -> float | None:
    """Return the seconds until all runs are done, by the pace of those that are; None before the first."""
    done = [s for s in statuses if s.wall_s is not None and s.tokens]
    if not done or (executor.kind == "ray" and executor.workers is None):
        return None  # how many runs a cluster holds is known only when it is asked
    pace = sum(s.wall_s or 0.0 for s in done) / sum(s.tokens for s in done)
    left = sum(s.tokens for s in statuses if s.state != "done")
    return round(pace * left / (executor.workers or usable_cores()), 1)
