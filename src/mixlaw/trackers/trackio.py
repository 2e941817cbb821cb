"""Trackio: SQLite files in the study; a Space or a server where its own environment variables name one."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from mixlaw.core.errors import StudyError
from mixlaw.trackers.tracker import LoggedRun, package_of

_LOST = re.compile(r"trackio\b.* failed")
"""How its warnings begin that something was not written."""


class Trackio:
    """Writes into `<folder>/trackio`, which `TRACKIO_DIR=<folder>/trackio trackio show` opens.

    Args:
        folder: the study's folder of trackers.
        study: the project's name, unless TRACKIO_PROJECT says another.

    Raises:
        StudyError: this process has used another folder; the package reads its own once.
    """

    def __init__(self, folder: Path, study: str) -> None:
        given = os.environ.get("TRACKIO_DIR")
        place = given or str((folder / "trackio").resolve())
        os.environ["TRACKIO_DIR"] = place
        try:
            self._trackio = package_of("trackio", "trackio", "report_to: trackio")
            used = package_of("trackio.utils", "trackio", "report_to: trackio").TRACKIO_DIR
        finally:
            if given is None:
                del os.environ["TRACKIO_DIR"]
        if Path(used) != Path(place):
            raise StudyError(f"Trackio already writes to {used} in this process.", "Report to it from another process.")
        self.project = os.environ.get("TRACKIO_PROJECT") or study

    def write(self, run: LoggedRun) -> None:
        """Log the run under its name; what the package only warns of is an error, or the run would count as shown."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self._log(run)
        lost = [text for text in (str(warning.message) for warning in said) if _LOST.match(text)]
        if lost:
            raise StudyError(lost[0])

    def _log(self, run: LoggedRun) -> None:
        logged = self._trackio.init(
            project=self.project,
            name=run.name,
            group=run.group,
            config={**run.config, "key": run.key},
            auto_log_gpu=False,
            auto_log_cpu=False,
            embed=False,
        )
        try:
            for step, metrics in run.curve:
                logged.log(dict(metrics), step=step)
            logged.log(dict(run.final), step=run.last_step)
        finally:
            self._trackio.finish()  # the run's own `finish` would be called and printed again at the process's end
