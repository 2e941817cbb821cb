"""`init` looks at files and writes a configuration that runs as it is."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest
from experiments.data.cut import cut

import mixlaw
from mixlaw.api.init import Found, _plan_lines, domain_names
from mixlaw.config import load_config
from mixlaw.core.errors import ConfigError, DataError

ROWS = {
    "messages": lambda i: {
        "messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": f"a {i}"}]
    },
    "sharegpt": lambda i: {"conversations": [{"from": "human", "value": f"q {i}"}, {"from": "gpt", "value": f"a {i}"}]},
    "prompt_completion": lambda i: {"prompt": f"q {i}", "completion": f"a {i}"},
    "alpaca": lambda i: {"instruction": f"q {i}", "input": "", "output": f"a {i}"},
}


def write(path, form, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(ROWS[form](i)) + "\n" for i in range(rows))
    return str(path)


def test_formats_rows_and_tokens_are_found_and_the_file_passes_check(tmp_path):
    paths = [write(tmp_path / f"data/{form}.jsonl", form, 200 + i) for i, form in enumerate(ROWS)]
    said = []
    out = mixlaw.init(paths, tmp_path / "mix.yaml", note=said.append)
    text = out.read_text()
    for i, form in enumerate(ROWS):
        assert f"{form}: {{path: data/{form}.jsonl}}  # {form}, {200 + i} rows, about" in text
    assert len(said) == 4 and said[0].startswith("messages: 200 rows, messages, about")
    found = mixlaw.check(out)
    config = load_config(out)
    assert found.domains["alpaca"]["format"] == "alpaca"
    tokens = sum(counts["train"]["tokens"] for counts in found.domains.values())
    assert 0.8 * tokens < config.budget_tokens < 1.2 * tokens
    # A few hundred rows are too few for a law at a tenth of their cost: mix.yaml says so, and sets no limit.
    assert config.plan.max_cost is None and config.plan.base_tokens is None
    assert "# max_cost: 10%" in text and any("too small" in note for note in found.notes)


def found(count, tokens):
    return [Found(f"d{i:02d}", f"d{i}.jsonl", {}, "messages", tokens // 300, tokens) for i in range(count)]


@pytest.mark.parametrize(
    ("sources", "budget", "most"),
    [(found(3, 1_730_000), 5_200_000, 0.10), (found(11, 1_820_000), 20_000_000, 0.15), (found(2, 10**7), 10**8, 0.1)],
)
def test_the_default_plan_of_data_of_real_size_costs_little(sources, budget, most):
    lines = _plan_lines(sources, budget)
    cost = float(re.search(r"about ([\d.]+) %", lines["spent"])[1]) / 100
    assert 0.3 * most < cost < most
    assert lines["limit"].startswith("  max_cost: 10%")
    assert 32 <= int(lines["rows"].split()[1]) <= 200


def test_the_default_plan_of_small_data_costs_at_most_a_fifth(tmp_path):
    cut(tmp_path / "data")  # 1.3M tokens
    out = mixlaw.init([str(path) for path in sorted((tmp_path / "data").glob("*.gz"))], tmp_path / "mix.yaml")
    said = re.search(r"# the proxy runs: 9 at first, about (\d+) % of the final run", out.read_text())
    assert said is not None and int(said[1]) <= 20


def test_a_model_that_is_named_is_used_and_no_other_is_copied(tmp_path):
    path = write(tmp_path / "a.jsonl", "alpaca", 50)
    config = load_config(
        mixlaw.init([path, path.replace("a.jsonl", "b.jsonl")][:1], tmp_path / "m.yaml", model="org/m")
    )
    assert config.model.name_or_path == "org/m" and config.train.learning_rate == 2e-5
    assert not (tmp_path / "tiny_base").exists()


def test_rows_are_no_longer_than_a_given_model_takes_and_check_refuses_longer_ones(tmp_path):
    paths = [write(tmp_path / name / "rows.jsonl", "alpaca", 50) for name in "ab"]
    model = tmp_path / "model"
    shutil.copytree(Path(mixlaw.__file__).parent / "demo" / "tiny_base", model)
    told = json.loads((model / "config.json").read_text())
    longest = told["max_position_embeddings"]
    config = mixlaw.init(paths, tmp_path / "mix.yaml", model=str(model))
    assert longest < 2048 and load_config(config).train.settings.max_length == longest
    assert set(mixlaw.check(config).domains)

    def raised(**values):
        (model / "config.json").write_text(json.dumps(told | values))
        return pytest.raises(ConfigError, match=f"has {values.get('max_position_embeddings', 64)} positions")

    for values in ({"max_position_embeddings": 64}, {"text_config": {"max_position_embeddings": 64}}):
        with raised(**values):
            mixlaw.check(config)
    # A program of one's own may stretch the positions.
    own = config.with_name("own.yaml")
    own.write_text(
        config.read_text().replace("train:", "train:\n  trainer: command\n  command: python own.py {spec}", 1)
    )
    assert set(mixlaw.check(own).domains)
    del told["max_position_embeddings"]
    (model / "config.json").write_text(json.dumps(told))
    assert load_config(mixlaw.init(paths, tmp_path / "c.yaml", model=str(model))).train.settings.max_length == 2048


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["data/chat.jsonl", "b/code.jsonl.gz"], ["chat", "code"]),
        (["chat/train.jsonl", "code/train-00000-of-00004.parquet"], ["chat", "code"]),
        (["x/math.jsonl", "y/math.jsonl"], ["x-math", "y-math"]),
        (["org/code-sft", "data/my.notes.v2.jsonl"], ["code-sft", "my.notes.v2"]),
        (["train.jsonl"], ["train"]),
    ],
)
def test_domains_are_named_after_files_or_their_folders(paths, names):
    assert domain_names(paths) == names


def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path):
    path = write(tmp_path / "a.jsonl", "alpaca", 50)
    with pytest.raises(ConfigError, match=r"domain name '.*a'"):
        mixlaw.init([path, path], tmp_path / "mix.yaml")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no rows"):
        mixlaw.init([str(tmp_path / "empty.jsonl")], tmp_path / "mix.yaml")
    (tmp_path / "bad.jsonl").write_text('{"text": 1}\n')
    with pytest.raises(DataError, match="no known format"):
        mixlaw.init([str(tmp_path / "bad.jsonl")], tmp_path / "mix.yaml")
    assert not (tmp_path / "mix.yaml").exists() and not (tmp_path / "tiny_base").exists()


def test_someone_elses_tiny_base_and_mix_yaml_are_kept(tmp_path):
    path = write(tmp_path / "a.jsonl.gz", "alpaca", 50)
    (tmp_path / "tiny_base").mkdir()
    (tmp_path / "tiny_base" / "config.json").write_text("mine")
    with pytest.raises(ConfigError, match="not a file of the bundled"):
        mixlaw.init([path], tmp_path / "mix.yaml")
    assert (tmp_path / "tiny_base" / "config.json").read_text() == "mine" and not (tmp_path / "mix.yaml").exists()
    (tmp_path / "mix.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        mixlaw.init([path], tmp_path / "mix.yaml", model="m")


def test_columns_are_renamed_in_the_files_that_have_them_and_check_agrees(tmp_path):
    qa = tmp_path / "qa.csv"
    qa.write_text("question;answer\n" + "".join(f"q {i};a {i}\n" for i in range(40)))
    (tmp_path / "chat.json").write_text(json.dumps([{"my turns": ROWS["messages"](i)["messages"]} for i in range(40)]))
    plain = write(tmp_path / "plain.jsonl", "messages", 40)
    columns = {"prompt": "question", "completion": "answer", "messages": "my turns"}
    paths = [str(qa), str(tmp_path / "chat.json"), plain]
    out = mixlaw.init(paths, tmp_path / "mix.yaml", columns=columns)
    config = load_config(out)
    assert {name: node.columns for name, node in config.domains.items()} == {
        "qa": {"prompt": "question", "completion": "answer"},
        "chat": {"messages": "my turns"},
        "plain": {},
    }
    assert [mixlaw.check(out).domains[name]["format"] for name in config.domains] == [
        "prompt_completion",
        "messages",
        "messages",
    ]


@pytest.mark.parametrize(
    ("columns", "fact"),
    [
        ({"promt": "question"}, "no format uses a column 'promt', did you mean 'prompt'?"),
        ({"prompt": "query"}, "prompt=query: no file has a column 'query'. The columns are 'messages'."),
    ],
)
def test_a_renaming_of_no_use_is_refused(tmp_path, columns, fact):
    path = write(tmp_path / "a.jsonl", "messages", 5)
    with pytest.raises(ConfigError) as caught:
        mixlaw.init([path], tmp_path / "mix.yaml", columns=columns)
    assert fact in str(caught.value)


def test_a_study_is_named_after_its_file(tmp_path):
    data = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    data.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(20)))
    for name in ("foo", "mix", "a: b"):
        config = load_config(mixlaw.init([str(data)], tmp_path / "x" / f"{name}.yaml"))
        assert config.study == str(tmp_path / "x" / "studies" / name)


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"model": ""}, "The model is empty"),
        ({"model": "./no-such-model"}, "The model's folder does not exist: ./no-such-model"),
        ({"model": "~nobody-of-this-name/x"}, "home folder of such a user is not known"),
        ({"budget": "lots"}, "budget is 'lots'"),
    ],
)
def test_a_model_or_budget_that_cannot_be_is_refused_before_the_data_are_read(tmp_path, given, fact):
    with pytest.raises(ConfigError, match=fact):
        mixlaw.init([str(tmp_path / "never-read.jsonl")], tmp_path / "mix.yaml", **given)
    assert not list(tmp_path.iterdir())


def test_data_are_not_written_over_and_a_path_that_no_configuration_can_have_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", "alpaca", 50)
    before = (tmp_path / "a.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"a\.jsonl is read here"):
        mixlaw.init([path], tmp_path / "." / "a.jsonl", force=True)
    assert (tmp_path / "a.jsonl").read_bytes() == before
    odd = write(tmp_path / "two\nlines.jsonl", "alpaca", 50)
    with pytest.raises(ConfigError, match="control characters"):
        mixlaw.init([odd], tmp_path / "mix.yaml")
    assert not (tmp_path / "mix.yaml").exists() and not (tmp_path / "tiny_base").exists()
