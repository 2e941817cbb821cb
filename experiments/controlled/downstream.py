"""Questions with several answers, put to the models that an experiment's mixtures have left.

Public sets of questions are mixlaw's own tasks. Rows that were held back from training become questions, too
(`answers_DOMAIN`): which of four answers belongs to this prompt, where three are those of other rows. A model answers
with the option of the highest log-likelihood by character. What each answered right is in answers.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from experiments.controlled.setting import Experiment, held_back
from experiments.controlled.training import ANSWERS, answers_of, parts_of, spec_of

from mixlaw.api.evaluate import evaluate
from mixlaw.core.errors import StudyError
from mixlaw.core.files import write_json, write_text
from mixlaw.evaluate.downstream import EVALUATION, TASKS_FOLDER
from mixlaw.study.store import Study

OPTIONS = 4
LONGEST = 2_000
"""Characters of a question with its answer; the bundled base reads 1,024 tokens. No data."""
OWN = "answers_"
"""Begins the names of tasks that are made of rows held back."""


def ask(experiment: Experiment, budgets: Sequence[str], folder: Path | None = None) -> None:
    """Put all questions to the models of the methods' runs that have not answered them, and write answers.json.

    Args:
        experiment: `downstream` says which tasks: name -> file, and `limit` of questions each.
        budgets: those whose runs are asked.
        folder: of the tasks' files; None for the bundled parts of them.

    Raises:
        StudyError: a run has left no model.
    """
    wish, known = experiment.said["downstream"], answers_of(experiment)
    own = write_questions(experiment)
    tasks = [*wish["tasks"], *own]
    names = [Path(task).stem for task in tasks]
    data = {name: folder / file for name, file in wish["tasks"].items()} if folder else {}
    project, found = experiment.project("grid", budgets[0]), json.loads(_methods(experiment))
    study = Study(experiment.folder / "runs-methods")
    models: dict[str, list[str]] = {}
    for run, method in found.items():
        name, budget, seed = parts_of(run)
        if name not in experiment.methods or budget not in budgets or set(names) <= set(known.get(run, {})):
            continue
        spec = spec_of((name, method["weights"], budget, seed), project)
        base = Path(experiment.mix["model"]["name_or_path"])
        if (model := base if spec.untrained else study.model_folder(spec)) is None:
            raise StudyError(f"The run '{run}' has left no model.", "Do the step methods first.")
        place = linked(model, experiment.folder / "models" / ("base" if spec.untrained else _plain(run)))
        models.setdefault(str(place), []).append(run)
    if not models:
        return
    evaluate(
        project,
        models=list(models),
        tasks=tasks,
        data=data,
        limit=wish.get("limit"),
        batch_size=wish.get("batch_size", 16),
        workers=experiment.workers,
        note=lambda text: print(text, flush=True),
    )
    for place, runs in models.items():
        answers = {name: right(Path(place) / EVALUATION / name / "samples.jsonl") for name in names}
        known |= dict.fromkeys(runs, answers)
    write_json(experiment.results / ANSWERS, dict(sorted(known.items())))


def _methods(experiment: Experiment) -> str:
    return (experiment.results / "methods.json").read_text(encoding="utf-8")


def _plain(run: str) -> str:
    return re.sub(r"[^\w.+-]", "_", run)


def linked(model: Path, folder: Path) -> Path:
    """Return a folder with links to a model's files, so that what is found of it lies beside them and not in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in model.resolve().iterdir():
        link = folder / file.name
        if file.is_file() and link.resolve() != file:
            link.unlink(missing_ok=True)
            link.symlink_to(file)
    return folder.absolute()


def right(samples: Path) -> str:
    """Return 1 for each question that was answered right, 0 for the others, in the order of the questions."""
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    return "".join(str(int(row["acc_norm"])) for row in sorted(rows, key=lambda row: row["doc_id"]))


def write_questions(experiment: Experiment) -> list[str]:
    """Write the questions of the rows held back, and return the paths of their tasks."""
    paths = []
    example = (TASKS_FOLDER / "openbookqa.yaml").read_text(encoding="utf-8")
    for name, lines in held_back(experiment).items():
        task, place = OWN + name, experiment.folder / "questions"
        rows = questions([json.loads(line)["messages"] for line in lines])
        write_text(place / f"{task}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        text = example.replace("openbookqa.jsonl.gz", f"{task}.jsonl").replace("openbookqa", task)
        write_text(place / f"{task}.yaml", text)
        paths.append(str(place / f"{task}.yaml"))
    return paths


def questions(conversations: list[list[dict[str, str]]]) -> list[dict[str, Any]]:
    """Return questions of conversations: the first prompt, its answer and three of other rows, in a random order."""
    pairs = [(turns[0]["content"], turns[1]["content"]) for turns in conversations]
    pairs = [pair for pair in pairs if sum(map(len, pair)) <= LONGEST]
    rng, rows = np.random.default_rng([0, 40]), []
    for prompt, answer in pairs:
        others = sorted({other for _, other in pairs} - {answer})
        if len(others) < OPTIONS - 1:
            continue
        choices = [others[i] for i in rng.choice(len(others), OPTIONS - 1, replace=False)]
        place = int(rng.integers(OPTIONS))
        choices.insert(place, answer)
        rows.append({"question": prompt, "choices": choices, "answer": place})
    return rows
