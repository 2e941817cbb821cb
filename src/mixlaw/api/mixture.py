"""The verb `mix`: the training files of a solution, or of given weights, with a manifest and a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mixlaw.api.facts import file_name
from mixlaw.api.project import Note, Project
from mixlaw.core.by_name import by_name, share
from mixlaw.core.commands import command
from mixlaw.core.errors import ConfigError, StudyError
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.mixture import Mixture
from mixlaw.core.notebook import html_table, text_table
from mixlaw.core.renamed import renamed
from mixlaw.core.tokens import format_tokens, parse_tokens
from mixlaw.study.alone import alone

_ROUNDING = 1.001
"""Times max_epochs: whole rows never make quite the same number. No data."""


@dataclass(frozen=True)
class Wanted:
    """A mixture that is to be written or trained.

    Attributes:
        mixture: weights of all domains, and the budget.
        law: that gave the weights, or predicts their losses; None without a fit.
        predicted: target -> {mean, low, high}, nats; empty without a fit.
        given: whether the weights are the user's.
        name: a folder name that stands for it, such as 240k-8cf1166a.
    """

    mixture: Mixture
    law: str | None
    predicted: Mapping[str, Mapping[str, float]]
    given: bool
    name: str


def wanted_mixture(
    project: Project, budget_tokens: str | float | None = None, weights: Mapping[str, float] | None = None
) -> Wanted:
    """Return the study's solution at a budget, or given weights with what the fit predicts of them.

    Raises:
        ConfigError: unknown domains, weights that do not sum to 1, or a budget that is not positive.
        StudyError: there is no fit, and no weights were given.
    """
    budget = project.config.budget_tokens if budget_tokens is None else parse_tokens(budget_tokens, "the budget")
    path = project.study.folder / "fit.json"
    weights = None if weights is None else by_name(weights, "weights", share)
    if weights is not None and (unknown := sorted(set(weights) - set(project.domains))):
        raise ConfigError(
            f"--weights: there is no domain {', '.join(map(repr, unknown))}.", f"Known: {', '.join(project.domains)}."
        )
    if weights is None:
        if not path.exists():
            raise StudyError(
                f"{project.study.folder} has no fit.json yet, so there is no solution.",
                f"Run `{command('run', project.file)}`, or give --weights.",
            )
        project.require_unchanged()
        fit = project.fit
        solution = project.solve(fit, budget, regrets=False)
        mixture = Mixture({name: float(solution.weights.get(name, 0.0)) for name in project.domains}, budget)
        law, predicted = fit.law, solution.predicted
    else:
        mixture = Mixture({name: float(weights.get(name, 0.0)) for name in project.domains}, budget)
        law, predicted = _predicted(project, mixture)
        _say_of_passes(project, mixture)
    name = f"{format_tokens(budget)}-{fingerprint([dict(mixture.weights), budget])[:8]}"
    return Wanted(mixture, law, predicted, weights is not None, name)


def _say_of_passes(project: Project, mixture: Mixture) -> None:
    """Say which domains given weights read more often than solve.max_epochs lets a solution."""
    most, available = project.config.solve.max_epochs, project.available_tokens
    passes = {name: n / available[name] for name, n in mixture.tokens.items() if n and available.get(name)}
    if over := {name: n for name, n in passes.items() if most is not None and n > most * _ROUNDING}:
        said = ", ".join(f"'{name}' {n:.3g} times" for name, n in over.items())
        project.warn(f"These weights read {said}, more often than solve.max_epochs ({most:g}) lets a solution.")


def _predicted(project: Project, mixture: Mixture) -> tuple[str | None, Mapping[str, Mapping[str, float]]]:
    if not (project.study.folder / "fit.json").exists():
        return None, {}
    fit = project.fit
    if not set(fit.domains) <= set(mixture.weights):
        return None, {}
    available = {name: n for name, n in project.available_tokens.items() if name in fit.domains}
    tokens = mixture.tokens
    return fit.law, fit.predict({name: tokens[name] for name in fit.domains}, available).of_mixture()


class MixtureFiles(NamedTuple):
    """The training files of a mixture: `manifest, folder = mixlaw.mix(...)`."""

    manifest: dict[str, Any]
    folder: Path

    def __repr__(self) -> str:
        return f"<MixtureFiles: {self._table()[0]}>"

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[str, list[str], list[list[Any]]]:
        rows: list[list[Any]] = [
            [name, f"{100 * d['achieved_share']:.2f} %", format_tokens(d["achieved_tokens"]), d["epochs"], d["rows"]]
            for name, d in self.manifest["domains"].items()
        ]
        title = f"{format_tokens(self.manifest['achieved_tokens'])} tokens in {self.folder}"
        return title, ["domain", "share", "tokens", "epochs", "rows"], rows


@renamed(budget_tokens="budget")
def mix(
    config: str | Path | Project,
    *,
    budget: str | int | None = None,
    weights: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    file_format: str = "jsonl",
    shards: int | None = None,
    workers: int | None = None,
    note: Note | None = None,
) -> MixtureFiles:
    """Write the training files of the study's solution, or of given weights, and return (manifest, folder).

    Args:
        config: a mix.yaml or its project.
        budget: None for the configuration's; another one is solved for.
        weights: domain -> share, instead of the solution's.
        out: the folder; None for mixtures/<budget>-<hash8> in the study.
        file_format: `jsonl` or `parquet`.
        shards: number of files; None for one for about every 100 MB.
        workers: number of processes; None for one per core if there is much to do. The files are the same for any
            number.
        note: called with a sentence about each step.

    Raises:
        ConfigError: unknown domains, or weights that do not sum to 1.
        StudyError: there is no fit yet.
        DataError: a source file changed since it was counted.
    """
    from mixlaw.data.materialise import materialise
    from mixlaw.report.cards import mixture_card

    project = Project.open(config, note)
    wanted = wanted_mixture(project, budget, weights)
    if out is None:
        form = {} if (file_format, shards) == ("jsonl", None) else {"format": file_format, "shards": shards}
        name = f"{wanted.name}-{fingerprint(form)[:4]}" if form else wanted.name
        out = project.study.folder / "mixtures" / name
    with alone(project.study, project.note):
        manifest = materialise(
            project.domains,
            project.prepared,
            wanted.mixture,
            out,
            seed=project.config.plan.seed,
            file_format=file_format,
            shards=shards,
            workers=workers,
            card=lambda manifest: mixture_card(
                manifest, project.config, wanted.law, wanted.predicted, wanted.given, file_name(project)
            ),
        )
    return MixtureFiles(manifest, Path(out))
