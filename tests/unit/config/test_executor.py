import pytest

from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError

GOOD = {"study": "s", "model": {"name_or_path": "./base"}, "domains": {"a": {"path": "a.jsonl"}}, "budget_tokens": "1M"}


def executor(**keys):
    return parse_config({**GOOD, "executor": keys}).executor


def refused(**keys):
    with pytest.raises(ConfigError) as caught:
        executor(**keys)
    return str(caught.value)


def test_the_default_is_local_and_ray_gets_only_what_was_said():
    assert executor().kind == "local" and executor(workers=3).workers == 3
    assert executor(kind="ray").ray_options() == {}
    said = {"address": "10.0.0.1:6379", "gpus_per_run": 0.25, "resources": {"a100": 1.0}, "max_retries": 0}
    assert executor(kind="ray", workers=4, **said).ray_options() == said


@pytest.mark.parametrize(
    "keys",
    [{"address": "auto"}, {"cpus_per_run": 2}, {"gpus_per_run": 1}, {"resources": {"x": 1}}, {"max_retries": 1}],
)
def test_keys_of_ray_are_refused_where_nothing_would_read_them(keys):
    (name,) = keys
    assert refused(**keys) == f"configuration: executor: {name} is an option of kind: ray; remove it, or change kind."


def test_what_ray_cannot_do_is_said_with_what_to_write_instead():
    assert "a fraction of one GPU or a whole number of them" in refused(kind="ray", gpus_per_run=1.5)
    assert executor(kind="ray", gpus_per_run=2).gpus_per_run == 2
    assert "submit a Ray job" in refused(kind="ray", address="ray://head:10001")
    assert "host:port such as" in refused(kind="ray", address="head")
    assert "set gpus_per_run instead" in refused(kind="ray", resources={"GPU": 1})
    assert "greater than or equal to 1" in refused(kind="ray", cpus_per_run=0)
    assert "did you mean 'gpus_per_run'?" in refused(kind="ray", gpu_per_run=1)
