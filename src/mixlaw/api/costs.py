"""What a project's runs cost, as a share of its final run: the one place from which every command says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlaw.api.facts import stored_parameters
from mixlaw.core.cost import Cost, Prices, percent
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import ConfigError
from mixlaw.study.attempts import wasted
from mixlaw.study.status import RunStatus
from mixlaw.study.store import Study
from mixlaw.train.settings import ModelSettings

if TYPE_CHECKING:
    from mixlaw.api.project import Project

_FILE = "prices.json"


@dataclass(frozen=True)
class Spent:
    """What a study's runs have cost, and what those that are left will cost.

    Attributes:
        done: of finished runs, with their evaluations.
        failed: of training that failed, as far as the logs tell how far it came.
        interrupted: of training that ended before it was done, without an error, likewise.
        left: of runs that are pending or at work.
    """

    done: Cost
    failed: Cost
    interrupted: Cost
    left: Cost

    @property
    def wasted(self) -> Cost:
        """Of training that came to nothing, failed or interrupted."""
        return self.failed + self.interrupted

    @property
    def total(self) -> Cost:
        """All of them together."""
        return self.done + self.wasted + self.left

    @property
    def spent(self) -> str:
        """What finished, failed and interrupted runs have cost, in percent of the final run."""
        return percent((self.done + self.wasted).share)

    def __str__(self) -> str:
        parts = [f"spent {self.spent} of the final run"]
        if self.failed.share > 0:
            parts.append(f"{percent(self.failed.share)} of it on runs that failed")
        if self.interrupted.share > 0:
            parts.append(f"{percent(self.interrupted.share)} of it on training that was interrupted")
        if self.left.share > 0:
            parts.append(f"{percent(self.left.share)} to come")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {part: getattr(self, part).to_json() for part in ("done", "failed", "interrupted", "left", "total")}


def prices_of(project: Project) -> Prices:
    """Return what each of a project's runs costs.

    Raises:
        ConfigError: a model's size is not known and is needed, since the final run has another model.
    """
    config, evaluated = project.config, evaluated_tokens(project, project.train_settings.eval_rows)
    kind = "lora" if getattr(config.train.options, "peft", None) else "full"
    parameters, final = parameters_of(project.model_settings), None
    if project.final_settings is not None:
        final = parameters_of(project.final_settings)
        for node, count in ((project.model_settings, parameters), (project.final_settings, final)):
            if count is None:
                raise ConfigError(
                    f"How many parameters {node.name_or_path} has is not known, and without it the cost of the proxies "
                    "beside the final run.",
                    "Name a folder that holds the model, or download it first.",
                )
    return Prices(config.budget_tokens, evaluated, parameters, final, kind, kind)


def evaluated_tokens(project: Project, eval_rows: int | None) -> int:
    """Return the tokens of all validation sets where so many rows of each are evaluated; None: all."""
    from mixlaw.train.evaluation import evaluated_rows

    settings = replace(project.train_settings, eval_rows=eval_rows)
    return sum(
        int(tokens.validation.row_tokens[evaluated_rows(name, tokens.validation, settings)].sum())
        for name, tokens in project.prepared.items()
    )


def parameters_of(model: ModelSettings) -> int | None:
    """Return how many parameters a model has, by its safetensors files here or in Hugging Face's cache; else None."""
    folder = Path(model.name_or_path).expanduser()
    if not folder.is_dir():
        try:
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(model.name_or_path, revision=model.revision, local_files_only=True))
        except Exception:  # not installed, or not there: the libraries raise many kinds
            return None
    return stored_parameters(folder)


def spent_of(prices: Prices, study: Study, statuses: Sequence[RunStatus]) -> Spent:
    """Return what the runs of a study cost: those that are done, failed or interrupted, and those to come."""
    nothing = prices.runs([])
    done, failed, interrupted, left = nothing, nothing, nothing, nothing
    for status in statuses:
        for part, has_failed in wasted(study.runs_folder / status.folder):
            cost = prices.training(part * status.tokens)
            failed, interrupted = (failed + cost, interrupted) if has_failed else (failed, interrupted + cost)
        if status.state == "done":
            done += prices.run(status.tokens, status.evaluations)
        elif status.state != "failed":
            left += prices.run(status.tokens, status.evaluations)
    return Spent(done, failed, interrupted, left)


def final_settings(project: Project) -> ModelSettings | None:
    """Return the final model where it is another one than the proxies' model; notes what that assumes.

    Raises:
        ConfigError: the two models count tokens in different ways.
    """
    node = project.config.final_model
    if node is None or node == project.config.model:
        return None
    from mixlaw.data.chat import load_tokenizer

    there = load_tokenizer(node.name_or_path, node.revision)
    if there.fingerprint != project.tokenizer.fingerprint:
        raise ConfigError(
            f"final_model {node.name_or_path} and model {project.config.model.name_or_path} have different tokenizers "
            "or chat templates: their tokens and losses cannot be compared.",
            "Name a smaller model of the same family, or copy the final model's tokenizer beside it.",
        )
    return ModelSettings(**node.model_dump())


def said_of_final(project: Project) -> list[str]:
    """Return what must be said where the proxies train another model than the final run."""
    if project.final_settings is None:
        return []
    ratio = project.prices.size_ratio
    return [
        f"The proxies train {project.model_settings.name_or_path}, {percent(ratio)} of the size of "
        f"{project.final_settings.name_or_path}. That mixtures rank alike for both is not known; predicted losses are "
        "those of the proxies' model."
    ]


def save_prices(project: Project) -> None:
    """Write prices.json, from which the cost of a study is known without its tokenizer and its model."""
    write_document(project.study.folder / _FILE, "prices", asdict(project.prices))


def spent_in(study: Study) -> Spent | None:
    """Return what the planned runs of a study cost; None before they were planned with a price."""
    path = study.folder / _FILE
    if not path.is_file():
        return None
    return spent_of(read_document(path, "prices", lambda value: Prices(**value)), study, study.status())
