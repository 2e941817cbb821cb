"""The files for clouds say how many workers, where the study is, and which runs each may take."""

import pytest
import yaml

from mixlaw.core.errors import ConfigError
from mixlaw.core.run import longest_first
from mixlaw.study.containers import Containers, kubernetes_job, launch, skypilot_task
from mixlaw.study.store import Study
from mixlaw.study.take import main, part_of
from tiny_training import make_config, make_specs

ENVIRONMENT = {"OMP_NUM_THREADS": "2"}


def test_an_indexed_job_mounts_the_volume_and_its_workers_share_the_runs_by_leases():
    job = yaml.safe_load(kubernetes_job(Containers("My Study!", 8, "mix-pvc", "1", 2, "org/mix:1"), ENVIRONMENT))
    assert job["apiVersion"] == "batch/v1" and job["metadata"]["name"] == "mixlaw-my-study"
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 8, 8)
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "mix-pvc"} and pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["command"][-1] == "exec python -m mixlaw.study.take /mixlaw"
    assert container["resources"]["limits"] == {"cpu": 2, "nvidia.com/gpu": 1}
    assert container["env"] == [{"name": "OMP_NUM_THREADS", "value": "2"}]


def test_without_an_image_the_worker_installs_mixlaw_first():
    job = yaml.safe_load(kubernetes_job(Containers("s", 1, "pvc"), {}))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1].startswith('pip install "mixlaw[train]" && exec python')
    assert yaml.safe_load(skypilot_task(Containers("s", 1, "pvc"), {}))["setup"] == 'pip install "mixlaw[train]"'


def test_on_a_bucket_every_worker_has_its_own_part_and_on_a_volume_none_has():
    bucket, volume = Containers("s", 3, "s3://b/study", "H100:2", 4), Containers("s", 3, "shared")
    task = yaml.safe_load(skypilot_task(bucket, ENVIRONMENT))
    assert task["file_mounts"] == {"/mixlaw": {"source": "s3://b/study", "mode": "MOUNT_CACHED"}}
    assert task["run"] == 'python -m mixlaw.study.take /mixlaw --part "$MIXLAW_PART"'
    assert task["resources"]["accelerators"] == "H100:2" and task["resources"]["use_spot"] is True
    assert "--env MIXLAW_PART=$i/3" in launch(bucket, "skypilot", "x.yaml") and "seq 0 2" in launch(
        bucket, "skypilot", ""
    )
    task = yaml.safe_load(skypilot_task(volume, ENVIRONMENT))
    assert task["volumes"] == {"/mixlaw": "shared"} and "--part" not in task["run"]
    assert "MIXLAW_PART" not in launch(volume, "skypilot", "x.yaml")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Containers("s", 1, "/a/folder"), "a bucket (s3://name/folder) or the name of a volume"),
        (lambda: Containers("s", 1, "pvc", "two"), None),
        (lambda: Containers("s", 1, "pvc", "H100:0"), "H100:1 (SkyPilot) or 1 (Kubernetes)"),
        (lambda: kubernetes_job(Containers("s", 1, "s3://b"), {}), "Kubernetes mounts volumes, not buckets"),
        (lambda: kubernetes_job(Containers("s", 1, "pvc", "H100:1"), {}), "nodeSelector"),
        (lambda: skypilot_task(Containers("s", 1, "pvc", "1"), {}), "Write it as H100:1"),
    ],
)
def test_what_a_cloud_cannot_do_is_one_error(make, said):
    if said is None:
        make()  # a name that only SkyPilot can judge
        return
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def test_the_parts_are_all_runs_each_of_them_once(tmp_path):
    specs = make_specs(make_config(tmp_path), (400, 500, 600, 700, 800))
    parts = [part_of(specs, f"{i}/3") for i in range(3)]
    assert sorted(spec.name for part in parts for spec in part) == sorted(spec.name for spec in specs)
    assert [spec.name for spec in parts[0]] == ["run-800", "run-500"] and part_of(specs, "0/1") == longest_first(specs)
    for wrong in ("3/3", "x", "1", "-1/2", "0/0"):
        with pytest.raises(ConfigError, match="--part"):
            part_of(specs, wrong)


def test_workers_of_different_parts_train_all_runs(tmp_path, capsys):
    config = make_config(tmp_path / "inputs")
    study = Study(tmp_path / "study")
    study.save_plan(make_specs(config))
    study.save_trainer(config)
    assert main([str(study.folder), "--part", "0/2"]) == 0
    assert {s.name: s.state for s in study.status()} == {"run-800": "done", "run-400": "pending"}
    assert main([str(study.folder), "--part", "1/2"]) == 0
    assert {s.state for s in study.status()} == {"done"}
    assert main([str(tmp_path / "nothing")]) == 1 and "no plan.json" in capsys.readouterr().err
