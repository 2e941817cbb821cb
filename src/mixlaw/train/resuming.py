"""Checkpoints inside a long run: a run that was killed goes on where the last one was, and ends with the same bytes.

    <run folder>/checkpoint-<step>.safetensors    weights, both moments of AdamW, states of the random generators
    <run folder>/checkpoint.json                  which run and which machine it is of, the step, the checksum

The JSON file is written last and atomically, so that a checkpoint is there whole or not at all. It is used only for the
same run with the same versions, device, threads and rows a batch; any other, or a damaged one, is put away, and the run
begins anew. On a CPU the record is the one of a run without interruption, bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlaw.core.checksums import FILES, checksums, damage
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mixlaw.train.points import Points

VARIABLE = "MIXLAW_CHECKPOINT_MINUTES"
EVERY_MINUTES = 10.0
"""Minutes between checkpoints: what a kill costs at most. A run that is shorter writes none. No data."""

_log = logging.getLogger(__name__)


def every_s() -> float:
    """Return the seconds between checkpoints: the environment's, or ten minutes.

    Raises:
        ConfigError: the environment's is no positive number.
    """
    text = os.environ.get(VARIABLE)
    try:
        minutes = EVERY_MINUTES if text is None else float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise ConfigError(f"{VARIABLE} is {text!r}; it must be a number of minutes above 0.", "Correct it.")
    return 60 * minutes


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: of the run.
        identity: what must be the same for a checkpoint to be used: the run's id, versions, device and the like.
        network: the model that is trained, on its device.
        optimiser: its AdamW.
        points: along the run, where there are any.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], network: Any, optimiser: Any, points: Points | None = None
    ) -> None:
        self._folder, self._identity = folder, dict(identity)
        self._network, self._optimiser, self._points = network, optimiser, points
        self._path = folder / "checkpoint.json"
        self._every_s = every_s()
        self._last = time.monotonic()

    def restore(self) -> int:
        """Put the last checkpoint's state back, and return how many steps it had taken; 0 without a usable one."""
        if not self._path.exists():
            return 0
        try:
            kept = read_document(self._path, "checkpoint")
            if kept["identity"] != self._identity:
                raise DataError(f"{self._path} is of another run, machine or version.")
            if problem := damage(self._folder, kept[FILES]):
                raise DataError(problem)
            self._load(self._folder / next(iter(kept[FILES])), kept.get("points"))
        except DataError as error:
            _log.warning("%s The run begins anew.", error.message)
            remove_checkpoints(self._folder)
            return 0
        return int(kept["step"])

    def save_if_due(self, step: int) -> None:
        """Write a checkpoint after a step where the last one is long enough ago."""
        if time.monotonic() - self._last < self._every_s:
            return
        from safetensors.torch import save_file

        name = f"checkpoint-{step}.safetensors"
        part = self._folder / f".{name}.tmp"
        save_file(self._tensors(), part)
        os.replace(part, self._folder / name)
        sums = checksums(self._folder, [name])
        along = {"points": self._points.state()} if self._points else {}
        write_document(self._path, "checkpoint", {"identity": self._identity, "step": step, FILES: sums, **along})
        _remove_but(self._folder, name)
        self._last = time.monotonic()

    def _tensors(self) -> dict[str, Any]:
        import torch

        found = {f"weight {name}": tensor.detach() for name, tensor in _weights(self._network)}
        for name, parameter in self._network.named_parameters():
            for key, value in self._optimiser.state.get(parameter, {}).items():
                found[f"{key} {name}"] = value
        found |= self._points.tensors() if self._points else {}
        found["random cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            found["random cuda"] = torch.cuda.get_rng_state()
        return {name: tensor.to("cpu").clone().contiguous() for name, tensor in found.items()}

    def _load(self, path: Path, along: Mapping[str, Any] | None) -> None:
        import torch
        from safetensors.torch import load_file

        kept = load_file(path)
        with torch.no_grad():
            for name, tensor in _weights(self._network):
                tensor.copy_(kept[f"weight {name}"])
        for name, parameter in self._network.named_parameters():
            state = {key: kept[f"{key} {name}"] for key in ("exp_avg", "exp_avg_sq", "step") if f"{key} {name}" in kept}
            if state:
                self._optimiser.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
        if self._points and along:
            self._points.restore(kept, along)
        torch.set_rng_state(kept["random cpu"])
        if "random cuda" in kept:
            torch.cuda.set_rng_state(kept["random cuda"])


def remove_checkpoints(folder: Path) -> None:
    """Delete a run's checkpoint; a finished run needs none."""
    (folder / "checkpoint.json").unlink(missing_ok=True)
    _remove_but(folder, "")


def _remove_but(folder: Path, name: str) -> None:
    for path in folder.glob("checkpoint-*.safetensors"):
        if path.name != name:
            with contextlib.suppress(OSError):
                path.unlink()


def _weights(network: Any) -> list[tuple[str, Any]]:
    """Return what training changes: a frozen base stays what it is."""
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    return [*trained, *network.named_buffers()]


def keep_lines(path: Path, step: int) -> None:
    """Cut a training log after what was written up to a step, or make it empty: later steps are taken again.

    The losses at the run's end are measured again, too.
    """
    kept = []
    for line in path.read_bytes().splitlines(keepends=True) if step and path.exists() else ():
        value = json.loads(line)
        if value["step"] > step or not {"steps", "share"} & set(value):
            break
        kept.append(line)
    path.write_bytes(b"".join(kept))
