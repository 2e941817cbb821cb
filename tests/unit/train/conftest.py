"""Fixtures that need a model: a random tiny Llama, made once."""

import pytest

from tiny_training import make_config, save_tiny_llama


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    return make_config(tmp_path_factory.mktemp("config"))
