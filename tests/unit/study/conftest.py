"""Fixtures of studies: a tiny trainer on disk, made once, and a study without runs."""

import pytest

from tiny_training import make_config, make_specs


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("config"))


@pytest.fixture
def planned(tmp_path, tiny_config):
    from mixlaw.study.store import Study

    specs = make_specs(tiny_config)
    study = Study(tmp_path / "study")
    study.save_plan(specs)
    study.save_trainer(tiny_config)
    return study, specs
