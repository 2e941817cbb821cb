"""Whole studies in less time: fewer tokens than the small demo, no worker processes, fits that end early.

For tests of what is made of a study's runs. That worker processes train them, and what happens when one dies, is shown
by `tests/unit/study/test_executor_local.py`, `tests/e2e/test_demo.py` and `tests/e2e/test_kill_and_resume.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mixlaw.core.run import RunSpec
from mixlaw.study.executing import begin, chosen_runs
from mixlaw.study.executors import LocalExecutor, Sweep
from mixlaw.study.status import RunStatus
from mixlaw.study.store import Study
from mixlaw.study.worker import work
from mixlaw.train.trainer_config import TrainerConfig
from quick_fits import few_folds, short_draws
from small_demo import write_small_demo

SMALLER = {"base_tokens: 3k": "base_tokens: 1k", "{rows: 16}": "{rows: 8}"}


def write_quick_demo(folder: Path) -> Path:
    """Write the small demo with a third of its tokens and half of its validation rows; return its mix.yaml."""
    config = write_small_demo(folder)
    text = config.read_text(encoding="utf-8")
    for before, after in SMALLER.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    config.write_text(text, encoding="utf-8")
    return config


def train_here(
    study: Study, config: TrainerConfig, specs: Iterable[RunSpec] | None = None, *, retry_failed: bool = False
) -> list[RunStatus]:
    """Train the runs that are missing in this process, as a worker would; arguments and result of `run_pending`."""
    chosen = chosen_runs(study, config, specs)
    begin(study, config, chosen, retry_failed=retry_failed)
    work(study, chosen, lambda event: None)
    return study.status(chosen)


@contextmanager
def trained_here() -> Iterator[None]:
    """Let the local executor train in this process: a worker's start takes longer than these runs."""

    def train(executor: LocalExecutor, sweep: Sweep) -> list[RunStatus]:
        return train_here(sweep.study, sweep.config, sweep.specs, retry_failed=sweep.retry_failed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalExecutor, "train", train)
        yield


@contextmanager
def short_fits() -> Iterator[None]:
    """Judge fits by two folds, and end the sampling of their draws long before they have settled."""
    with few_folds(2), short_draws():
        yield
