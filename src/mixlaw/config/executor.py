"""The part `executor` of mix.yaml: where the runs are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mixlaw.config.base import Node

RAY_KEYS = ("address", "cpus_per_run", "gpus_per_run", "resources", "max_retries", "wait_for_nodes_s")
"""Keys that `kind: local` does not use; the fields of `mixlaw.study.executor_ray.RayOptions`."""

_OTHER_KEYS = {"CPU": "cpus_per_run", "GPU": "gpus_per_run"}

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ExecutorNode(Node):
    """Which executor, and what it is told. What is None has the default of `mixlaw.study.executor_ray.RayOptions`."""

    kind: Literal["local", "ray"] = "local"
    workers: Annotated[int, Field(ge=1)] | None = None
    address: Annotated[str, Field(min_length=1)] | None = None
    cpus_per_run: Annotated[int, Field(ge=1)] | None = None
    gpus_per_run: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    resources: dict[str, Amount] | None = None
    max_retries: Annotated[int, Field(ge=0)] | None = None
    wait_for_nodes_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _every_key_is_used(self) -> ExecutorNode:
        given = [key for key in RAY_KEYS if getattr(self, key) is not None]
        if given and self.kind != "ray":
            raise ValueError(f"{given[0]} is an option of kind: ray; remove it, or change kind")
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

    def ray_options(self) -> dict[str, Any]:
        """Return the keys of Ray that were given."""
        return self.model_dump(include=set(RAY_KEYS), exclude_none=True)


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65536 and not any(sign in host for sign in "/ ")
