"""Run lists of Weights & Biases (a stand-in with the documented attributes) and of MLflow (the package itself)."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.trackers.run_lists import fetch_runs, is_run_list


class Summary:
    """A mapping that is no dict, as `run.summary` is."""

    def __init__(self, values):
        self.values = values

    def items(self):
        return [(key, Summary(value) if isinstance(value, dict) else value) for key, value in self.values.items()]


def run(name, summary, state="finished", config=None):
    return SimpleNamespace(name=name, id=f"id-{name}", state=state, config=config or {}, summary=Summary(summary))


@pytest.fixture
def wandb(monkeypatch):
    """A package with `Api().runs(path, filters=...)`; `answer` is what it returns or raises."""
    package = ModuleType("wandb")
    package.__spec__ = ModuleSpec("wandb", None, origin="stand-in")
    comm = type("CommError", (Exception,), {})
    package.errors = SimpleNamespace(UsageError=type("UsageError", (Exception,), {}), CommError=comm)
    package.asked, package.answer = [], []

    class Api:
        def runs(self, path, filters=None, lazy=True):
            package.asked.append((path, filters, lazy))
            if isinstance(package.answer, Exception):
                raise package.answer
            return iter(package.answer)

    package.Api = Api
    monkeypatch.setitem(sys.modules, "wandb", package)
    return package


def test_sources_are_told_from_files():
    assert is_run_list("wandb:team/mixes") and is_run_list("mlflow:mixes")
    assert not is_run_list("wandb.csv") and not is_run_list({"run": []})


def test_a_wandb_project_becomes_columns(wandb):
    wandb.answer = [
        run("base", {"eval/loss": 1.5, "_step": 3, "nested": {"loss": 2}}, config={"optim": {"lr": 1e-3}}),
        run("fill-1", {"eval/loss": 1.25, "run": 7, "table": [1, 2]}, config={"seed": 3}),
        run("fill-2", {"eval/loss": 9.0}, state="running"),
    ]
    found = fetch_runs("wandb:team/mixes")
    assert found.columns == {
        "run": ["base", "fill-1"],
        "eval/loss": [1.5, 1.25],
        "nested.loss": [2, None],
        "config.optim.lr": [1e-3, None],
        "config.seed": [None, 3],
    }
    assert list(found.columns)[:2] == ["run", "eval/loss"]
    assert found.places == ["team/mixes/id-base", "team/mixes/id-fill-1"] and found.unfinished == 1
    assert wandb.asked == [("team/mixes", {}, False)]


def test_a_wandb_project_is_narrowed(wandb):
    wandb.answer = [run("base", {"l": 1.0})]
    fetch_runs("wandb:team/mixes?group=june&tag=keep&job_type=proxy")
    assert wandb.asked[0][1] == {"group": "june", "tags": {"$in": ["keep"]}, "jobType": "proxy"}
    with pytest.raises(ConfigError, match=r"no filter 'grp'.*Known: group, tag, job_type"):
        fetch_runs("wandb:team/mixes?grp=june")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([], "wandb:team/mixes has no runs"),
        ([run("base", {}, state="crashed")], "None of the 1 runs of wandb:team/mixes is finished"),
        (ValueError("Could not find project mixes"), "no project team/mixes.*Check both names"),
        ("UsageError", "not logged in to Weights & Biases. Run `wandb login`"),
        ("CommError", "cannot be reached for team/mixes: none configured"),
    ],
)
def test_what_wandb_cannot_give_is_one_error(wandb, answer, said):
    wandb.answer = getattr(wandb.errors, answer)("none\nconfigured") if isinstance(answer, str) else answer
    with pytest.raises(DataError, match=said):
        fetch_runs("wandb:team/mixes")


@pytest.mark.parametrize("source", ["wandb:", "wandb:mixes", "wandb:a/b/c", "mlflow:"])
def test_a_malformed_source_is_said(source):
    with pytest.raises(ConfigError, match=r"Write (wandb|mlflow):"):
        fetch_runs(source)


@pytest.mark.parametrize("source", ["wandb:team/mixes", "mlflow:mixes"])
def test_a_missing_package_is_said(source, monkeypatch):
    monkeypatch.setattr("mixlaw.trackers.tracker.find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match=r'pip install "mixlaw\[(wandb|mlflow)\]"'):
        fetch_runs(source)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The address of a SQLite store with three runs, one of them at work; and the client."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("me@home/mixes")
    for name, loss in (("base", 1.5), ("fill-1", 1.25), ("fill-2", 9.0)):
        there = client.create_run(experiment, run_name=name).info.run_id
        client.log_metric(there, "loss/code", loss)
        client.log_param(there, "optim.lr", 1e-3)
        if name != "fill-2":
            client.set_terminated(there)
    client.create_experiment("empty")
    return uri


def test_an_mlflow_experiment_becomes_columns(store, monkeypatch):
    found = fetch_runs(f"mlflow:me@home/mixes@{store}")
    assert dict(zip(found.columns["run"], found.columns["loss/code"], strict=True)) == {"base": 1.5, "fill-1": 1.25}
    assert found.columns["params.optim.lr"] == ["0.001"] * 2 and found.unfinished == 1
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI is not set"):
        fetch_runs("mlflow:me@home/mixes")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert fetch_runs("mlflow:me@home/mixes") == found


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mlflow:mixs@{}", "has no experiment 'mixs'.*Known: .*'me@home/mixes'"),
        ("mlflow:empty@{}", "has no runs"),
        ("mlflow:empty@{}x", "There is no MLflow store at .*mlflow.dbx"),
        ("mlflow:empty@nosuch://server", "cannot be reached"),
    ],
)
def test_what_mlflow_cannot_give_is_one_error(store, source, said):
    with pytest.raises(DataError, match=said):
        fetch_runs(source.format(store))
