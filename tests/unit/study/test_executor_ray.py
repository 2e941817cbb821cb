"""The Ray executor over a Ray that is played in this process: tasks are generators, objects are themselves."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from mixlaw.core.errors import ConfigError, MissingExtra, RunFailed, StudyError
from mixlaw.core.run import RunRecord, TargetLoss
from mixlaw.study import executor_ray, ray_cluster, ray_inputs, ray_node
from mixlaw.study.executor_ray import RayOptions, run_pending
from mixlaw.study.ray_inputs import Folder
from mixlaw.study.store import Study
from tiny_training import make_specs

ray_exceptions = pytest.importorskip("ray.exceptions")
NODE_WITH_ONE_CORE = {"Alive": True, "Resources": {"CPU": 1.0}, "NodeManagerHostname": "n0"}


class PlayedRay:
    """Runs a task's next step when it is waited for; `lose` tells which steps die with their node."""

    exceptions = ray_exceptions

    def __init__(self, lose=lambda run, step: False):
        self.lose, self.news, self.cancelled, self.killed = lose, [], [], 0
        self.alive = [NODE_WITH_ONE_CORE]
        self.options, self.jobs = {}, []

    def nodes(self):
        return self.alive

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "0" * 56)

    def remote(self, **options):
        def made(what):
            if isinstance(what, type):
                board = SimpleNamespace(take=SimpleNamespace(remote=lambda: self.news))
                return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: board))
            self.options = options
            return SimpleNamespace(remote=self._task)

        return made

    def _task(self, package, job, board):
        self.jobs.append(json.loads(json.dumps({**job, "inputs": [i["packed"] is not None for i in job["inputs"]]})))

        def tell(*item):
            self.news.append(item)

        def steps():
            for step, message in enumerate(ray_node.train_on_node(job, lambda value: value, tell)):
                if self.lose(job["spec"]["name"], step):
                    yield ray_exceptions.NodeDiedError("its node is gone")
                    return
                yield message

        return steps()

    def wait(self, waited, num_returns, timeout):
        if self.news and waited[-1] is self.news:
            self.news, news = [], self.news
            waited[-1][:] = news
            return [waited[-1]], waited[:-1]
        return waited[:1], waited[1:]

    def get(self, value):
        if isinstance(value, Exception):
            raise value
        return value

    def put(self, value):
        return value

    def cancel(self, task, force):
        self.cancelled.append(task)

    def kill(self, actor):
        self.killed += 1


@pytest.fixture
def played(monkeypatch, tmp_path):
    ray = PlayedRay()

    class Connection:
        def __init__(self, address):
            self.address = address

        def __enter__(self):
            return ray

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(ray_cluster, "connected", Connection)
    monkeypatch.setattr(ray_node, "node_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(ray_node, "PROGRESS_EVERY_S", 0.0)
    ray_node._built.clear()
    return ray


class Stub:
    """A trainer without a model: what a run leaves, or how it ends, is told by its name."""

    timing = {"train_s": 1.0}  # noqa: RUF012

    def __init__(self, endings):
        self.endings = endings

    def run(self, spec, *, folder, progress=None):
        progress(1, 2, 3.5)
        (folder / "input").mkdir()
        (folder / "input" / "train.jsonl").write_text("as large as the data")
        (folder / "command.log").write_text(f"{spec.name} printed this")
        if spec.keep_model:
            (folder / "model").mkdir()
            (folder / "model" / "config.json").write_text("{}")
            (folder / "model" / "model.safetensors").write_bytes(bytes(1000))
        if spec.name in self.endings:
            raise self.endings[spec.name](folder)
        losses = {"code": TargetLoss(2.0, 4)}
        return RunRecord(spec, spec.tokens, spec.tokens, spec.tokens, losses, 2, 7)


def stubbed(monkeypatch, **endings):
    monkeypatch.setattr(ray_node, "_trainer", lambda config: Stub({f"run-{n[1:]}": e for n, e in endings.items()}))


def test_real_runs_give_the_local_executors_records_and_every_event(played, planned, tiny_config):
    study, specs = planned
    events = []
    statuses = run_pending(study, tiny_config, on_event=events.append)
    assert [status.state for status in statuses] == ["done", "done"]
    for spec in specs:
        alone = tiny_config.build().run(spec, folder=study.run_folder(spec))
        assert study.record(spec) == alone
        timing = json.loads((study.run_folder(spec) / "timing.json").read_text())
        assert timing["executor"] == "ray" and timing["wall_s"] > 0
        assert not (study.run_folder(spec) / "lease.json").exists()
    kinds = [event.kind for event in events]
    assert kinds[0] == "workers" and kinds.count("started") == kinds.count("finished") == 2 and "progress" in kinds
    assert next(event.run for event in events if event.kind == "started") == specs[1].name, "longest first"
    assert events[-1].runs_done == 2
    variables = played.options["runtime_env"]["env_vars"]
    assert variables["OMP_NUM_THREADS"] == "1" and played.options["num_gpus"] == 0 and played.killed == 1
    # Again: nothing is missing, so nothing is asked of the cluster.
    assert run_pending(study, tiny_config, on_event=lambda event: pytest.fail(event.kind)) == statuses


def test_inputs_are_packed_only_when_a_node_lacks_them(played, planned, tiny_config, monkeypatch):
    study, specs = planned
    run_pending(study, tiny_config, specs=specs[:1])
    assert [any(job["inputs"]) for job in played.jobs] == [False]
    monkeypatch.setattr(Folder, "is_here", lambda self: False)
    run_pending(study, tiny_config, specs=specs[1:])
    assert [any(job["inputs"]) for job in played.jobs] == [False, False, True]
    assert study.record(specs[1]) == tiny_config.build().run(specs[1], folder=study.run_folder(specs[1]))


def test_a_lost_task_is_submitted_again_and_given_up_after_the_retries(played, planned, tiny_config, monkeypatch):
    study, specs = planned
    stubbed(monkeypatch)
    lost = {specs[0].name: 1, specs[1].name: 9}

    def lose(run, step):
        lost[run] -= step == 1
        return step == 1 and lost[run] >= 0

    played.lose = lose
    events = []
    statuses = run_pending(study, tiny_config, on_event=events.append, options=RayOptions(max_retries=2))
    assert [status.state for status in statuses] == ["done", "failed"]
    assert "was lost 3 times; the last: lost on node" in statuses[1].reason and "NodeDiedError" in statuses[1].reason
    retried = [event.run for event in events if event.kind == "retry"]
    assert sorted(retried) == [specs[0].name, specs[1].name, specs[1].name]
    assert not list(study.runs_folder.glob("*/incoming"))
    # It was lost, so the next sweep tries it again.
    lost[specs[1].name] = 0
    assert [status.state for status in run_pending(study, tiny_config)] == ["done", "done"]


def test_a_failed_run_is_a_result_and_is_not_tried_again(played, planned, tiny_config, monkeypatch):
    study, specs = planned

    def diverged(folder):
        return RunFailed(f"Run diverged, see {folder}/command.log.", "Lower the rate.")

    stubbed(monkeypatch, _400=diverged, _800=lambda folder: KeyError("bug"))
    events = []
    statuses = run_pending(study, tiny_config, on_event=events.append)
    assert [status.state for status in statuses] == ["failed", "failed"]
    own = study.run_folder(specs[0])
    assert f"see {own}/command.log. Lower the rate." in statuses[0].reason
    assert (own / "command.log").read_text() == "run-400 printed this"
    assert "KeyError: 'bug'" in statuses[1].reason
    assert [event.kind for event in events].count("retry") == 0 and len(played.jobs) == 2
    stubbed(monkeypatch)
    # A divergence would come again; a bug may be gone; and on demand both are tried.
    assert [status.state for status in run_pending(study, tiny_config)] == ["failed", "done"]
    assert [status.state for status in run_pending(study, tiny_config, retry_failed=True)] == ["done", "done"]


def test_a_kept_model_and_logs_come_back_and_what_the_run_was_given_does_not(played, planned, tiny_config, monkeypatch):
    study, specs = planned
    kept = [dataclasses.replace(spec, keep_model=True) for spec in specs]
    study.save_plan(kept)
    stubbed(monkeypatch)
    monkeypatch.setattr(ray_node, "batches", lambda base, names: ray_inputs.batches(base, names, 64))
    run_pending(study, tiny_config)
    model = study.model_folder(kept[0])
    assert model is not None and (model / "model.safetensors").read_bytes() == bytes(1000)
    names = {path.name for path in study.run_folder(kept[0]).iterdir()}
    assert names == {"spec.json", "record.json", "timing.json", "command.log", "metrics.jsonl", "model"}


def test_a_node_that_cannot_train_ends_the_sweep_with_one_error_that_names_it(
    played, planned, tiny_config, monkeypatch
):
    study, specs = planned
    for raised, message in (
        (MissingExtra("torch", "train", "Training"), "Training on node .* needs the package 'torch'.*mixlaw.train"),
        (ConfigError("The model cannot be loaded.", "Correct it."), "Node .*: The model cannot be loaded. Correct it."),
        (ImportError("libcudart"), "Node .*: ImportError: libcudart"),
    ):

        def broken(config, raised=raised):
            raise raised

        monkeypatch.setattr(ray_node, "_trainer", broken)
        with pytest.raises(Exception, match=message):
            run_pending(study, tiny_config)
        assert [status.state for status in study.status(specs)] == ["pending", "pending"]


def test_an_interrupt_cancels_the_tasks_and_frees_their_runs(played, planned, tiny_config, monkeypatch):
    study, specs = planned
    stubbed(monkeypatch)

    def interrupt(event):
        if event.kind == "started":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pending(study, tiny_config, on_event=interrupt)
    assert [status.state for status in study.status(specs)] == ["pending", "pending"]
    assert len(played.cancelled) == 2 and played.killed == 1


def test_a_cluster_without_room_for_a_run_is_an_error_at_once_and_one_that_lost_its_nodes_after_a_while(
    played, planned, tiny_config, monkeypatch
):
    study, specs = planned
    stubbed(monkeypatch)
    with pytest.raises(StudyError, match="needs 1 CPU, 2 GPU"):
        run_pending(study, tiny_config, options=RayOptions(gpus_per_run=2))
    monkeypatch.setattr(executor_ray, "_LOST_WAIT_S", 0.1)
    monkeypatch.setattr(executor_ray, "_LOOK_EVERY_S", 0.05)

    def lose_all(event):
        played.alive = []
        played.wait = lambda waited, num_returns, timeout: ([], waited)

    with pytest.raises(StudyError, match="no node left"):
        run_pending(study, tiny_config, on_event=lose_all, options=RayOptions(wait_for_nodes_s=0.1))
    assert [status.state for status in study.status(specs)] == ["pending", "pending"]


def test_what_a_killed_run_has_left_on_a_node_goes_with_the_next_run(tmp_path):
    runs = tmp_path / "runs"
    (runs / "run-killed").mkdir(parents=True)
    (runs / "run-killed" / ".lock").touch()
    (runs / "run-killed" / "model.safetensors").write_bytes(bytes(1000))
    with ray_node.run_folder(runs) as first, ray_node.run_folder(runs) as second:
        assert first != second and first.is_dir() and second.is_dir()
        assert not (runs / "run-killed").exists()
    assert [path.name for path in runs.iterdir()] == ["lock"]


def test_workers_limit_the_runs_that_are_with_the_cluster(played, tiny_config, tmp_path, monkeypatch):
    study = Study(tmp_path / "study")
    specs = make_specs(tiny_config, (400, 500, 600))
    study.save_plan(specs)
    stubbed(monkeypatch)
    most = []
    claim = Study.claim

    def counted(self, spec):
        most.append(sum(status.state == "running" for status in self.status(specs)) + 1)
        return claim(self, spec)

    monkeypatch.setattr(Study, "claim", counted)
    run_pending(study, tiny_config, workers=1)
    assert most == [1, 1, 1]
