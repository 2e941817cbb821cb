"""The Slurm executor over a Slurm that is played in this process; tests/e2e/test_slurm.py has a real one."""

import os
import signal
import time

import pytest

from mixlaw.core.documents import write_document
from mixlaw.core.errors import MissingExtra, StudyError
from mixlaw.study import executor_slurm, slurm_arrays, slurm_commands
from mixlaw.study.executor_slurm import run_pending
from mixlaw.study.executors import EXECUTORS, cancel_workers, find_executor, states_of
from mixlaw.study.slurm_arrays import Arrays, deaths, note_start, starts, task_of
from mixlaw.study.slurm_commands import NoAnswer, Task
from mixlaw.study.slurm_script import SlurmOptions
from mixlaw.study.slurm_state import sentence
from mixlaw.study.slurm_task import SlurmTask
from mixlaw.study.store import Study
from mixlaw.study.take import UNATTENDED_AFTER_S, some_unattended
from tiny_training import make_config, make_specs


class PlayedSlurm:
    """Takes every array; what it says of them is what the test sets."""

    def __init__(self, monkeypatch):
        self.submitted, self.cancelled, self.answer = [], [], lambda names: []
        self.on_submit = lambda number: None
        monkeypatch.setattr(slurm_commands, "require_commands", lambda: None)
        monkeypatch.setattr(slurm_commands, "submit", self._submit)
        monkeypatch.setattr(slurm_commands, "tasks_of", lambda names: self.answer(names))
        monkeypatch.setattr(slurm_commands, "ended_tasks", lambda numbers: [])
        monkeypatch.setattr(slurm_commands, "cancel", self.cancelled.append)
        for name in ("_LOOK_EVERY_S", "_ASK_EVERY_S", "_GONE_AFTER_S"):
            monkeypatch.setattr(executor_slurm, name, 0.0)

    def _submit(self, script):
        self.submitted.append(script.read_text())
        self.on_submit(len(self.submitted))
        return str(len(self.submitted))


@pytest.fixture
def slurm(monkeypatch):
    return PlayedSlurm(monkeypatch)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def study(tmp_path, config):
    study = Study(tmp_path / "study")
    study.save_plan(make_specs(config))
    return study


def test_jobs_that_vanish_are_sent_again_twice_and_then_are_one_error(slurm, study, config):
    events = []
    with pytest.raises(StudyError, match=r"ended without training 'run-400'; the last words: they wrote no log"):
        run_pending(study, config, on_event=events.append)
    assert len(slurm.submitted) == 1 + executor_slurm.FRUITLESS_ALLOWED
    assert {status.state for status in study.status()} == {"pending"}
    assert next(event.reason for event in events if event.kind == "workers") == "submitted Slurm array 1"


def test_the_workers_own_reason_is_the_error_at_once(slurm, study, config):
    def fatal(number):
        name = Arrays(study).all()[-1].name
        error = {"code": "missing_extra", "message": "training needs the package 'torch', which is", "hint": "[train]"}
        said = {"task": f"{number}_0", "node": "n1", "restart": 0, "clock": time.time(), "fatal": error}
        path = Arrays(study).task_path(name, f"{number}_0")
        path.parent.mkdir()
        write_document(path, "slurm_task", said)

    slurm.on_submit = fatal
    with pytest.raises(MissingExtra, match="torch"):
        run_pending(study, config)
    assert len(slurm.submitted) == 1


def test_a_slurm_that_does_not_answer_is_waited_for_and_gets_no_second_array(slurm, study, config):
    answers, events = [], []

    def answer(names):
        answers.append(names)
        if len(answers) == 2:
            raise NoAnswer("Unable to contact slurm controller.")
        if len(answers) == 4:
            for spec in study.load_plan():
                study.run_folder(spec).mkdir(parents=True, exist_ok=True)
                study.fail(spec, StudyError("enough"), retry=False)
        return [Task("1_0", "RUNNING", "", "n1", names[0])] if names else []

    slurm.answer = answer
    statuses = run_pending(study, config, on_event=events.append)
    assert {status.reason for status in statuses} == {"enough"} and len(slurm.submitted) == 1
    assert any("Slurm does not answer: Unable to contact" in event.reason for event in events)
    assert [event.kind for event in events].count("failed") == 2


def test_a_node_whose_clock_is_far_off_is_named(slurm, study, config):
    events = []

    def off(number):
        path = Arrays(study).task_path(Arrays(study).all()[-1].name, f"{number}_0")
        path.parent.mkdir()
        write_document(path, "slurm_task", {"task": "1_0", "node": "n7", "restart": 0, "clock": time.time() - 200})

    slurm.on_submit = off
    with pytest.raises(StudyError):
        run_pending(study, config, on_event=events.append)
    said = [event.reason for event in events if "n7" in event.reason]
    assert len(said) == 3 and "The clock of node n7 is 200 s behind" in said[0] and "chrony" in said[0]


def test_what_was_submitted_is_known_by_its_name_even_where_sbatch_never_came_back(slurm, study, config, monkeypatch):
    def lost(script):
        raise NoAnswer("sbatch did not answer within 60 s.")

    monkeypatch.setattr(slurm_commands, "submit", lost)
    arrays = Arrays(study)
    with pytest.raises(StudyError, match="did not answer"):
        arrays.submit(SlurmOptions(), study.load_plan(), None, None)
    (array,) = arrays.all()
    assert array.number == "" and (arrays.folder / f"{array.name}.sh").is_file()
    slurm.answer = lambda names: [Task("9_0", "PENDING", "Priority", "", name) for name in names]
    assert arrays.cancel() == 1 and slurm.cancelled == [[array.name]]


def test_the_runs_that_were_asked_for_are_all_that_the_workers_may_train(slurm, study, config):
    specs = study.load_plan()
    with pytest.raises(StudyError):
        run_pending(study, config, specs=specs[:1])
    array = Arrays(study).all()[0]
    assert array.runs == (specs[0].name,) and array.covers(specs[:1]) and not array.covers(specs)


def test_a_run_that_has_lost_three_workers_fails_and_one_that_was_left_on_purpose_does_not(slurm, study, config):
    lost, left = specs = study.load_plan()
    job = SlurmTask(study, "mixlaw-x")
    job.specs = {spec.name: spec for spec in specs}
    for spec, ends in ((lost, ()), (left, ("left",))):
        study.run_folder(spec).mkdir(parents=True)
        for _ in range(1 + slurm_arrays.DEATHS_ALLOWED):
            for event in ("started", *ends):
                note_start(study.run_folder(spec), task="1_0", event=event)
    assert deaths(study.run_folder(lost)) == 3 and deaths(study.run_folder(left)) == 0
    job._give_up_deadly(specs)
    assert [status.state for status in study.status()] == ["failed", "pending"]
    failure = study.failure(lost)
    assert failure is not None and "was lost 3 times" in failure["message"] and failure["retry"]
    # Somebody asks for it again: it begins with a clean slate.
    with pytest.raises(StudyError):
        run_pending(study, config)
    assert starts(study.run_folder(lost)) == []


@pytest.mark.parametrize(
    ("limit_s", "took_s", "earlier", "fails"),
    [(3600, 3500, 0, True), (3600, 100, 0, False), (None, 3500, 0, False), (None, 3500, 2, True)],
)
def test_a_run_that_had_all_of_a_job_s_time_and_did_not_end_fits_into_none(
    slurm, study, config, limit_s, took_s, earlier, fails
):
    spec = study.load_plan()[0]
    job = SlurmTask(study, "mixlaw-x")
    job.specs, job.runs_begun, job.limit_s = {spec.name: spec}, 1, limit_s
    job.began = time.monotonic() - took_s
    study.run_folder(spec).mkdir(parents=True)
    for _ in range(earlier):
        note_start(study.run_folder(spec), task="1_0", event="left", limited=True)
    job.end(signal.SIGUSR1, None)
    job._left(spec.name)
    failure = study.failure(spec)
    assert (failure is not None) == fails
    assert failure is None or "takes longer than the time limit of a job" in failure["message"]


def test_a_job_that_is_ended_for_good_after_its_warning_does_not_ask_for_another_turn(slurm, study, monkeypatch):
    asked = []
    monkeypatch.setattr(slurm_commands, "requeue", lambda task: asked.append(task) or "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    specs, job = study.load_plan(), SlurmTask(study, "mixlaw-x")
    job.end(signal.SIGUSR1, None)
    assert job._leave(specs) == 0 and asked == [job.id]
    job.end(signal.SIGTERM, None)
    assert job._leave(specs) == 128 + signal.SIGTERM and len(asked) == 1
    monkeypatch.setattr(slurm_commands, "requeue", lambda task: "Requeue is disabled.")
    job.asked = signal.SIGUSR1
    assert job._leave(specs) == 1


def test_a_worker_waits_for_a_lease_that_nobody_has_touched_for_a_while(study):
    spec = study.load_plan()[0]
    lease = study.claim(spec)
    assert lease is not None
    assert not some_unattended(study, [spec])
    quiet = study.now() - UNATTENDED_AFTER_S - 5
    os.utime(lease.path, (quiet, quiet))
    assert some_unattended(study, [spec])
    long_gone = study.now() - 3600
    os.utime(lease.path, (long_gone, long_gone))
    assert not some_unattended(study, [spec])  # it is stale: its run is pending


def test_the_states_of_jobs_are_one_sentence_with_the_remedy_of_those_that_will_never_start(slurm, study, config):
    with pytest.raises(StudyError):
        run_pending(study, config)
    array = Arrays(study).all()[0]
    tasks = [
        *(Task(f"1_{i}", "RUNNING", "", "n1", array.name) for i in range(2)),
        Task("1_2", "PENDING", "QOSMaxGRESPerJob", "", array.name),
        Task("1_3", "OUT_OF_MEMORY", "", "n1", array.name),
        Task("1_4", "COMPLETED", "", "n1", array.name),
    ]
    said = sentence(array, tasks)
    assert said.startswith("Slurm array 1: 2 at work, 1 waiting (QOSMaxGRESPerJob), 1 ended as OUT_OF_MEMORY. A limit")
    assert sentence(array, tasks[-1:]) == ""
    spec = study.load_plan()[0]
    note_start(study.run_folder(spec).parent, task="x", event="started")  # a stray file is no run's
    study.run_folder(spec).mkdir(parents=True, exist_ok=True)
    note_start(study.run_folder(spec), task="1_1", event="started", node="n1")
    slurm.answer = lambda names: tasks
    (workers,) = states_of(study)
    assert workers.of_run == {spec.name: "job 1_1 on n1"} and task_of(study, spec) is not None
    slurm.answer = lambda names: (_ for _ in ()).throw(NoAnswer("no."))
    assert states_of(study)[0].notes == ("Slurm does not answer: no.",)


def test_every_executor_has_the_same_verbs_and_only_slurm_has_workers_of_its_own(study):
    for kind in EXECUTORS:
        made = find_executor(kind)({})
        assert made.state(study) is None and made.cancel(study) is None
        assert made.at_once(3) == 3
    with pytest.raises(StudyError, match="no workers that go on by themselves"):
        cancel_workers([study])
