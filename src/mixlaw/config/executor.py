"""The part `executor` of mix.yaml: where the runs are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mixlaw.config.base import Node

KEYS: Mapping[str, tuple[str, ...]] = {
    "local": ("workers", "together"),
    "ray": (*("workers", "address", "cpus_per_run", "gpus_per_run", "resources", "max_retries", "wait_for_nodes_s"),),
    "slurm": (
        *("partition", "time", "cpus_per_run", "gpus_per_run", "nodes_per_run", "max_parallel", "setup", "python"),
        *("workers", "sbatch"),
    ),
}
"""Executor -> the keys that it uses, beside `kind`: `workers`, and the fields of its options (`RayOptions` in
`mixlaw.study.executor_ray`, `SlurmOptions` in `mixlaw.study.slurm_script`)."""

_OTHER_KEYS = {"CPU": "cpus_per_run", "GPU": "gpus_per_run"}

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Some = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]


class ExecutorNode(Node):
    """Which executor, and what it is told. What is None has the default of the executor's own options."""

    kind: Literal["local", "ray", "slurm"] = "local"
    workers: Some | None = None
    together: Literal["auto"] | Some | None = None
    address: Text | None = None
    cpus_per_run: Some | None = None
    gpus_per_run: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    resources: dict[str, Amount] | None = None
    max_retries: Annotated[int, Field(ge=0)] | None = None
    wait_for_nodes_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    partition: Text | None = None
    time: Text | int | None = None
    nodes_per_run: Some | None = None
    max_parallel: Some | None = None
    setup: str | None = None
    python: Text | None = None
    sbatch: dict[str, bool | int | str] | None = None

    @model_validator(mode="after")
    def _every_key_is_used(self) -> ExecutorNode:
        for key in type(self).model_fields:
            users = [kind for kind, keys in KEYS.items() if key in keys]
            if key != "kind" and getattr(self, key) is not None and self.kind not in users:
                raise ValueError(f"{key} is an option of kind: {' and '.join(users)}; remove it, or change kind")
        return self

    @model_validator(mode="after")
    def _ray_can_do_it(self) -> ExecutorNode:
        if (self.address or "").startswith("ray://"):
            raise ValueError(
                "address is that of Ray Client; give host:port on a node of the cluster, or submit a Ray job"
            )
        if self.address is not None and self.address != "auto" and not _is_host_and_port(self.address):
            raise ValueError(f"address is '{self.address}'; it must be auto, or host:port such as 10.0.0.1:6379")
        gpus = self.gpus_per_run or 0.0
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus_per_run is {gpus:g}; it must be a fraction of one GPU or a whole number of them")
        for name, key in _OTHER_KEYS.items():
            if name in (self.resources or {}):
                raise ValueError(f"resources names {name}; set {key} instead")
        return self

    @model_validator(mode="after")
    def _slurm_can_do_it(self) -> ExecutorNode:
        if self.kind != "slurm":
            return self
        if self.workers is not None and self.max_parallel is not None:
            raise ValueError("workers and max_parallel both say how many runs are trained at once; drop one")
        gpus = self.gpus_per_run or 0.0
        if gpus != int(gpus):
            raise ValueError(f"gpus_per_run is {gpus:g}; Slurm gives a run whole GPUs")
        return self

    def options(self, kind: str) -> dict[str, Any]:
        """Return the keys that were given and that an executor uses, `workers` aside.

        Args:
            kind: the executor; that of the configuration, or the one that takes its place for once.
        """
        if kind != self.kind:
            return {}
        given = self.model_dump(include=set(KEYS[kind]) - {"workers"}, exclude_none=True)
        if kind == "slurm":
            given |= {"gpus_per_run": int(given["gpus_per_run"])} if "gpus_per_run" in given else {}
            given |= {"time": str(given["time"])} if "time" in given else {}
        return given


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65536 and not any(sign in host for sign in "/ ")
