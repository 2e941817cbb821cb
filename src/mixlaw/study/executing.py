"""What executors share: the checks before a sweep, the environment of a process that trains, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mixlaw.core.errors import (
    DISK_FULL,
    ConfigError,
    DataError,
    FileError,
    MissingExtra,
    MixlawError,
    RunFailed,
    StudyError,
    file_error,
    in_a_sentence,
)
from mixlaw.core.run import RunSpec
from mixlaw.study.merged import discard_lost_experts
from mixlaw.study.status import RunEvent
from mixlaw.study.store import Study
from mixlaw.train.trainer_config import TrainerConfig

OnEvent = Callable[[RunEvent], None]


def chosen_runs(study: Study, config: TrainerConfig, specs: Iterable[RunSpec] | None) -> list[RunSpec]:
    """Return the runs of a sweep; writes nothing.

    Args:
        study: the study, with a saved plan.
        config: the trainer.
        specs: the runs, all of them in the plan; None for the whole plan.

    Raises:
        StudyError: a run is not in the plan, or was planned with other inputs.
    """
    plan = study.load_plan()
    chosen = plan if specs is None else list(specs)
    if strangers := [spec.name for spec in chosen if spec not in plan]:
        raise StudyError(f"Run '{strangers[0]}' is not in {study.plan_path}.", "Plan the runs again.")
    check_inputs(study, chosen, config)
    return chosen


def check_inputs(study: Study, specs: Iterable[RunSpec], config: TrainerConfig) -> None:
    """Raise StudyError where a run that is to be trained was planned with another model, other data or settings."""
    for spec in specs:
        if study.record(spec) is not None:
            continue  # nothing to train; it may be from before a change of the domains
        if wrong := config.mismatches(spec.inputs, [name for name, n in spec.tokens.items() if n > 0]):
            raise StudyError(
                f"Run '{spec.name}' was planned with other inputs than the trainer has: {', '.join(wrong)}.",
                "Plan the runs again.",
            )


def begin(study: Study, config: TrainerConfig, specs: list[RunSpec], *, retry_failed: bool) -> None:
    """Save the trainer, and return to pending what failed and may succeed now, and what dead processes had claimed.

    Raises:
        StudyError: the folder cannot be written, or another process trains the study with other settings.
    """
    study.save_trainer(config)
    study.clear_failures(specs, everything=retry_failed)
    study.release_dead()
    discard_lost_experts(study, specs)


def training_environment(threads: int) -> dict[str, str]:
    """Return the variables of a process that trains; they must be set before it imports torch.

    Threads that spin would starve other runs on the machine, and their number decides the order of sums. Memory that
    one step frees is kept for the next (glibc reads these names): to ask for it anew costs a page fault for every 4 kB,
    which doubled the time of the output layer of a small model.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        **dict.fromkeys(names, str(threads)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "MALLOC_MMAP_THRESHOLD_": str(2**25),
        "MALLOC_TRIM_THRESHOLD_": str(2**28),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def error_json(error: Exception) -> dict[str, str]:
    """Return an error as values that any process can read; `as_error` is its inverse."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        error = file_error(error)
    if isinstance(error, MixlawError):
        return {"code": error.code, "message": error.message, "hint": error.hint}
    return {"code": "error", "message": in_a_sentence(error), "hint": ""}


def as_error(event: Mapping[str, Any]) -> MixlawError:
    """Return the error that another process has met."""
    kinds: dict[str, type[MixlawError]] = {
        kind.code: kind for kind in (ConfigError, DataError, StudyError, RunFailed, FileError, MixlawError)
    }
    if event["code"] == MissingExtra.code:
        purpose, package = event["message"].split(" needs the package '", 1)
        return MissingExtra(package.split("'")[0], event["hint"].rpartition("[")[2].rstrip('"]'), purpose)
    return kinds.get(event["code"], StudyError)(event["message"], event["hint"])
