"""Prompts for reinforcement learning: exactly the rows that the weights say, unchanged, in the tools' own formats."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mixlaw.api.export_prompts import PROMPT_TOOLS, export_prompts
from mixlaw.api.verify import verify
from mixlaw.cli import main
from mixlaw.core.errors import ConfigError, DataError
from quick_fits import few_draws, few_folds

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

WEIGHTS = {"math": 0.62, "code": 0.38, "chat": 0.0}


def rows(name: str, count: int) -> list[dict]:
    prompt = [{"role": "user", "content": f"{name} \u00e9"}]
    return [
        {"data_source": name, "prompt": prompt, "reward_model": {"style": "rule", "ground_truth": str(i)}, "n": i}
        for i in range(count)
    ]


def lines(folder: Path, name: str, count: int) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(name, count)), encoding="utf-8")
    return path


def columns(folder: Path, name: str, count: int) -> Path:
    parquet.write_table(pa.Table.from_pylist(rows(name, count)), folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


def read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("tool", "write"), [("nemo-rl", lines), ("verl", lines), ("verl", columns)])
def test_each_source_has_exactly_its_share_of_rows_as_they_were(tool, write, tmp_path):
    sources = {"math": write(tmp_path, "math", 100), "code": write(tmp_path, "code", 30)}
    made = export_prompts(WEIGHTS, tool, sources=sources, prompts=250, out=tmp_path / "out")
    assert sum(made.files.values()) == 250 and sorted(made.files.values()) == [95, 155]
    for name, there in (("math", 100), ("code", 30)):
        found = read(made.folder / f"{name}{sources[name].suffix}")
        seen = Counter(row["n"] for row in found)
        assert max(seen.values()) - min(seen.values()) <= 1 and len(seen) == there  # whole passes and a remainder
        assert all(row in rows(name, there) for row in found[:20])
        assert [row["n"] for row in found] != sorted(row["n"] for row in found)
        assert made.passes[f"{name}{sources[name].suffix}"] == len(found) / there
    assert not verify(made.folder).problems


def test_the_configuration_names_every_file(tmp_path):
    for tool, key in (("nemo-rl", "train"), ("verl", "train_files")):
        sources = {name: lines(tmp_path, name, 5) for name in ("math", "code")}
        made = export_prompts(WEIGHTS, tool, sources=sources, prompts=10, out=tmp_path / tool)
        (config,) = made.folder.glob("*.yaml")
        data = yaml.safe_load(config.read_text())["data"]
        files = [entry["data_path"] if isinstance(entry, dict) else entry for entry in data[key]]
        assert data["shuffle"] and sorted(files) == ["FOLDER/code.jsonl", "FOLDER/math.jsonl"]
        assert all(name in (made.folder / "README.md").read_text() for name in made.files)


def test_the_same_seed_draws_the_same_rows(tmp_path):
    sources = {"math": lines(tmp_path, "math", 50), "code": lines(tmp_path, "code", 50)}
    made = [
        export_prompts(WEIGHTS, "verl", sources=sources, prompts=40, seed=s, out=tmp_path / f"{i}")
        for i, s in enumerate((0, 0, 1))
    ]
    first, again, other = ((one.folder / "math.jsonl").read_bytes() for one in made)
    assert first == again != other


def test_what_cannot_be_mixed_is_said_and_nothing_is_left(tmp_path):
    math, code = lines(tmp_path, "math", 5), lines(tmp_path, "code", 5)
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "list.jsonl").write_text('[{"a": 1}]\n')
    (tmp_path / "cut.jsonl").write_text('{"a": 1}\n{"a": 2\n')
    (tmp_path / "there").mkdir()
    both = {"math": math, "code": code}
    cases = [
        ("trlx", both, "out", ConfigError, "no tool 'trlx'. Known: nemo-rl, verl"),
        ("verl", {"math": math}, "out", ConfigError, "'code' has a share, but no file"),
        ("verl", both | {"mth": math}, "out", ConfigError, "'mth' has no share in the mixture; did you mean 'math'"),
        ("verl", both | {"code": tmp_path / "gone.jsonl"}, "out", DataError, "there is no file"),
        ("verl", both | {"code": tmp_path / "empty.jsonl"}, "out", DataError, "has no rows"),
        ("verl", both | {"code": tmp_path / "list.jsonl"}, "out", DataError, "line 1 is no JSON object"),
        ("verl", both | {"code": tmp_path / "cut.jsonl"}, "out", DataError, "cut.jsonl, line 2 is no JSON object"),
        ("nemo-rl", both | {"code": tmp_path / "code.parquet"}, "out", ConfigError, "NeMo RL reads .jsonl files"),
        ("verl", both, "there", ConfigError, "already exists"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for tool, sources, out, kind, words in cases:
        with pytest.raises(kind, match=words):
            export_prompts(WEIGHTS, tool, sources=sources, prompts=10, out=tmp_path / out)
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_sources_name_leads_nowhere_else(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    sources = {"../a": lines(tmp_path, "math", 5), "b $(c)": lines(tmp_path, "code", 5)}
    made = export_prompts({"../a": 0.5, "b $(c)": 0.5}, "verl", sources=sources, prompts=10, out=inside / "out")
    assert sorted(made.files) == ["_a.jsonl", "b_c_.jsonl"] and sorted(made.folder.parent.iterdir()) == [made.folder]
    assert all((made.folder / name).is_file() for name in made.files) and "$(c)" not in made.command
    with pytest.raises(ConfigError, match="another source's name"):
        weights, both = {"a/b": 0.5, "a b": 0.5}, {"a/b": sources["../a"], "a b": sources["../a"]}
        export_prompts(weights, "verl", sources=both, prompts=10, out=inside / "two")
    assert sorted(inside.iterdir()) == [made.folder]


def test_from_rewards_to_files_on_the_command_line(tmp_path, capsys):
    """A table of win rates by mixture, a fit, a solution with a guardrail, and the files."""
    table = ["run,tokens:math,tokens:code,metric:win_rate,metric:safety"]
    for i in range(12):
        math, code = 500 * (i % 4 + 1), 400 * (i % 3 + 1)
        win, safe = 0.9 - 0.9 * (1 + math + 0.2 * code) ** -0.12, 4.5 - 3 * (1 + code) ** -0.2
        table.append(f"r{i},{math},{code},{win:.5f},{safe:.5f}")
    (tmp_path / "rewards.csv").write_text("\n".join(table) + "\n")
    fit, solution = str(tmp_path / "fit.json"), str(tmp_path / "solution.json")
    wishes = ["--metric", "win_rate=higher", "--metric", "safety=higher:5"]
    with few_draws(), few_folds(2):
        assert main(["fit", str(tmp_path / "rewards.csv"), *wishes, "--out", fit]) == 0
    chosen = ["--target-weight", "metric:win_rate=1", "--no-worse", "metric:safety=5"]
    assert main(["solve", fit, "--budget", "6000", *chosen, "--out", solution]) == 0
    sources = [f"--source={name}={lines(tmp_path, name, 40)}" for name in ("math", "code")]
    words = ["export", solution, "--to", "nemo-rl", "--prompts", "100", *sources, "--out", str(tmp_path / "rl")]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    weights = json.loads(Path(solution).read_text())["weights"]
    for name, share in weights.items():
        assert abs(facts["rows"].get(f"{name}.jsonl", 0) - 100 * share) < 1
    assert main(["export", solution, "--to", "verl"]) == 1
    assert "needs the files of prompts" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "mix.yaml"), "--to", "trl", "--prompts", "5"]) == 1
    assert "Leave them out, or use --to nemo-rl or verl" in capsys.readouterr().err
    assert set(PROMPT_TOOLS) == {"nemo-rl", "verl"}
