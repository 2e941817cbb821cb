"""Points along a run: what is averaged, what is counted, and that a kill changes nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.run import RunRecord
from mixlaw.core.runtable import RunTable
from mixlaw.study.one_run import train_once
from mixlaw.study.status import losses_along
from mixlaw.train.points import AVERAGED, problem_of
from tiny_training import make_config, make_specs, save_tiny_llama


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    save_tiny_llama(folder / "model", attention_dropout=0.2)
    return make_config(folder)


@pytest.fixture(scope="module")
def trainer(config):
    return config.build()


@pytest.fixture(scope="module")
def spec(config):
    return replace(make_specs(config, (1500,))[0], points=(0.25, 0.5, 1.0))


@pytest.fixture(scope="module")
def whole(trainer, spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return trainer.run(spec, folder=folder), folder


def test_each_point_is_the_mean_of_the_weights_of_the_steps_before_it(trainer, spec, whole, tmp_path):
    weights, network = [], trainer.lm.network

    def progress(*_):
        weights.append({name: p.detach().clone() for name, p in network.named_parameters()})

    record = trainer.run(spec, folder=tmp_path, progress=progress)
    assert record == whole[0] and len(record.points) == 2
    for point in record.points:
        used = weights[point.steps - max(1, round(AVERAGED * point.steps)) : point.steps]
        for name, weight in network.named_parameters():
            weight.data.copy_(sum(one[name] for one in used) / len(used))
        found = trainer.evaluate()
        assert {n: x.loss_nats for n, x in found.items()} == pytest.approx(
            {n: x.loss_nats for n, x in point.losses.items()}, abs=1e-6
        )


def test_evaluating_on_the_way_moves_nothing_of_the_rest(tiny_config, tmp_path):
    trainer, plain = tiny_config.build(), make_specs(tiny_config, (1500,))[0]
    alone, along = (
        trainer.run(replace(plain, points=points), folder=tmp_path) for points in ((1.0,), (0.25, 0.5, 1.0))
    )
    assert alone.losses == along.losses and alone.points == ()
    assert len({alone.spec.id, along.spec.id, plain.id}) == 3


def test_points_count_what_was_trained_on_until_then(trainer, spec, whole):
    record = whole[0]
    steps = [point.steps for point in record.points] + [record.steps]
    assert steps == [round(share * record.steps) for share in spec.points]
    for domain in spec.tokens:
        for what in ("tokens", "supervised_tokens", "unique_tokens"):
            counts = [getattr(point, what)[domain] for point in (*record.points, record)]
            assert counts == sorted(counts) and counts[0] > 0
    total = sum(record.tokens.values())
    shares = [sum(point.tokens.values()) / total for point in record.points]
    assert shares == pytest.approx([0.25, 0.5], abs=0.1)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(trainer, spec, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLAW_CHECKPOINT_MINUTES", "1e-9")
    record, folder = whole
    ends = [point.steps for point in record.points]
    for kill in (ends[0], ends[1] - 1, ends[1] + 1, record.steps):  # at a point, within and after a mean, at the end

        def progress(step, *_, at=kill):
            if step == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trainer.run(spec, folder=tmp_path, progress=progress)
    assert trainer.run(spec, folder=tmp_path).to_json() == record.to_json()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


def test_a_record_keeps_its_points_and_one_that_lacks_some_is_an_error(whole):
    record = whole[0]
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(DataError, match="1 points along the run, but 3 were planned"):
        RunRecord.from_json({**record.to_json(), "points": record.to_json()["points"][:1]})
    wrong = record.to_json()
    wrong["points"][0]["losses"]["math"]["count"] = 0
    with pytest.raises(DataError, match=r"losses\.math"):
        RunRecord.from_json(wrong)


def test_points_are_rows_of_the_table_and_share_their_run(whole, config, tmp_path):
    record, domains = whole[0], list(config.train_rows)
    table = RunTable.from_records([record], domains, domains)
    name = record.spec.name
    assert table.runs == (name, f"{name}@0.25", f"{name}@0.5")
    assert table.checkpoint_of == (name,) * 3 and table.fidelity == ("true", "point", "point")
    assert table.losses_RJ[1, 0] == record.points[0].losses[domains[0]].loss_nats
    table.to_csv(tmp_path / "runs.csv")
    again = RunTable.from_csv(tmp_path / "runs.csv")
    assert (again.fidelity, again.checkpoint_of) == (table.fidelity, table.checkpoint_of)
    assert "1 runs with 2 points along them" in repr(table)


def test_the_log_tells_the_losses_on_the_way(whole):
    record, folder = whole
    found = losses_along(folder)
    assert list(found) == ["0.25", "0.5"]
    assert found["0.5"] == {name: loss.loss_nats for name, loss in record.points[1].losses.items()}


def test_points_too_near_to_each_other_share_weights_and_are_refused():
    assert problem_of([0.25, 0.5]) == "" and problem_of([0.8]) == ""
    assert "0.9 is too near to 1" in problem_of([0.9])
    assert "0.45 is too near to 0.5" in problem_of([0.45, 0.5])
    assert "between 0 and 1" in problem_of([0.0, 0.5])


def test_a_trainer_without_points_refuses_them(trainer, spec, tmp_path, monkeypatch):
    monkeypatch.setattr(type(trainer), "points", False)
    with pytest.raises(ConfigError, match="no points along a run"):
        train_once(trainer, spec, tmp_path, lambda *_: None)


def test_a_run_of_one_step_has_all_its_points_there(trainer, config, tmp_path):
    spec = replace(make_specs(config, (20,))[0], points=(0.25, 0.5, 1.0))
    record = trainer.run(spec, folder=tmp_path)
    assert record.steps == 1 and len(record.points) == 2
    assert all(np.isclose(p.losses["math"].nats, record.losses["math"].nats) for p in record.points)
