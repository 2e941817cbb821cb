"""Weights & Biases: offline run folders, sent with `wandb sync` when one wants to; online where WANDB_MODE says so."""

from __future__ import annotations

import os
from pathlib import Path

from mixlaw.trackers.tracker import LoggedRun, package_of


class Wandb:
    """Writes `<folder>/wandb/offline-run-...`, or to the server.

    Args:
        folder: the study's folder of trackers.
        study: unused: a run's group is the study's name.
    """

    def __init__(self, folder: Path, study: str) -> None:
        self.folder = folder
        self.mode = os.environ.get("WANDB_MODE") or "offline"
        if self.mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # the package's own reports would go out, too
        self._wandb = package_of("wandb", "wandb", "report_to: wandb")

    def write(self, run: LoggedRun) -> None:
        """Log the run under its key, which the server knows again."""
        self.folder.mkdir(parents=True, exist_ok=True)  # wandb would take a temporary folder instead
        settings = self._wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True
        )
        logged = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "mixlaw",
            dir=str(self.folder),
            mode=self.mode,
            id=run.key[:16],
            name=run.name,
            group=run.group,
            config=dict(run.config),
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",  # a run of the caller's own, in a notebook, goes on
            settings=settings,
        )
        try:
            for step, metrics in run.curve:
                logged.log(dict(metrics), step=step)
            logged.summary.update(dict(run.final))
        except BaseException:
            logged.finish(exit_code=1)
            raise
        logged.finish()
