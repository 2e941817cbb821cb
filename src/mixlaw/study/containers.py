"""A sweep as containers: an indexed Job for Kubernetes, a managed job for SkyPilot. Each container is a worker.

Where the study lies on a volume that all containers mount, they share the runs by leases. A bucket has no locks and is
written late, so there each container has a fixed part of the runs (`mixlaw.study.take`).

Source: Kubernetes, Job of batch/v1 (Indexed; backoffLimitPerIndex, which is stable since 1.33); SkyPilot, task YAML.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mixlaw.core.errors import ConfigError

RETRIES = 3
"""How often a container is started again after it died. No data: as often as Ray submits a lost run again."""

MOUNT = "/mixlaw"
"""Where containers see the study's folder."""

_BUCKET = re.compile(r"(s3|gs|r2|cos|oci|nebius|https)://\S+")
_VOLUME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ACCELERATORS = re.compile(r"[A-Za-z][\w-]*(:[1-9]\d*)?|[1-9]\d*")


@dataclass(frozen=True)
class Containers:
    """What is to be started.

    Attributes:
        name: of the study.
        count: containers.
        storage: a bucket's address, or the name of a volume (on Kubernetes of a PersistentVolumeClaim).
        accelerators: GPUs of each: `H100:1` for SkyPilot, a number for Kubernetes; empty for none.
        cpus: cores, and computing threads, of each.
        image: a container image that has mixlaw[train]; empty to install it when the container starts.

    Raises:
        ConfigError: the storage or the accelerators cannot be read.
    """

    name: str
    count: int
    storage: str
    accelerators: str = ""
    cpus: int = 1
    image: str = ""

    def __post_init__(self) -> None:
        if not (_BUCKET.fullmatch(self.storage) or _VOLUME.fullmatch(self.storage)):
            raise ConfigError(
                f"--storage is {self.storage!r}; it must be a bucket (s3://name/folder) or the name of a volume.",
                "Workers need a place that all of them see.",
            )
        if self.accelerators and not _ACCELERATORS.fullmatch(self.accelerators):
            raise ConfigError(f"--accelerators is {self.accelerators!r}.", "Write H100:1 (SkyPilot) or 1 (Kubernetes).")

    @property
    def is_bucket(self) -> bool:
        """Whether the storage has no locks."""
        return bool(_BUCKET.fullmatch(self.storage))

    @property
    def label(self) -> str:
        """A name that clouds allow: small letters, digits and dashes."""
        return f"mixlaw-{re.sub(r'[^a-z0-9]+', '-', self.name.lower()).strip('-')[:40] or 'study'}"


def kubernetes_job(containers: Containers, environment: Mapping[str, str]) -> str:
    """Return the YAML of an indexed Job.

    Args:
        containers: what is to be started.
        environment: variables of each.

    Raises:
        ConfigError: the storage is a bucket, which Kubernetes does not mount, or the GPUs have a name.
    """
    if containers.is_bucket:
        raise ConfigError(
            "Kubernetes mounts volumes, not buckets.",
            "Name a PersistentVolumeClaim with ReadWriteMany as --storage, or use --to skypilot.",
        )
    if containers.accelerators and not containers.accelerators.isdigit():
        raise ConfigError(
            f"--accelerators is {containers.accelerators}; Kubernetes counts GPUs and has no names for them.",
            "Give a number; choose the kind by a nodeSelector in the file.",
        )
    limits = {
        "cpu": containers.cpus,
        **({"nvidia.com/gpu": int(containers.accelerators)} if containers.accelerators else {}),
    }
    command = f"exec {_take(containers, '$JOB_COMPLETION_INDEX')}"
    container = {
        "name": "worker",
        "image": containers.image or "python:3.12",
        "command": ["bash", "-c", command if containers.image else f"{_INSTALL} && {command}"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {"requests": {"cpu": containers.cpus}, "limits": limits},
        "volumeMounts": [{"name": "study", "mountPath": MOUNT}, {"name": "memory", "mountPath": "/dev/shm"}],
    }
    volumes = [
        {"name": "study", "persistentVolumeClaim": {"claimName": containers.storage}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
    ]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": containers.label},
        "spec": {
            "completionMode": "Indexed",
            "completions": containers.count,
            "parallelism": containers.count,
            "backoffLimitPerIndex": RETRIES,
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [container], "volumes": volumes},
            },
        },
    }
    return _text(job)


def skypilot_task(containers: Containers, environment: Mapping[str, str]) -> str:
    """Return the YAML of a managed job: one worker, whose part is in the variable MIXLAW_PART.

    Args:
        containers: what is to be started.
        environment: variables of each.

    Raises:
        ConfigError: the GPUs have no name.
    """
    if containers.accelerators.isdigit():
        raise ConfigError(
            f"--accelerators is {containers.accelerators}; SkyPilot needs the kind of GPU.", "Write it as H100:1."
        )
    resources: dict[str, Any] = {"cpus": f"{containers.cpus}+"}
    if containers.accelerators:
        resources |= {"accelerators": containers.accelerators}
    resources |= {"use_spot": True, "job_recovery": {"max_restarts_on_errors": RETRIES}}
    if containers.image:
        resources |= {"image_id": f"docker:{containers.image}"}
    task: dict[str, Any] = {"name": containers.label, "resources": resources}
    if containers.is_bucket:
        task |= {"file_mounts": {MOUNT: {"source": containers.storage, "mode": "MOUNT_CACHED"}}}
    else:
        task |= {"volumes": {MOUNT: containers.storage}}
    task |= {"envs": {**environment, "MIXLAW_PART": "0/1"}}
    if not containers.image:
        task |= {"setup": _INSTALL}
    task |= {"run": _take(containers, "")}
    return _text(task)


def launch(containers: Containers, tool: str, file: str) -> str:
    """Return the command that starts all containers.

    Args:
        containers: what is to be started.
        tool: `kubernetes` or `skypilot`.
        file: the name of the YAML.
    """
    if tool == "kubernetes":
        return f"kubectl apply -f {file}"
    part = f" --env MIXLAW_PART=$i/{containers.count}" if containers.is_bucket else ""
    last = containers.count - 1
    return f"for i in $(seq 0 {last}); do sky jobs launch -y -d -n {containers.label}-$i{part} {file}; done"


_INSTALL = 'pip install "mixlaw[train]"'


def _take(containers: Containers, index: str) -> str:
    part = ' --part "$MIXLAW_PART"' if containers.is_bucket and not index else ""
    return f"python -m mixlaw.study.take {shlex.quote(MOUNT)}{part}"


def _text(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=1000)
