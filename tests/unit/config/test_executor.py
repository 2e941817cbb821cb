import dataclasses

import pytest

from mixlaw.config import parse_config
from mixlaw.config.executor import KEYS
from mixlaw.core.errors import ConfigError
from mixlaw.study.executor_ray import RayOptions
from mixlaw.study.executors import EXECUTORS
from mixlaw.study.slurm_script import SlurmOptions

GOOD = {"study": "s", "model": {"name_or_path": "./base"}, "domains": {"a": {"path": "a.jsonl"}}, "budget_tokens": "1M"}


def executor(**keys):
    return parse_config({**GOOD, "executor": keys}).executor


def refused(**keys):
    with pytest.raises(ConfigError) as caught:
        executor(**keys)
    return str(caught.value)


def test_the_default_is_local_and_ray_gets_only_what_was_said():
    assert executor().kind == "local" and executor(workers=3).workers == 3
    assert executor(kind="ray").options("ray") == {}
    said = {"address": "10.0.0.1:6379", "gpus_per_run": 0.25, "resources": {"a100": 1.0}, "max_retries": 0}
    assert executor(kind="ray", workers=4, **said).options("ray") == said
    # Another one for once, by --executor, is told nothing that was meant for this one.
    assert executor(kind="ray", workers=4, **said).options("slurm") == {}


def test_slurm_gets_what_was_said_and_yaml_s_numbers_as_it_means_them():
    said = {"partition": "gpu", "time": 240, "gpus_per_run": 2.0, "max_parallel": 16, "sbatch": {"exclusive": True}}
    assert executor(kind="slurm", **said).options("slurm") == said | {"time": "240", "gpus_per_run": 2}
    assert SlurmOptions(**executor(kind="slurm", **said).options("slurm")).limit_s == 4 * 3600


def test_the_configuration_knows_the_executors_there_are_and_their_options():
    assert set(KEYS) == set(EXECUTORS)
    for kind, options in (("ray", RayOptions), ("slurm", SlurmOptions)):
        assert set(KEYS[kind]) - {"workers"} == {field.name for field in dataclasses.fields(options)}


@pytest.mark.parametrize(
    ("keys", "users"),
    [
        ({"address": "auto"}, "ray"),
        ({"cpus_per_run": 2}, "ray and slurm"),
        ({"gpus_per_run": 1}, "ray and slurm"),
        ({"resources": {"x": 1}}, "ray"),
        ({"max_retries": 1}, "ray"),
        ({"partition": "gpu"}, "slurm"),
        ({"sbatch": {"account": "a"}}, "slurm"),
    ],
)
def test_keys_of_a_cluster_are_refused_where_nothing_would_read_them(keys, users):
    (name,) = keys
    said = f"{name} is an option of kind: {users}; remove it, or change kind"
    assert refused(**keys) == f"configuration: executor: {said}."


def test_what_slurm_cannot_do_is_said_with_what_to_write_instead():
    assert "address is an option of kind: ray; remove it" in refused(kind="slurm", address="auto")
    assert "Slurm gives a run whole GPUs" in refused(kind="slurm", gpus_per_run=0.5)
    assert "drop one" in refused(kind="slurm", workers=2, max_parallel=2)
    assert "did you mean 'max_parallel'?" in refused(kind="slurm", max_paralell=2)


def test_what_ray_cannot_do_is_said_with_what_to_write_instead():
    assert "a fraction of one GPU or a whole number of them" in refused(kind="ray", gpus_per_run=1.5)
    assert executor(kind="ray", gpus_per_run=2).gpus_per_run == 2
    assert "submit a Ray job" in refused(kind="ray", address="ray://head:10001")
    assert "host:port such as" in refused(kind="ray", address="head")
    assert "set gpus_per_run instead" in refused(kind="ray", resources={"GPU": 1})
    assert "greater than or equal to 1" in refused(kind="ray", cpus_per_run=0)
    assert "did you mean 'gpus_per_run'?" in refused(kind="ray", gpu_per_run=1)
