"""How long runs will take: from a probe before the first, from their own times after."""

from types import SimpleNamespace

import numpy as np
import pytest

from mixlaw.api import minutes
from mixlaw.config import parse_config
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss
from mixlaw.study.executor_local import worker_environment
from mixlaw.study.probe import probe, typical
from mixlaw.study.store import Study
from mixlaw.train.pace import Pace, by_short_runs, evenly, timed
from tiny_training import make_config, make_specs

TREE = {"study": "s", "model": {"name_or_path": "m"}, "domains": {"code": {"path": "c"}}, "budget_tokens": "1M"}
PACE = Pace(5.0, 1.0, 1000.0, 2.0)


def test_a_run_takes_what_is_fixed_its_tokens_and_its_evaluations() -> None:
    assert PACE.run_s(10_000) == 1 + 10 + 2
    assert PACE.run_s(10_000, 3) == 1 + 10 + 6
    assert PACE.run_s(0) == 3  # the base model, and a merged one


def test_workers_take_the_longest_run_that_is_left() -> None:
    runs = [(10_000, 1), (9_000, 1), (1_000, 1)]  # 13, 12 and 4 s
    assert PACE.runs_s(runs, 1) == 5 + 29
    assert PACE.runs_s(runs, 2) == 5 + 16
    assert PACE.runs_s(runs, 8) == 5 + 13
    assert PACE.runs_s([], 2) == 0


def test_two_short_runs_tell_what_is_fixed_and_what_a_token_takes(tmp_path, monkeypatch) -> None:
    clock, seen = [0.0], []

    def run(spec, *, folder):
        seen.append(spec.tokens)
        clock[0] += 3 + sum(spec.tokens.values()) / 500

    monkeypatch.setattr("mixlaw.train.pace.now", lambda: np.array([clock[0], clock[0] / 2]))
    wall, cpu = by_short_runs(run, RunSpec("run", {"math": 8_000, "code": 2_000}, 0), tmp_path)
    assert wall.fixed_s == pytest.approx(3) and wall.tokens_per_s == pytest.approx(500)
    assert cpu.tokens_per_s == pytest.approx(1000) and cpu.evaluation_s == 0
    assert seen == [{"math": 400, "code": 100}, {"math": 1200, "code": 300}]


def test_the_first_steps_are_not_timed_and_a_probe_ends() -> None:
    done = []
    _, count = timed(list(range(50)), done.append, 1e9)
    assert count == 48 and done == list(range(50))
    assert timed([0], done.append, 0.0)[1] == 1
    assert timed(list(range(50)), done.append, 0.0)[1] == 1
    assert evenly(100, 5) == [0, 25, 50, 74, 99] and evenly(3, 60) == [0, 1, 2]


@pytest.fixture
def study(tmp_path):
    """A study of the tiny model with a plan and nothing trained."""
    config = make_config(tmp_path)
    specs = make_specs(config, (400, 800, 1200))
    study = Study(tmp_path / "study")
    study.save_plan(specs)
    study.save_trainer(config)
    said = []
    node = parse_config({**TREE, "executor": {"kind": "local", "workers": 2}})
    project = SimpleNamespace(study=study, config=node, trainer_config=config, note=said.append, warn=said.append)
    return SimpleNamespace(study=study, specs=specs, project=project, said=said)


def left(of, ask=True):
    return minutes.seconds_left(of.project, of.specs, of.study.status(of.specs), ask)


def finish(of, spec, **timing):
    of.study.run_folder(spec).mkdir(parents=True)
    losses = {"code": TargetLoss(10.0, 5)}
    record = RunRecord(spec, spec.tokens, spec.tokens, spec.tokens, losses, 3, 100)
    of.study.complete(spec, record, timing)


def test_a_probe_measures_the_trainer_in_as_many_processes_as_will_train(study) -> None:
    assert typical(study.specs).name == "run-800"
    found = probe(study.study, [worker_environment(i, 1, []) for i in range(2)], 300)
    assert found is not None and set(found) == {"wall", "cpu"}
    for pace in found.values():
        assert 0 < pace.start_s < 200 and pace.tokens_per_s > 10 and 0 < pace.evaluation_s < 20


def test_a_probe_that_takes_too_long_or_fails_tells_nothing_and_leaves_no_process(study) -> None:
    assert probe(study.study, [worker_environment(0, 1, [])], 0.2) is None
    study.study.trainer_path.write_text("{}")
    assert probe(study.study, [worker_environment(0, 1, [])], 60) is None


def test_what_a_probe_found_is_kept_for_the_same_machine_and_trainer(study, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(minutes, "probe", lambda *_: asked.append(1) or {"wall": PACE, "cpu": PACE})
    seconds = left(study)
    runs = [(spec.trained_tokens, 1) for spec in study.specs]
    assert seconds == pytest.approx(PACE.runs_s(runs, 2), abs=0.1) and len(asked) == 1
    assert left(study) == seconds and left(study, ask=False) == seconds and len(asked) == 1
    path = study.study.folder / "pace.json"
    kept = read_document(path, "pace")
    write_document(path, "pace", kept | {"identity": kept["identity"] | {"machine": "another one"}})
    assert left(study, ask=False) is None
    left(study)
    assert len(asked) == 2
    path.write_text("{")  # a damaged file is measured again, and said
    assert left(study) == seconds and len(asked) == 3 and any("measured again" in text for text in study.said)


def test_nothing_is_asked_where_the_plan_says_so_or_another_machine_trains(study, monkeypatch) -> None:
    monkeypatch.setattr(minutes, "probe", lambda *_: pytest.fail("asked"))
    for more in ({"plan": {"probe": False}}, {"executor": {"kind": "slurm", "max_parallel": 2}}):
        study.project.config = parse_config(TREE | more)
        assert left(study) is None


def test_finished_runs_tell_more_than_a_probe(study, monkeypatch) -> None:
    monkeypatch.setattr(minutes, "probe", lambda *_: {"wall": PACE, "cpu": PACE})
    left(study)
    finish(study, study.specs[0], wall_s=9.0, train_s=4.0, evaluate_s=3.0)  # 800 tokens
    # Two runs are left, one each worker: 5 s for its start, 2 fixed, 3 of evaluation, 200 tokens/s.
    assert left(study) == pytest.approx(5 + 2 + 3 + study.specs[2].trained_tokens / 200, abs=0.1)


def test_runs_that_tell_their_wall_time_alone_are_proportional(study) -> None:
    study.project.config = parse_config({**TREE, "plan": {"probe": False}, "executor": {"workers": 1}})
    finish(study, study.specs[0], wall_s=8.0)
    tokens = [spec.trained_tokens for spec in study.specs]
    assert left(study) == pytest.approx(8.0 / tokens[0] * (tokens[1] + tokens[2]), abs=0.1)


def test_runs_that_another_program_trained_tell_nothing(study) -> None:
    study.project.config = parse_config({**TREE, "plan": {"probe": False}})
    finish(study, study.specs[0], wall_s=8.0, adopted_from="runs.csv")
    assert left(study) is None


def test_nothing_left_takes_no_time(study) -> None:
    for spec in study.specs:
        finish(study, spec, wall_s=1.0)
    assert left(study) == 0.0
