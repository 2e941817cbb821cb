"""A YAML file is one clear error within a second, whatever it holds."""

import time

import pytest

from mixlaw.config import load_config
from mixlaw.core.errors import ConfigError
from mixlaw.core.limits import LIMITS
from mixlaw.core.yaml_file import read_yaml

START = "study: s\nmodel: {name_or_path: m}\nbudget_tokens: 1M\ndomains: {a: {path: a.jsonl}}\n"
BOMB = "x0: &x0 [a, a, a, a, a, a, a, a, a]\n" + "".join(
    f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
HOSTILE = {
    "a date that is none": ("seed: 2024-13-45", "looks like a date but is not one"),
    "a long number": (f"seed: {'9' * 5000}", "a number of 5,000 characters"),
    "a long hexadecimal number": (f"seed: 0x{'f' * 5000}", "a number of 5,002 characters"),
    "deep lists": ("seed: " + "[" * 20_000, f"more than {LIMITS['yaml_depth'].default} nested levels"),
    "deep mappings": ("seed: " + "{a: " * 20_000, f"more than {LIMITS['yaml_depth'].default} nested levels"),
    "an alias bomb": (BOMB, f"more than {LIMITS['yaml_values'].default:,} values"),
    "an alias bomb as groups": (
        BOMB + "solve:\n  groups: *x8\n",
        f"more than {LIMITS['yaml_values'].default:,} values",
    ),
    "a list that holds itself": ("solve: {groups: &g [*g]}", "a value that contains itself"),
    "a mapping merged with itself": ("solve: &s {<<: *s}", "a value that contains itself"),
    "binary that is none": ("seed: !!binary '*'", ""),
    "an integer that is none": ("seed: !!int x", "looks like a number but is not one"),
    "a float that is none": ("seed: !!float x", "looks like a number but is not one"),
    "a truth value that is none": ("seed: !!bool x", "looks like a truth value but is not one"),
    "a time that is none": ("seed: !!timestamp x", "looks like a date but is not one"),
    "a Python object": ("seed: !!python/object:os.system x", "could not determine a constructor"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_error_with_its_line_within_a_second(tmp_path, name):
    text, problem = HOSTILE[name]
    path = tmp_path / "mix.yaml"
    path.write_text(START + text)
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert time.process_time() - began < 1
    assert str(path) in caught.value.message and problem in caught.value.message
    assert len(caught.value.message) < 300 + len(str(path))


def test_a_value_of_the_wrong_type_is_never_written_out_before_its_type_is_looked_at(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(START + "x: &x [" + "a, " * 900 + "a]\nsolve:\n  groups: [*x, *x, *x, *x]\n  min: *x\n")
    with pytest.raises(ConfigError, match="groups") as caught:
        load_config(path)
    assert len(caught.value.message) < 1000 + len(str(path))


@pytest.mark.parametrize("seed", ["9" * 90, "-" + "9" * 90, "1e400", ".inf", ".nan", "2024-01-02"])
def test_a_number_that_can_be_no_seed_is_an_error_of_its_key(tmp_path, seed):
    path = tmp_path / "mix.yaml"
    path.write_text(START + f"plan: {{seed: {seed}, base_tokens: {seed}, runs: {seed}}}\n")
    with pytest.raises(ConfigError, match=r"plan\.seed"):
        load_config(path)


def test_a_file_of_gigabytes_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "mix.yaml"
    with open(path, "wb") as file:
        file.truncate(50 * LIMITS["yaml_bytes"].default)
    with pytest.raises(ConfigError, match=r"50,000,000 bytes; a YAML file may have 1,000,000"):
        read_yaml(path)


def test_limits_do_not_meet_what_people_write(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(
        "d: &d {path: x.jsonl}\n" + "".join(f"domain-{i}: *d\n" for i in range(1000)) + "revision: 2024-01-02\n"
    )
    assert len(read_yaml(path)) == 1002
    assert len(str(2**128)) < LIMITS["yaml_digits"].default
