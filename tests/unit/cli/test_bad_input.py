"""Bad input gets one clear error, no traceback, and leaves nothing behind."""

import json
import shlex

import pytest

VERBS_ON_DATA = ("check", "plan", "run", "train")


def assert_one_error(result, *fragments, code=1):
    assert result.code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error ") and result.stderr.count("error ") == 1, result.stderr
    assert "Traceback" not in result.stderr and "internal" not in result.stderr.lower()
    for fragment in fragments:
        assert fragment in result.stderr, result.stderr


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture(params=VERBS_ON_DATA)
def verb(request):
    return request.param


def refuse(mixlaw, verb, config, *fragments):
    """Assert that the verb refuses the configuration with one error and writes nothing."""
    before = files_below(config.parent)
    result = mixlaw(verb, config)
    assert_one_error(result, *fragments)
    assert files_below(config.parent) == before
    as_json = mixlaw(verb, config, "--json")
    assert as_json.code == 1
    error = as_json.json["error"]
    assert set(error) == {"code", "message", "hint"}
    assert f"{error['message']} {error['hint']}".strip() == result.stderr.removeprefix("error ").strip()
    assert files_below(config.parent) == before


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_missing_configuration(mixlaw, verb, tmp_path):
    refuse(mixlaw, verb, tmp_path / "no.yaml", "No such file", "no.yaml", "mixlaw init")


def test_a_missing_data_file(mixlaw, verb, mix_yaml):
    refuse(mixlaw, verb, replaced(mix_yaml, "data/math.jsonl", "data/maths.jsonl"), "'math'", "maths.jsonl")


def test_a_malformed_json_line_is_named_by_file_and_line(mixlaw, verb, mix_yaml):
    path = mix_yaml.parent / "data" / "math.jsonl"
    lines = path.read_text().splitlines()
    lines[40] = '{"messages": ['
    path.write_text("\n".join(lines) + "\n")
    refuse(mixlaw, verb, mix_yaml, "math.jsonl, line 41", "not valid JSON")


def test_a_row_without_an_assistant_turn_is_named(mixlaw, verb, mix_yaml):
    path = mix_yaml.parent / "data" / "math.jsonl"
    with open(path, "a") as file:
        file.write(json.dumps({"messages": [{"role": "user", "content": "anyone?"}]}) + "\n")
    refuse(mixlaw, verb, mix_yaml, "math.jsonl, line 81", "no assistant turn")


def test_an_empty_domain_is_named(mixlaw, verb, mix_yaml):
    (mix_yaml.parent / "data" / "math.jsonl").write_text("")
    refuse(mixlaw, verb, mix_yaml, "'math' is empty")


def test_a_domain_of_one_conversation_is_named_before_anything_is_written(mixlaw, verb, mix_yaml):
    path = mix_yaml.parent / "data" / "math.jsonl"
    path.write_text(5 * (path.read_text().splitlines()[0] + "\n"))
    refuse(mixlaw, verb, mix_yaml, "'math' has 5 rows and only one conversation")


@pytest.mark.parametrize("bounds", ["max: {chat: 0.3, math: 0.4}", "min: {chat: 0.6, math: 0.5}"])
def test_bounds_that_cannot_be_met_are_refused_before_anything_is_written(mixlaw, verb, mix_yaml, bounds):
    mix_yaml.write_text(mix_yaml.read_text() + f"solve: {{{bounds}}}\n")
    refuse(mixlaw, verb, mix_yaml, "'chat' and 'math'", "sum to")


@pytest.mark.parametrize("study", ["data/chat.jsonl", "data/chat.jsonl/study", "/proc/study", 300 * "x"])
def test_a_study_folder_that_cannot_be_written(mixlaw, verb, mix_yaml, study):
    refuse(mixlaw, verb, replaced(mix_yaml, "study: study", f"study: {study}"), study, "permissions")


def test_an_unknown_key_gets_a_suggestion(mixlaw, verb, mix_yaml):
    refuse(
        mixlaw, verb, replaced(mix_yaml, "max_length", "max_lenght"), "train.max_lenght", "did you mean 'max_length'"
    )


@pytest.mark.parametrize("budget", ["0", "-5M"])
def test_a_budget_that_is_not_positive(mixlaw, verb, mix_yaml, budget):
    refuse(mixlaw, verb, replaced(mix_yaml, "budget_tokens: 2k", f"budget_tokens: {budget}"), "budget_tokens", budget)


def test_a_training_setting_out_of_range(mixlaw, verb, mix_yaml):
    refuse(mixlaw, verb, replaced(mix_yaml, "learning_rate: 1.0e-3", "learning_rate: -1"), "learning_rate")


def test_a_missing_model_folder(mixlaw, verb, mix_yaml):
    text = mix_yaml.read_text().splitlines()
    text[1] = "model: {name_or_path: ./no_model}"
    mix_yaml.write_text("\n".join(text) + "\n")
    refuse(mixlaw, verb, mix_yaml, "no_model")


def with_cell(runs_csv, tmp_path, line, column, value):
    rows = [row.split(",") for row in runs_csv.read_text().splitlines()]
    rows[line - 1][rows[0].index(column)] = value
    path = tmp_path / "table.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("column", "value"),
    [("tokens:math", "-5"), ("tokens:math", "many"), ("loss:code", "nan"), ("loss:code", "-1"), ("loss:chat", "inf")],
)
def test_a_malformed_cell_of_a_run_table_is_named_by_line_and_column(mixlaw, runs_csv, tmp_path, column, value):
    table, out = with_cell(runs_csv, tmp_path, 4, column, value), tmp_path / "fit.json"
    result = mixlaw("fit", table, "--out", out)
    assert_one_error(result, "table.csv, line 4", f"'{column}'", value)
    assert not out.exists()


def test_fewer_runs_than_parameters(mixlaw, runs_csv, tmp_path):
    table, out = tmp_path / "few.csv", tmp_path / "fit.json"
    table.write_text("\n".join(runs_csv.read_text().splitlines()[:5]) + "\n")
    assert_one_error(mixlaw("fit", table, "--out", out), "4 different mixtures", "5 parameters")
    assert not out.exists()
    assert mixlaw("fit", table, "--json").json["error"]["code"] == "too_few_runs"


def test_a_missing_run_table(mixlaw, tmp_path):
    assert_one_error(mixlaw("fit", tmp_path / "no.csv"), "No such run table", "no.csv")


def test_a_table_without_loss_columns(mixlaw, tmp_path):
    (tmp_path / "x.csv").write_text("run,tokens:a\nr,5\n")
    assert_one_error(mixlaw("fit", tmp_path / "x.csv"), "no column 'loss:<target>'")


@pytest.mark.parametrize(("option", "value"), [("--law", "nosuch"), ("--procedure", "nosuch")])
def test_an_unknown_law_or_procedure_lists_the_known_ones(mixlaw, runs_csv, option, value):
    assert_one_error(mixlaw("fit", runs_csv, option, value), value, "joint" if option == "--procedure" else "transfer")


@pytest.mark.parametrize("budget", ["0", "-5M", "lots"])
def test_solve_refuses_a_budget_that_is_not_positive(mixlaw, fit_json, tmp_path, budget):
    out = tmp_path / "solution.json"
    assert_one_error(mixlaw("solve", fit_json, "--budget", budget, "--out", out), "budget", budget)
    assert not out.exists()


@pytest.mark.parametrize("out", ["runs.csv/fit.json", "folder"])
def test_a_result_that_cannot_be_written_is_refused_before_it_is_computed(mixlaw, runs_csv, tmp_path, out, monkeypatch):
    monkeypatch.setattr("mixlaw.api.numbers.fit_law", lambda *_: pytest.fail("fitted"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "runs.csv").write_bytes(runs_csv.read_bytes())
    before = files_below(tmp_path)
    assert_one_error(mixlaw("fit", runs_csv, "--out", tmp_path / out), out.split("/")[0], "permissions")
    assert files_below(tmp_path) == before


def test_a_loss_that_is_the_same_in_all_runs(mixlaw, runs_csv, tmp_path):
    lines = [line.split(",") for line in runs_csv.read_text().splitlines()]
    for line in lines[1:]:
        line[lines[0].index("loss:math")] = "1.25"
    (tmp_path / "flat.csv").write_text("\n".join(",".join(line) for line in lines) + "\n")
    for law in ("auto", "transfer", "pairwise", "ridge"):
        assert_one_error(
            mixlaw("fit", tmp_path / "flat.csv", "--law", law), "'math' has the loss 1.25 in all of its 13"
        )


def test_caps_that_cannot_be_met_name_the_domains(mixlaw, fit_json):
    result = mixlaw("solve", fit_json, "--budget", "20M", "--max", "chat=0.1,math=0.2", "--max", "code=0.3")
    assert_one_error(result, "'chat', 'math' and 'code'", "0.6")


def test_epoch_caps_that_cannot_be_met_name_the_binding_domains_and_the_remedy(mixlaw, fit_json):
    options = ("--budget", "40M", "--available", "chat=5M,math=1M,code=1M", "--max-epochs", "4")
    result = mixlaw("solve", fit_json, *options, "--json")
    error = result.json["error"]
    assert result.code == 1 and error["code"] == "infeasible"
    assert "'math'" in error["message"] and "'code'" in error["message"] and "max_epochs" in error["hint"]


def test_domains_that_have_nothing_at_all_are_infeasible(mixlaw, fit_json):
    options = ("--budget", "40M", "--available", "chat=0,math=0,code=0", "--max-epochs", "4")
    assert_one_error(mixlaw("solve", fit_json, *options), "supply 0", "more available tokens")


def test_laws_refuses_an_empty_list_of_names(mixlaw, runs_csv):
    assert_one_error(mixlaw("laws", runs_csv, "--laws", ","), "No laws were named", "pairwise")


def test_floors_that_cannot_be_met_name_the_domains(mixlaw, fit_json):
    result = mixlaw("solve", fit_json, "--budget", "20M", "--min", "chat=0.7,code=0.6")
    assert_one_error(result, "'chat' and 'code'", "1.3")


@pytest.mark.parametrize(
    "option", [("--max", "mth=0.4"), ("--min", "mth=0.1"), ("--target-weight", "mth=1"), ("--available", "mth=3M")]
)
def test_solve_refuses_an_unknown_domain(mixlaw, fit_json, option):
    assert_one_error(mixlaw("solve", fit_json, "--budget", "20M", *option), "mth")


@pytest.mark.parametrize("text", ["math", "math=", "=0.4", "math=lots", "math=0.4,math=0.5"])
def test_a_malformed_pair_is_refused_with_an_example(mixlaw, fit_json, text):
    assert_one_error(mixlaw("solve", fit_json, "--budget", "20M", "--max", text), "--max")


@pytest.mark.parametrize(
    ("arguments", "example"),
    [
        (("predict", "--tokens", "math"), "--tokens math=2M"),
        (("solve", "--budget", "20M", "--available", "math"), "--available math=2M"),
        (("solve", "--budget", "20M", "--no-worse", "math"), "--no-worse math=1%"),
        (("solve", "--budget", "20M", "--min", "math"), "--min math=0.4"),
    ],
)
def test_the_example_of_a_pair_has_the_unit_of_its_option(mixlaw, fit_json, arguments, example):
    verb, *options = arguments
    assert_one_error(mixlaw(verb, fit_json, *options), f"For example: {example}")


def test_predict_refuses_an_unknown_domain(mixlaw, fit_json):
    assert_one_error(mixlaw("predict", fit_json, "--tokens", "maths=2M"), "'maths'", "'math'")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"targets": 5}'])
def test_a_file_that_is_no_fit_is_refused(mixlaw, tmp_path, content):
    (tmp_path / "fit.json").write_text(content)
    assert_one_error(mixlaw("solve", tmp_path / "fit.json", "--budget", "20M"))


def test_weights_that_do_not_sum_to_one_are_refused(mixlaw, mix_yaml):
    result = mixlaw("mix", mix_yaml, "--weights", "chat=0.5,math=0.6")
    assert result.code == 1 and "sum to 1.1" in result.stderr
    assert not (mix_yaml.parent / "study" / "mixtures").exists()


def test_mix_without_a_solution_says_what_to_do(mixlaw, mix_yaml):
    result = mixlaw("mix", mix_yaml, "--json")
    assert result.code == 1 and f"mixlaw run {mix_yaml}" in result.json["error"]["hint"]


def test_status_of_a_study_without_a_plan_says_what_to_do(mixlaw, mix_yaml):
    assert_one_error(mixlaw("status", mix_yaml), "plan")
    assert f"mixlaw plan {mix_yaml}." in mixlaw("status", mix_yaml, "--json").json["error"]["hint"]


def test_init_never_overwrites_without_force(mixlaw, mix_yaml):
    before = mix_yaml.read_text()
    data = mix_yaml.parent / "data" / "chat.jsonl"
    assert_one_error(mixlaw("init", data, "--out", mix_yaml), "exists", "--force")
    assert mix_yaml.read_text() == before
    assert mixlaw("init", data, "--out", mix_yaml, "--force").code == 0


def test_half_a_surrogate_in_the_column_that_splits_a_collection_is_one_error_with_its_line(mixlaw, mix_yaml):
    rows = [{"source": "we\ud83d" if i % 2 else "news", "prompt": f"q {i}", "completion": "a"} for i in range(12)]
    data = mix_yaml.parent / "split.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mix_yaml.write_text(
        mix_yaml.read_text().split("domains:")[0]
        + "collection: {path: split.jsonl, split_by: source}\nbudget_tokens: 500\nplan: {base_tokens: 100}\n"
    )
    assert_one_error(mixlaw("check", mix_yaml), f"{data}, line 2: 'source' has half a surrogate")


def test_init_renames_columns_and_says_which_renaming_is_missing(mixlaw, tmp_path):
    data, out = tmp_path / "x.jsonl", tmp_path / "mix.yaml"
    data.write_text('{"question": "a", "response": "b"}\n' * 9)
    assert_one_error(mixlaw("init", data, "--out", out), "--columns prompt=question --columns completion=response")
    assert_one_error(mixlaw("init", data, "--out", out, "--columns", "prompt"), "standard=name")
    twice = ("--columns", "prompt=a", "--columns", "prompt=question")
    assert_one_error(mixlaw("init", data, "--out", out, *twice), "two names")
    renamed = ("--columns", "prompt=question", "--columns", "completion=response")
    assert mixlaw("init", data, "--out", out, *renamed).code == 0
    assert "columns: {prompt: question, completion: response}" in out.read_text()


def test_init_refuses_data_it_cannot_read(mixlaw, tmp_path):
    (tmp_path / "x.jsonl").write_text("{}\n")
    assert_one_error(mixlaw("init", tmp_path / "x.jsonl", "--out", tmp_path / "mix.yaml"), "x.jsonl, line 1")
    assert not (tmp_path / "mix.yaml").exists()


def test_export_to_an_unknown_tool_lists_all_of_them(mixlaw, mix_yaml):
    hint = mixlaw("export", mix_yaml, "--to", "foo", "--json").json["error"]["hint"]
    assert all(tool in hint for tool in ("trl", "nemo-rl", "verl", "skypilot", "kubernetes"))


def test_what_mix_wrote_is_what_the_next_command_exports(mixlaw, mix_yaml):
    weights = "chat=0.75,math=0.25"
    out = mix_yaml.parent / "byhand"
    result = mixlaw("mix", mix_yaml, "--budget", "1k", "--weights", weights, "--format", "parquet", "--out", out)
    said = " ".join(result.stdout.replace("\\\n", " ").split())
    assert f"--budget 1k --format parquet --weights {weights} --to trl" in said
    command = shlex.split(said[said.index("mixlaw export") :])[1:]
    exported = mixlaw(*command, "--json").json
    assert exported["budget_tokens"] == 1_000
    (again,) = (mix_yaml.parent / "study" / "mixtures").glob("*/manifest.json")
    manifests = [json.loads(path.read_text()) for path in (out / "manifest.json", again)]
    assert manifests[0]["domains"] == manifests[1]["domains"]


def test_a_budget_of_less_than_a_few_conversations_is_warned_of(mixlaw, mix_yaml):
    weights = ("--weights", "chat=0.75,math=0.25")
    said = " ".join(mixlaw("mix", mix_yaml, "--budget", "10", *weights).stderr.split())
    assert "A budget of 10 tokens is too small" in said and "Give a larger --budget" in said
    assert "too small" not in mixlaw("mix", mix_yaml, "--budget", "10k", *weights).stderr


def test_names_that_init_makes_can_be_given_to_options():
    from mixlaw.api.init import domain_names
    from mixlaw.cli.options import number, pairs
    from mixlaw.core.linear_constraint import LinearConstraint

    names = domain_names(["my data, 1=\u00fc.jsonl", "a=b/train.jsonl", "x<=y+z.csv", "=,=.jsonl"])
    assert names == ["my data-1-\u00fc", "a-b", "x-y-z", "data-4"]
    given = pairs([",".join(f"{name}=0.25" for name in names)], "--weights", number("--weights"))
    assert list(given) == names
    assert set(LinearConstraint.parse(" + ".join(names) + " <= 0.5", names).terms) == set(names)


def test_columns_that_no_fit_reads_are_said_once(mixlaw, tmp_path):
    rows = "".join(f"r{i},{1000 * (i + 1)},{3 - i / 10},x,y\n" for i in range(6))
    path = tmp_path / "runs.csv"
    path.write_text("run,tokens:a,loss:a,comment,git_sha\n" + rows)
    result = mixlaw("laws", path, "--laws", "mean")
    assert (result.code, result.stderr.count("Columns that no fit reads: comment, git_sha.")) == (0, 1)
    assert "Columns" not in mixlaw("laws", path, "--laws", "mean", "--json").stderr


@pytest.mark.parametrize("verb", [("fit",), ("solve", "--budget", "3M")])
def test_what_is_read_is_not_written_over(mixlaw, runs_csv, fit_json, tmp_path, verb):
    source = tmp_path / "given"
    source = source.with_suffix(".csv" if verb[0] == "fit" else ".json")
    source.write_bytes((runs_csv if verb[0] == "fit" else fit_json).read_bytes())
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(source)
    assert_one_error(mixlaw(*verb, source, "--out", tmp_path / "link"), "is read here", "--out")
    assert source.read_bytes() == before
