"""A run table of a planted law, its fit, and a small study's inputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.design import space_filling_design

DOMAINS = ("chat", "math", "code")
LAWS = {"chat": (0.5, 0.3, 0.7, 0.2, 0.8), "math": (0.7, 0.1, 0.6, 0.15, 0.5), "code": (0.6, 0.2, 0.8, 0.25, 0.7)}
"""C, k, alpha, beta, E; tokens in millions."""


def planted_runs(runs=13, noise=0.001):
    design = space_filling_design(DOMAINS, 660_000, runs)
    tokens = np.array([[t[d] for d in DOMAINS] for _, t in design], float)
    others = tokens.sum(axis=1, keepdims=True) - tokens
    rng = np.random.default_rng(0)
    losses = []
    for i, domain in enumerate(DOMAINS):
        C, k, alpha, beta, E = LAWS[domain]
        losses.append(C * (tokens[:, i] / 1e6 + k * (others[:, i] / 1e6) ** alpha) ** -beta + E)
    losses = np.column_stack(losses) + rng.normal(0, noise, tokens.shape)
    names = tuple(name for name, _ in design)
    return RunTable(names, DOMAINS, DOMAINS, tokens, losses, ("0",) * len(names))


@pytest.fixture(scope="session")
def runs_csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    planted_runs().to_csv(path)
    return path


@pytest.fixture(scope="session")
def fit_json(runs_csv, tmp_path_factory):
    from mixlaw.api.numbers import fit

    path = tmp_path_factory.mktemp("fit") / "fit.json"
    fit(runs_csv, out=path)
    return path


@pytest.fixture
def mix_yaml(tmp_path):
    """A configuration of two small domains and the bundled base model, as text files in `tmp_path`."""
    import mixlaw

    base = Path(mixlaw.__file__).parent / "demo" / "tiny_base"
    (tmp_path / "data").mkdir()
    for name in ("chat", "math"):
        rows = [
            {"messages": [{"role": "user", "content": f"{name} {i}?"}, {"role": "assistant", "content": f"It is {i}."}]}
            for i in range(80)
        ]
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "mix.yaml"
    path.write_text(
        "study: study\n"
        f"model: {{name_or_path: {json.dumps(str(base))}}}\n"
        "domains:\n"
        "  chat: {path: data/chat.jsonl}\n"
        "  math: {path: data/math.jsonl}\n"
        "validation: {rows: 10}\n"
        "budget_tokens: 2k\n"
        "plan: {base_tokens: 300, probe: false}\n"
        "train: {max_length: 64, learning_rate: 1.0e-3}\n"
    )
    return path


class Result:
    """Exit code and output of one command."""

    def __init__(self, code, stdout, stderr):
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def json(self):
        value, end = json.JSONDecoder().raw_decode(self.stdout)
        assert self.stdout[end:].strip() == "", "more than one JSON object on stdout"
        return value


@pytest.fixture
def mixlaw(capsys):
    """Call the command line in this process: mixlaw("fit", path, "--json") -> Result."""
    from mixlaw.cli import main

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call
