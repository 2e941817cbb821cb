import io
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from mixlaw.core.errors import ConfigError, MissingExtra, StudyError
from mixlaw.study import ray_cluster
from mixlaw.study.executing import as_error, error_json
from mixlaw.study.executor_ray import RayOptions, run_pending


class Nodes:
    """A cluster's list of nodes."""

    def __init__(self, *resources):
        self.resources = resources

    def nodes(self):
        dead = {"Alive": False, "Resources": {}, "NodeManagerHostname": "dead"}
        alive = [{"Alive": True, "Resources": r, "NodeManagerHostname": f"n{i}"} for i, r in enumerate(self.resources)]
        return [dead, *alive]


def files(study):
    return {path: path.stat().st_mtime_ns for path in study.folder.rglob("*")}


def test_without_ray_the_error_names_the_command_that_installs_it(planned, tiny_config, monkeypatch):
    study, _ = planned
    before = files(study)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra) as caught:
        run_pending(study, tiny_config)
    assert caught.value.message == "The executor 'ray' needs the package 'ray', which is not installed."
    assert caught.value.hint == 'Install it with: pip install "mixlaw[ray]"'
    assert files(study) == before


def test_where_nothing_is_to_be_trained_no_cluster_is_needed(planned, tiny_config, monkeypatch):
    study, _ = planned
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_pending(study, tiny_config, specs=[]) == []


def test_an_address_where_nothing_listens_is_one_error_at_once_and_the_study_is_as_it_was(planned, tiny_config):
    pytest.importorskip("ray")
    study, _ = planned
    before, began = files(study), time.monotonic()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StudyError, match=f"No Ray cluster answers at {address}: .*refused.*executor.address"):
        run_pending(study, tiny_config, options=RayOptions(address))
    assert time.monotonic() - began < 5 and files(study) == before


def test_something_that_is_no_cluster_is_given_up_within_the_limit(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(ray_cluster, "ANSWER_WITHIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=server.accept, daemon=True).start()
        with pytest.raises(StudyError) as caught, ray_cluster.connected(address):
            pass
    assert "nothing came within 0.5 s. Is this machine a node of it?" in str(caught.value)
    assert f"`ray start --address={address} --num-cpus=0`" in caught.value.hint


def test_without_a_cluster_on_this_machine_auto_says_so(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said = subprocess.CompletedProcess(
        [], 1, "", "\nConnectionError: Could not find any running Ray instance. Please\n"
    )
    monkeypatch.setattr(ray_cluster.subprocess, "run", lambda *args, **kwargs: said)
    with pytest.raises(StudyError, match="at address 'auto': ConnectionError: Could not find any"):
        ray_cluster._require_answer("auto")


def test_an_address_of_the_jobs_api_in_the_environment_is_explained(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS is http://127.0.0.1:8265, .*Unset it"):
        ray_cluster._require_answer("auto")


def test_nodes_hold_as_many_runs_as_their_scarcest_resource_allows():
    cluster = Nodes({"CPU": 8.0, "GPU": 2.0}, {"CPU": 3.0})
    assert ray_cluster.wanted_resources(cluster, 1, None, {}) == {"CPU": 1.0, "GPU": 1.0}
    assert ray_cluster.wanted_resources(Nodes({"CPU": 3.0}), 2, None, {"x": 1.0}) == {"CPU": 2.0, "x": 1.0}
    assert ray_cluster.capacity(cluster, {"CPU": 1.0}) == 11
    assert ray_cluster.capacity(cluster, {"CPU": 1.0, "GPU": 0.1}) == 8
    assert ray_cluster.capacity(cluster, {"CPU": 1.0, "GPU": 0.3}) == 6
    assert ray_cluster.capacity(cluster, {"CPU": 3.0}) == 3
    # Two GPUs for one run must be on one node.
    assert ray_cluster.capacity(Nodes({"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}), {"GPU": 2.0}) == 0


def test_a_cluster_that_can_hold_no_run_is_described():
    cluster = Nodes({"CPU": 4.0, "node:10.0.0.1": 1.0, "memory": 1e9}, {"CPU": 0.0, "tpu": 1.0})
    assert "needs 1 CPU, 1 GPU; the nodes have n0: 4 CPU, 0 GPU; n1: 0 CPU, 0 GPU, 1 tpu." in str(
        ray_cluster.too_small(cluster, {"CPU": 1.0, "GPU": 1.0})
    )
    assert "no node left" in str(ray_cluster.too_small(Nodes(), {"CPU": 1.0}))


def test_the_shipped_package_is_the_same_bytes_and_is_imported_from_its_zip(tmp_path):
    package = ray_cluster.package_as_zip()
    assert package == ray_cluster.package_as_zip()
    names = zipfile.ZipFile(io.BytesIO(package)).namelist()
    assert all(name.endswith((".py", "/")) for name in names)
    path = tmp_path / "mixlaw.zip"
    path.write_bytes(package)
    code = (
        "import mixlaw.study.ray_node, mixlaw.train.native, mixlaw.train.command; print(mixlaw.study.ray_node.__file__)"
    )
    code = f"import sys; sys.path.insert(0, {str(path)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith(str(path))


@pytest.mark.parametrize(
    "error", [ConfigError("fact", "remedy"), MissingExtra("peft", "trl", "The trainer 'trl' with LoRA on node x")]
)
def test_an_error_of_another_process_is_that_error_here(error):
    again = as_error(error_json(error))
    assert type(again) is type(error) and str(again) == str(error)
