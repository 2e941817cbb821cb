"""TensorBoard: event files, a folder a run, written without TensorFlow and without torch."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

from mixlaw.trackers.tracker import LoggedRun, package_of

_PURPOSE = "report_to: tensorboard"


class TensorBoard:
    """Writes `<folder>/tensorboard/<run>-<key8>/events...`; look at them with `tensorboard --logdir`.

    Args:
        folder: the study's folder of trackers.
        study: unused: the folder is the study's own.
    """

    def __init__(self, folder: Path, study: str) -> None:
        self.folder = folder / "tensorboard"
        self._writer = package_of("tensorboard.summary.writer.event_file_writer", "tensorboard", _PURPOSE)
        self._event, self._summary, self._tensor, self._types = (
            package_of(f"tensorboard.compat.proto.{name}_pb2", "tensorboard", _PURPOSE)
            for name in ("event", "summary", "tensor", "types")
        )

    def write(self, run: LoggedRun) -> None:
        """Write the run's folder; one that is there from an attempt that was cut off is replaced."""
        folder = self.folder / re.sub(r"[^\w.+=-]+", "_", f"{run.name}-{run.key[:8]}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        writer = self._writer.EventFileWriter(str(folder))
        try:
            writer.add_event(self._at(0, [self._text("config", run.config)]))
            for step, metrics in run.curve:
                writer.add_event(self._at(step, [self._scalar(*item) for item in metrics.items()]))
            writer.add_event(self._at(run.last_step, [self._scalar(*item) for item in run.final.items()]))
        finally:
            writer.close()

    def _at(self, step: int, values: list[Any]) -> Any:
        return self._event.Event(wall_time=time.time(), step=step, summary=self._summary.Summary(value=values))

    def _scalar(self, name: str, value: float) -> Any:
        return self._summary.Summary.Value(tag=name, simple_value=value)

    def _text(self, name: str, value: Any) -> Any:
        text = "    " + json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n    ")  # a Markdown code block
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="text")
        tensor = self._tensor.TensorProto(
            dtype=self._types.DT_STRING, string_val=[text.encode()], tensor_shape={"dim": [{"size": 1}]}
        )
        metadata = self._summary.SummaryMetadata(plugin_data=plugin)
        return self._summary.Summary.Value(tag=name, metadata=metadata, tensor=tensor)
