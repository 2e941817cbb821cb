"""Each tracker's own package is written to and read back; those that are not installed are skipped."""

import json
import sys
import time
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from mixlaw.core.errors import StudyError
from mixlaw.trackers import TRACKERS
from mixlaw.trackers.tracker import LoggedRun, flat
from mixlaw.trackers.trackio import Trackio

CURVE = [(step, {"train/loss": 2.0 / step, "train/tokens": 100.0 * step}) for step in (1, 2, 3)]
CONFIG = {"tokens": {"code": 300}, "train": {"learning_rate": 1e-3, "bf16": "auto"}}
RUN = LoggedRun("ab" * 32, "fill [01]", "support-bot", CONFIG, CURVE, {"loss/code": 1.25, "tokens/a b,c": 300})

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "TRACKIO_DIR", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)


def twice(name, folder):
    """Write the run, then again as after a kill before it was noted."""
    for _ in range(2):
        TRACKERS[name](folder, "support-bot").write(RUN)


def test_nested_configurations_become_dotted_names():
    assert dict(flat(CONFIG)) == {"tokens.code": 300, "train.learning_rate": 1e-3, "train.bf16": "auto"}


def test_tensorboard_reads_the_run_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    twice("tensorboard", tmp_path)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert folder.name == "fill_01_-abababab"
    events = EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/tokens", "loss/code", "tokens/a b,c"}
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [
        (step, pytest.approx(values["train/loss"])) for step, values in CURVE
    ]
    assert [(e.step, e.value) for e in events.Scalars("loss/code")] == [(3, 1.25)]
    text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text) == CONFIG


def test_mlflow_has_the_run_once_in_a_file_of_the_study(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    twice("mlflow", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("support-bot")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "fill [01]" and run.info.status == "FINISHED"
    assert run.data.params["train.learning_rate"] == "0.001"
    assert run.data.metrics["loss/code"] == 1.25 and run.data.metrics["tokens/a b_c"] == 300
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(step, values["train/loss"]) for step, values in CURVE]


def test_wandb_writes_offline_runs_into_the_study(tmp_path):
    pytest.importorskip("wandb")
    TRACKERS["wandb"](tmp_path, "support-bot").write(RUN)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    assert file.name == "run-abababababababab.wandb"
    texts = (b"fill [01]", b"support-bot", b"train/loss", b"loss/code", b"learning_rate")
    deadline = time.monotonic() + 60  # wandb's own process writes the file, a moment after the run was finished
    while not all(text in file.read_bytes() for text in texts) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [text for text in texts if text not in file.read_bytes()] == []


def test_what_trackio_only_warns_of_is_an_error(tmp_path, monkeypatch):
    class Logged:
        def log(self, metrics, step):
            warnings.warn(f"trackio failed to flush metric logs for run 'x': {len(metrics)} lost", stacklevel=1)

    package = SimpleNamespace(init=lambda **options: Logged(), finish=lambda: None)
    tracker = Trackio.__new__(Trackio)
    tracker._trackio, tracker.project = package, "support-bot"
    for _ in range(2):
        with pytest.raises(StudyError, match="trackio failed to flush metric logs"):
            tracker.write(RUN)


def test_trackio_writes_into_the_study(tmp_path):
    if find_spec("trackio") is None or "trackio" in sys.modules:
        pytest.skip("trackio is not installed, or has chosen its folder")
    TRACKERS["trackio"](tmp_path, "support-bot").write(RUN)
    assert (tmp_path / "trackio" / "support-bot.db").is_file()
    import trackio

    (run,) = trackio.Api().runs("support-bot")
    assert run.name == "fill [01]" and run.config["tokens"] == {"code": 300}
    stored = b"".join(path.read_bytes() for path in (tmp_path / "trackio").iterdir())
    assert b"train/loss" in stored and b"loss/code" in stored
