"""The script of an array says what was asked for, and nothing that mixlaw sets can be set twice."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixlaw.core.errors import ConfigError
from mixlaw.study.slurm_script import SlurmOptions, array_size, script, seconds


def written(folder=Path("/s"), **keys):
    options = SlurmOptions(**keys)
    text = script(options, name="mixlaw-s-1", study=folder, logs=folder / "logs", tasks=8, most=options.max_parallel)
    directives = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    return text, directives


def test_every_key_is_an_option_of_sbatch():
    text, directives = written(
        partition="gpu",
        time="04:00:00",
        cpus_per_run=8,
        gpus_per_run=8,
        nodes_per_run=2,
        max_parallel=4,
        setup="module load cuda\nsource env/bin/activate",
        sbatch={"account": "lab", "mem": "64G", "exclusive": True, "comment": 'a "b" c', "overcommit": False},
    )
    assert {"partition=gpu", "time=04:00:00", "cpus-per-task=8", "gres=gpu:4", "nodes=2", "array=0-7%4"} <= set(
        directives
    )
    assert {"requeue", "signal=B:USR1@120", "open-mode=append", "job-name=mixlaw-s-1"} <= set(directives)
    assert {"account=lab", "mem=64G", "exclusive", 'comment="a \\"b\\" c"'} <= set(directives)
    assert not any("overcommit" in line for line in directives)
    assert "output=/s/logs/slurm-%A_%a.log" in directives
    assert text.startswith("#!/bin/bash\n#SBATCH") and "\nmodule load cuda\nsource env/bin/activate\n" in text


def test_the_defaults_ask_for_no_gpu_no_partition_and_no_limit():
    _, directives = written()
    assert not any(line.startswith(("gres", "partition", "time")) for line in directives)
    assert "array=0-7" in directives and "nodes=1" in directives


def test_a_worker_is_warned_in_time_also_when_its_limit_is_short():
    assert "signal=B:USR1@15" in written(time="1")[1] and "signal=B:USR1@120" in written(time="1-00:00:00")[1]


def test_the_script_starts_the_job_with_paths_that_have_spaces(tmp_path):
    folder = tmp_path / "a study's"
    text, _ = written(folder, python=str(tmp_path / "my python"))
    (tmp_path / "my python").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (tmp_path / "my python").chmod(0o755)
    (tmp_path / "script.sh").write_text(text)
    done = subprocess.run(["bash", str(tmp_path / "script.sh")], capture_output=True, text=True)
    assert done.stdout == f"-m|mixlaw.study.slurm_task|{folder}|mixlaw-s-1|"
    assert "PYTHONPATH" not in text and f"exec {sys.executable} -m" in written()[0]


@pytest.mark.parametrize(
    ("time", "expected"),
    [("90", 5400), ("1:30", 90), ("04:00:00", 14400), ("2-0", 172800), ("1-2:30", 95400), ("1-02:03:04", 93784)],
)
def test_times_mean_what_slurm_means_by_them(time, expected):
    assert seconds(time) == expected and SlurmOptions(time=time).limit_s == expected


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sbatch": {"array": "0-3"}}, "Set executor.max_parallel instead"),
        ({"sbatch": {"gpus_per_node": 2}}, "Set executor.gpus_per_run instead"),
        ({"sbatch": {"output": "x"}}, "which mixlaw sets itself. Leave it out"),
        ({"sbatch": {"--account": "x"}}, "Use long options of sbatch"),
        ({"sbatch": {"comment": "a\nb"}}, "more than one line"),
        ({"sbatch": {"gres": "gpu:a100:1"}, "gpus_per_run": 1}, "both ask for GPUs"),
        ({"time": "4h"}, "executor.time is '4h'"),
        ({"partition": "a b"}, "executor.partition is 'a b'"),
        ({"gpus_per_run": 3, "nodes_per_run": 2}, "a multiple of executor.nodes_per_run"),
    ],
)
def test_what_cannot_be_is_one_error(keys, said):
    with pytest.raises(ConfigError) as caught:
        SlurmOptions(**keys)
    assert said in str(caught.value)


def test_an_array_has_a_job_a_run_and_at_most_twice_those_at_once():
    assert array_size(12, None) == 12 and array_size(12, 4) == 8 and array_size(3, 16) == 3
    assert array_size(5000, None) == 1000 and array_size(0, None) == 1
