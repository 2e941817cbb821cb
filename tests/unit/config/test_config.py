"""mix.yaml: every problem at once, each with its path and a suggestion."""

import pytest

from mixlaw.config import as_written, load_config, parse_config
from mixlaw.core.errors import ConfigError

GOOD = """
study: studies/mix
model: {name_or_path: ./base}
domains:
  chat: {path: data/chat.jsonl}
  math: {path: org/math-sft, split: train, revision: abc}
budget: 20M
"""


def write(tmp_path, text):
    path = tmp_path / "mix.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    return str(caught.value)


def test_the_smallest_file_gets_the_defaults(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert list(config.domains) == ["chat", "math"]
    assert config.budget_tokens == 20_000_000
    assert (config.plan.design, config.fit.law, config.solve.objective) == ("auto", "auto", "mean")
    assert config.validation.rows == 500 and config.train.learning_rate == 2e-5


def test_the_old_name_of_the_budget_is_taken_with_a_hint(tmp_path, caplog):
    path = write(tmp_path, GOOD.replace("budget: ", "budget_tokens: "))
    assert load_config(path).budget_tokens == load_config(path).budget_tokens == 20_000_000
    assert [r.getMessage() for r in caplog.records] == [f"{path}: use `budget: ...` instead of `budget_tokens: ...`."]
    assert "budget_tokens: the old name of budget" in message(tmp_path, GOOD + "budget_tokens: 3M\n")
    assert "budget: unknown key, did you mean 'budget'" not in message(tmp_path, GOOD.replace("20M", "no"))
    assert "unknown key, did you mean 'budget'?" in message(tmp_path, GOOD + "budgett: 3M\n")


def test_a_configuration_that_was_filled_in_is_read_again(tmp_path):
    import yaml

    config = load_config(write(tmp_path, GOOD))
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(as_written(config.model_dump()), sort_keys=False), encoding="utf-8")
    assert load_config(again).model_dump() == config.model_dump()


def test_relative_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "base").mkdir()
    config = load_config(write(tmp_path, GOOD))
    assert config.study == str(tmp_path / "studies" / "mix")
    assert config.model.name_or_path == str(tmp_path / "base")
    assert config.domains["chat"].path == str(tmp_path / "data" / "chat.jsonl")


def test_a_hub_id_stays_a_hub_id(tmp_path):
    assert load_config(write(tmp_path, GOOD)).domains["math"].path == "org/math-sft"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("60M", 60_000_000), ("1.5B", 1_500_000_000), ("2e7", 20_000_000), ("660k", 660_000), ("1_000", 1000)],
)
def test_budgets_read_as_people_write_them(tmp_path, text, tokens):
    assert load_config(write(tmp_path, GOOD.replace("20M", text))).budget_tokens == tokens


@pytest.mark.parametrize("text", ["0", "-5M", "-1", "many", "null", "true", "[1]", ".nan", ".inf"])
def test_a_budget_that_is_no_positive_number_is_refused(tmp_path, text):
    assert "budget" in message(tmp_path, GOOD.replace("20M", text))


def test_an_unknown_key_gets_a_suggestion(tmp_path):
    text = message(tmp_path, GOOD + "train: {max_lenght: 256}\nvalidaton: {rows: 10}\n")
    assert "train.max_lenght: unknown key, did you mean 'max_length'?" in text
    assert "validaton: unknown key, did you mean 'validation'?" in text


def test_an_unknown_key_of_a_domain_gets_a_suggestion(tmp_path):
    text = message(tmp_path, GOOD.replace("revision: abc", "revison: abc"))
    assert "domains.math.revison: unknown key, did you mean 'revision'?" in text


def test_all_problems_are_reported_together(tmp_path):
    text = message(
        tmp_path,
        GOOD.replace("20M", "0") + "plan: {design: spce, runs: 0}\nsolve: {max: {math: 1.5}}\nexecutor: {kind: pbs}\n",
    )
    for path in ("budget", "plan.design", "plan.runs", "solve.max.math", "executor.kind"):
        assert f"- {path}: " in text
    assert "5 problems" in text


def test_a_duplicate_key_is_refused_with_its_lines(tmp_path):
    text = message(tmp_path, GOOD + "budget: 30M\n")
    assert "line 8" in text and "'budget' appears twice (first on line 7)" in text


def test_a_duplicate_domain_is_refused(tmp_path):
    assert "'chat' appears twice" in message(tmp_path, GOOD.replace("math:", "chat:"))


def test_broken_yaml_is_refused_with_its_line(tmp_path):
    assert "mix.yaml, line" in message(tmp_path, "study: [\n")


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    assert "holds no keys" in message(tmp_path, text)


def test_a_tag_that_would_run_code_is_refused(tmp_path):
    assert "could not determine a constructor" in message(tmp_path, GOOD + "x: !!python/object/apply:os.system [ls]\n")


def test_missing_keys_are_named(tmp_path):
    text = message(tmp_path, "study: x\n")
    for key in ("model", "domains", "budget"):
        assert f"{key}: missing" in text


def test_a_missing_file_says_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match="mixlaw init"):
        load_config(tmp_path / "no.yaml")


@pytest.mark.parametrize("name", ["no", "2024", "1.5", "null", "code/python", "日本語", "[bold]", "a b", "x=y"])
def test_a_domain_may_have_any_name(tmp_path, name):
    quoted = f'"{name}"' if name in ("[bold]", "a b") else name
    config = load_config(write(tmp_path, GOOD.replace("chat:", f"{quoted}:")))
    assert name in config.domains and config.domain_values()[name].name == name


def test_an_empty_domain_name_and_no_domains_are_refused(tmp_path):
    assert "name is empty" in message(tmp_path, GOOD.replace("chat:", '" ":'))
    with pytest.raises(ConfigError, match="at least one domain"):
        parse_config({"study": "x", "model": {"name_or_path": "m"}, "domains": {}, "budget_tokens": 5})


def test_caps_of_unknown_domains_are_refused(tmp_path):
    text = message(tmp_path, GOOD + "solve: {max: {mth: 0.4}, min: {zzz: 0.1}}\n")
    assert "solve.max.mth: no such domain, did you mean 'math'?" in text
    assert "solve.min.zzz: no such domain; known: chat, math" in text


def test_the_weighted_objective_needs_weights(tmp_path):
    assert "solve.target_weight" in message(tmp_path, GOOD + "solve: {objective: weighted}\n")


def test_anchors_and_merge_keys_work(tmp_path):
    text = GOOD.replace(
        "chat: {path: data/chat.jsonl}", "chat: &d {path: a.jsonl, format: alpaca}\n  more: {<<: *d, path: b.jsonl}"
    )
    config = load_config(write(tmp_path, text))
    assert config.domains["more"].format == "alpaca" and config.domains["more"].path.endswith("b.jsonl")


def test_only_what_is_supported_is_accepted(tmp_path):
    config = load_config(write(tmp_path, GOOD + "report_to: none\nexecutor: {kind: local}\n"))
    assert config.report_to == () and load_config(write(tmp_path, GOOD)).report_to == ()
    text = message(tmp_path, GOOD + "report_to: wandbb\nexecutor: {kind: dask}\n")
    assert "report_to: no tracker 'wandbb', did you mean 'wandb'?" in text
    assert "executor.kind: 'dask': input should be 'local', 'ray' or 'slurm'" in text


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("wandb", ("wandb",)),
        ("[mlflow, tensorboard, mlflow]", ("mlflow", "tensorboard")),
        ("[]", ()),
    ],
)
def test_trackers_are_one_name_or_several(tmp_path, given, names):
    config = load_config(write(tmp_path, GOOD + f"report_to: {given}\n"))
    assert config.report_to == names and parse_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("given", ["5", "[1]", "{a: 1}", "[none, wandb]", "comet"])
def test_what_is_no_tracker_is_refused_with_the_known_ones(tmp_path, given):
    text = message(tmp_path, GOOD + f"report_to: {given}\n")
    assert "report_to: " in text and "no tracker" in text and "wandb" in text


def test_the_resolved_configuration_reads_back_as_itself(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert parse_config(config.model_dump()) == config


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load_config(tmp_path / "file" / "mix.yaml")


def test_a_path_with_a_control_character_is_refused(tmp_path):
    text = message(tmp_path, GOOD.replace("data/chat.jsonl", '"data/\\0.jsonl"').replace("studies/mix", '"a\\nb"'))
    assert "domains.chat.path" in text and "study" in text and "control characters" in text


def test_a_rename_of_a_column_that_no_format_has_gets_a_suggestion(tmp_path):
    text = message(tmp_path, GOOD.replace("chat.jsonl}", "chat.jsonl, columns: {mesages: turns}}"))
    assert "domains.chat.columns: no format uses a column 'mesages', did you mean 'messages'?" in text


def test_endless_epochs_are_said_with_null(tmp_path):
    assert "solve.max_epochs" in message(tmp_path, GOOD + "solve: {max_epochs: .inf}\n")
    assert load_config(write(tmp_path, GOOD + "solve: {max_epochs: null}\n")).solve.max_epochs is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("domains:\n  chat: {path: data/chat.jsonl}\n  math: {path: org/math-sft, split: train, revision: abc}",
         "collection: {path: a.jsonl, split_by: source, domains: [chat, math]}",
         "collection.domains: must be a mapping, with one `key: value` per line, not a list"),
        ("{name_or_path: ./base}", "./base",
         "model: must be a mapping, with one `key: value` per line, not the single"),
        ("budget: 20M", "budget: 20M\nsolve: {groups: {code: 1}}", "must be a list, not a mapping"),
        ("budget: 20M", "budget: 20M\nplan:", "one `key: value` per line, not nothing"),
    ],
)  # fmt: skip
def test_a_key_of_another_shape_is_said_in_the_words_of_yaml(tmp_path, old, new, said):
    assert said in message(tmp_path, GOOD.replace(old, new))


def test_percent_may_have_its_sign_and_the_reference_stand_beside_its_targets() -> None:
    def solve(**wishes):
        tree = {"study": "s", "model": {"name_or_path": "m"}, "domains": {"math": {"path": "m.jsonl"}}}
        return parse_config({**tree, "budget_tokens": "1M", "solve": wishes}).solve

    for text in (1, "1", "1 %", "1%"):
        assert solve(no_worse={"math": text}).no_worse == {"math": 1.0}
    together = solve(no_worse={"math": "1 %", "reference": "base"})
    assert (together.no_worse, together.reference) == ({"math": 1.0}, "base")
    with pytest.raises(ConfigError, match=r"solve\.no_worse\.math: 'one', which is not a number of percent"):
        solve(no_worse={"math": "one"})
    with pytest.raises(ConfigError, match=r"solve\.no_worse\.reference: no such domain"):
        solve(no_worse={"math": 1, "reference": 2})


@pytest.mark.parametrize(
    ("solve", "said"),
    [
        (
            "{no_worse: {math: 1}, reference: bas}",
            "solve.reference: 'bas': input should be 'natural', 'equal' or 'base'",
        ),
        ("{prior: even, prior_strength: 1}", "solve.prior: 'even': input should be 'natural' or 'equal'"),
        ("{prior: {math: much}, prior_strength: 1}", "solve.prior.math: 'much'"),
    ],
)
def test_a_value_that_is_none_of_several_kinds_is_one_problem_under_the_users_own_key(tmp_path, solve, said):
    text = message(tmp_path, f"{GOOD}solve: {solve}\n")
    assert said in text and "dict[" not in text and "problems" not in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("study: ~", "study: must be a text, not nothing."),
        ("study: 2024-01-01", "study: must be a text, not 2024-01-01; put it in quotes."),
        ("study: yes", "study: must be a text, not True; put it in quotes."),
        ("study: ''", "study: must be a text that is not empty, not ''."),
        ("study: ~nobody-of-this-name/x", "study: '~nobody-of-this-name/x': ~nobody-of-this-name/x begins with"),
        ("domains: {chat: {path: ~nobody-of-this-name/a.jsonl}}", "the home folder of such a user is not known"),
        ('domains: {"a\\nb": {path: a.jsonl}}', "'a\\nb' has control characters"),
        ("budget: 0.5", "budget: 0.5; it must be at least one token."),
        ("plan: {runs: 1e3}", "plan.runs: must be a whole number, not '1e3'."),
        ("plan: {runs: 1000000000}", "plan.runs: 1000000000: input should be less than or equal to 10000."),
        ("plan: {base_model: maybe}", "plan.base_model: must be true or false or 'auto', not 'maybe'."),
        ("executor: {together: 0}", "executor.together: must be 'auto' or at least 1, not 0."),
        ("fit: {metrics: {wins: up}}", "The direction of metric 'wins' is 'up'. Write higher or lower"),
        ("solve: {objective: weighted, target_weight: {math: 0}}", "solve.target_weight: every weight is 0;"),
        ("model: {name_or_path: ./base, torch_type: x}", "model.torch_type: unknown key, did you mean 'dtype'?"),
    ],
)
def test_one_mistake_is_one_problem_in_plain_words_under_the_users_own_key(tmp_path, line, said):
    key = line.partition(":")[0]
    rest = [row for row in GOOD.splitlines() if not row.startswith((f"{key}:", "  " if key == "domains" else "-"))]
    text = message(tmp_path, "\n".join([*rest, line]) + "\n")
    assert said in text and "problems" not in text and "?." not in text


def test_a_domain_may_have_the_name_of_a_kind_of_value(tmp_path):
    text = message(tmp_path, GOOD.replace("  chat: {path", "  bool: {pth"))
    assert "domains.bool.path: missing" in text and "domains.bool.pth: unknown key" in text


def test_two_documents_in_a_file_are_said_in_a_whole_sentence(tmp_path):
    assert "expected a single document in the stream, but found another document." in message(
        tmp_path, GOOD + "---\na: 1\n"
    )
