"""The keys under `train:`: those of every trainer, those of the one that is named, and those of others."""

import pytest

from mixlaw.config import parse_config
from mixlaw.core.errors import ConfigError
from mixlaw.train.trl import TrlTrainer

TREE = {"study": "s", "model": {"name_or_path": "m"}, "domains": {"code": {"path": "c"}}, "budget_tokens": "1M"}


def parsed(**train):
    return parse_config({**TREE, "train": train}, "mix.yaml").train


def problem(**train):
    with pytest.raises(ConfigError) as caught:
        parsed(**train)
    return str(caught.value)


def test_a_trainer_reads_its_own_keys_and_is_given_its_options():
    node = parsed(trainer="trl", peft={"r": 8}, learning_rate=1e-4)
    assert node.trainer_class is TrlTrainer and node.options == TrlTrainer.Options(peft={"r": 8})
    assert node.learning_rate == 1e-4 and node.model_dump()["peft"] == {"r": 8}


def test_a_class_is_named_so_that_other_processes_find_it():
    assert parsed(trainer=TrlTrainer) == parsed(trainer="trl")


def test_an_empty_key_of_any_trainer_is_as_if_it_were_not_there():
    assert parsed(trainer="native", command=None, peft=None, working_directory=None) == parsed()
    assert parsed(trainer="trl", sft=None, launch=None).options == TrlTrainer.Options()
    assert "train.max_lenght: unknown key" in problem(max_lenght=None)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"trainer": "command"}, "train: trainer: command needs a command, such as: python train.py --spec {spec}."),
        ({"command": "x {spec}"}, "train: command is an option of trainer: command; remove it, or change trainer."),
        (
            {"working_directory": "."},
            "train: working_directory is an option of trainer: trl and command; remove it, or change",
        ),
        ({"trainer": "trl", "lunch": "x"}, "train.lunch: unknown key, did you mean 'launch'?"),
        (
            {"trainer": "trl", "peft": "r"},
            "train.peft: must be a mapping, with one `key: value` per line, not the single",
        ),
        ({"trainer": "trl", "sft": {"seed": 1}}, "mix.yaml: train.sft sets seed, which mixlaw sets itself. Set it"),
        ({"trainer": 3}, "train.trainer: must be a text, not 3; put it in quotes."),
        ({"trainer": "tlr"}, "train.trainer: there is no trainer 'tlr'; known: native, trl, command."),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_key(train, said):
    assert said in problem(**train)


def test_problems_of_a_trainers_keys_are_reported_with_those_of_other_parts():
    tree = {**TREE, "train": {"trainer": "trl", "sft": {"seed": 1}}, "plan": {"runs": 0}}
    with pytest.raises(ConfigError, match=r"has 2 problems:(.|\n)*plan\.runs(.|\n)*train\.sft sets seed"):
        parse_config(tree)
