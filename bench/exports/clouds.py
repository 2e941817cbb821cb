"""Check the files that start a sweep's workers with the tools' own schemas. Writes clouds.json beside this file.

    python bench/exports/clouds.py write FOLDER     in mixlaw's environment: files of every kind
    python bench/exports/clouds.py check FOLDER     in an environment with skypilot and kubernetes-validate

SkyPilot: its task schema, and then its own loader, which also resolves the volume or the bucket's mode. Kubernetes: the
published OpenAPI schemas, strict (no unknown keys), of each release that has backoffLimitPerIndex.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "clouds.json"
RELEASES = ("1.28", "1.29", "1.31", "1.33", "1.34")


def write(folder: Path) -> None:
    """Write the files: with a volume and a bucket, with and without GPUs and an image."""
    from mixlaw.study.containers import Containers, kubernetes_job, skypilot_task
    from mixlaw.study.executing import training_environment

    folder.mkdir(parents=True, exist_ok=True)
    environment = training_environment(2)
    for storage in ("shared", "s3://bucket/study", "gs://bucket/study"):
        for gpus in ("", "H100:1"):
            for image in ("", "org/mixlaw:1"):
                where, which = storage.partition(":")[0], gpus.partition(":")[0] or "no"
                name = f"sky {where} {which}-gpu {'image' if image else 'pip'}"
                text = skypilot_task(Containers("demo", 4, storage, gpus, 2, image), environment)
                (folder / f"{name.replace(' ', '_')}.yaml").write_text(text, encoding="utf-8")
    for gpus in ("", "2"):
        for image in ("", "org/mixlaw:1"):
            name = f"k8s_{gpus or 'no'}-gpu_{'image' if image else 'pip'}"
            text = kubernetes_job(Containers("demo", 4, "shared", gpus, 2, image), environment)
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def check(folder: Path) -> None:
    """Validate every file, and a damaged one, which must be found out."""
    import jsonschema
    import kubernetes_validate
    import sky
    import yaml
    from sky.utils import schemas

    results = {"versions": {name: version(name) for name in ("skypilot", "kubernetes-validate")}, "files": {}}
    for path in sorted(folder.glob("*.yaml")):
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        said = {}
        if path.name.startswith("sky"):
            jsonschema.validate(value, schemas.get_task_schema())
            said["schema"] = "valid"
            try:
                task = sky.Task.from_yaml_config(value)
                said["loader"] = f"{len(task.resources)} resources, {len(value.get('volumes', {}))} volumes"
            except Exception as error:  # a bucket is looked for in the cloud, for which one must be logged in
                said["loader"] = f"{type(error).__name__}: {str(error)[:120]}"
            try:
                jsonschema.validate({**value, "nonsense": 1}, schemas.get_task_schema())
                said["control"] = "NOT FOUND OUT"
            except jsonschema.ValidationError:
                said["control"] = "found out"
        else:
            for release in RELEASES:
                kubernetes_validate.validate(value, release, strict=True)
                said[release] = "valid"
            try:
                value["spec"]["nonsense"] = 1
                kubernetes_validate.validate(value, RELEASES[-1], strict=True)
                said["control"] = "NOT FOUND OUT"
            except kubernetes_validate.ValidationError:
                said["control"] = "found out"
        results["files"][path.stem] = said
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]).resolve())
