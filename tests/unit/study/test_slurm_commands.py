"""What Slurm answers is read as it means it, and what it refuses comes with its own words and a remedy."""

import os

import pytest

from mixlaw.core.errors import StudyError
from mixlaw.study import slurm_commands
from mixlaw.study.slurm_commands import NoAnswer, Task, ended_tasks, read_sacct, read_squeue, submit, tasks_of


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that puts a program of a name on the PATH, which prints and exits as it is told."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, out="", err="", code=0):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{out}\nEND\n/bin/cat >&2 <<'END'\n{err}\nEND\nexit {code}\n")
        path.chmod(0o755)

    for name in slurm_commands.NEEDED:
        put(name)
    return put


def test_jobs_of_other_names_in_squeues_answer_are_not_ours():
    text = "12_0|RUNNING|None|n1|mixlaw-a\n12_1|PENDING|Resources||mixlaw-a\n13|RUNNING|None|n2|other\nnonsense\n"
    assert read_squeue(text, ["mixlaw-a"]) == [
        Task("12_0", "RUNNING", "", "n1", "mixlaw-a"),
        Task("12_1", "PENDING", "Resources", "", "mixlaw-a"),
    ]


def test_the_accountings_steps_and_other_jobs_are_left_out_and_exit_codes_said():
    text = (
        "12_0|COMPLETED|0:0|n1\n12_0.batch|COMPLETED|0:0|n1\n12_1|CANCELLED by 1000|0:15|n2\n"
        "12_2|OUT_OF_MEMORY|0:125|n1\n12_[3-5]|PENDING|0:0|None assigned\n14|FAILED|1:0|n1\n"
    )
    found = {task.id: (task.state, task.reason, task.node) for task in read_sacct(text)}
    assert found["12_1"] == ("CANCELLED", "exit status 0:15", "n2") and found["12_0"] == ("COMPLETED", "", "n1")
    assert found["12_2"] == ("OUT_OF_MEMORY", "exit status 0:125", "n1") and "14" not in found
    assert found["12_[3-5]"] == ("PENDING", "", "")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("Invalid partition name specified", "executor.partition"),
        ("Invalid account or account/partition combination specified", "sacctmgr show associations"),
        ("Invalid qos specification", "executor.sbatch.qos"),
        (
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            "until your other jobs have ended",
        ),
        ("Invalid job array specification", "executor.max_parallel"),
        ("Invalid generic resource (gres) specification", "executor.gpus_per_run"),
        ("Invalid --time specification", "04:00:00"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "Lower executor.time"),
        ("Memory specification can not be satisfied", "executor.sbatch.mem"),
        ("CPU count per node can not be satisfied", "executor.cpus_per_run"),
        ("Requested node configuration is not available", "fewer nodes"),
        ("unrecognized option '--bogus'", "Correct executor.sbatch"),
        ("Unable to contact slurm controller (connect failure)", "scontrol ping"),
        ("a sentence of a plug-in", "man sbatch"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_words_with_a_remedy(tmp_path, commands, words, remedy):
    commands("sbatch", err=f"sbatch: error: Batch job submission failed: {words}\nTry 'sbatch --help'", code=1)
    with pytest.raises(StudyError) as caught:
        submit(tmp_path / "script.sh")
    assert words in caught.value.message and remedy in caught.value.hint
    assert caught.value.message.startswith("Slurm refuses the workers: Batch job submission failed:")


def test_a_number_is_returned_also_with_the_name_of_a_cluster(tmp_path, commands):
    commands("sbatch", out="1234;big")
    assert submit(tmp_path / "script.sh") == "1234"
    commands("sbatch", out="Submitted batch job")
    with pytest.raises(StudyError, match="sbatch printed 'Submitted batch job'"):
        submit(tmp_path / "script.sh")


def test_without_slurm_the_command_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for use in (lambda: submit(tmp_path / "x"), lambda: tasks_of(["a"]), lambda: slurm_commands.cancel(["a"])):
        with pytest.raises(StudyError, match=r"this machine has no command sbatch\. Run .* on a login node"):
            use()
    assert ended_tasks(["1"]) == []


def test_a_controller_that_does_not_answer_is_no_end_of_any_job(commands):
    commands("squeue", err="slurm_load_jobs error: Unable to contact slurm controller (connect failure)", code=1)
    with pytest.raises(NoAnswer, match="Unable to contact slurm controller"):
        tasks_of(["a"])
    commands("sacct", err="Slurm accounting storage is disabled", code=1)
    assert ended_tasks(["1"]) == []


def test_a_user_s_own_format_of_squeue_changes_nothing(commands, monkeypatch, tmp_path):
    monkeypatch.setenv("SQUEUE_FORMAT", "%j")
    (tmp_path / "squeue").write_text('#!/bin/sh\necho "1_0|RUNNING|None|n1|a${SQUEUE_FORMAT}"\n')
    assert [task.id for task in tasks_of(["a"])] == ["1_0"] and os.environ["SQUEUE_FORMAT"] == "%j"


def test_only_reasons_that_no_waiting_ends_have_a_remedy():
    waiting = {reason: Task("1_0", "PENDING", reason).remedy for reason in ("Resources", "Priority", "JobHeldUser")}
    assert not any(waiting.values())
    assert "executor.time" in Task("1_0", "PENDING", "PartitionTimeLimit").remedy
    assert "limit of your account" in Task("1_0", "PENDING", "QOSMaxGRESPerJob").remedy
    assert not Task("1_0", "RUNNING", "PartitionTimeLimit").remedy
