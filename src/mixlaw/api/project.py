"""A configuration brought to life: its tokenizer, prepared domains, trainer, plan and study folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from mixlaw.api.base_model import base_run
from mixlaw.api.changed_domains import added_runs, comparable, require_same_inputs
from mixlaw.api.collection import census_of, check_values, left_out, with_domains
from mixlaw.api.costs import final_settings, prices_of, said_of_final
from mixlaw.api.facts import records_table
from mixlaw.api.limits import is_limited, require_within, spending_of
from mixlaw.api.merged import with_merges
from mixlaw.api.points import proxy_run, said_of_points
from mixlaw.api.possible import require_possible, require_rows_that_fit
from mixlaw.config import Config, load_config
from mixlaw.core.cost import Prices
from mixlaw.core.documents import write_document
from mixlaw.core.domain import Domain
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.core.runtable import RunTable
from mixlaw.data.known_tokenizer import KnownTokenizer
from mixlaw.data.prepare import DomainTokens, prepare_domains
from mixlaw.data.texts import write_texts
from mixlaw.design import PlannedRun, Wishes, design_runs
from mixlaw.design.affordable import Planner, Start
from mixlaw.design.planning import default_base_tokens
from mixlaw.design.repetition import repetition_notes
from mixlaw.design.spending import Spending
from mixlaw.fit import Fit
from mixlaw.fit.metrics import with_metrics
from mixlaw.solve import Solution, SolveWishes, solve_mixture
from mixlaw.study.origin import require_own, save_origin
from mixlaw.study.store import Study
from mixlaw.trackers.reporting import Reporter
from mixlaw.train.settings import ModelSettings, TrainSettings
from mixlaw.train.trainer_config import TrainerConfig

Note = Callable[[str], None]


class Project:
    """What one mix.yaml describes. Everything is made when it is first asked for.

    Args:
        config: the configuration, with absolute paths.
        note: called with a sentence about each step.
        file: where the configuration was read from; None where it is from elsewhere.
    """

    def __init__(self, config: Config, note: Note | None = None, file: Path | None = None) -> None:
        self.config = config
        self.file = file
        self.note: Note = note or (lambda text: None)
        self.warnings: list[str] = []  # what failed without ending a step, such as a tracker; notes, too
        self.study = Study(config.study, file)
        self._fit: tuple[tuple[int, int] | None, Fit] | None = None
        self._solved: dict[int, tuple[Fit, Solution]] = {}

    @staticmethod
    def open(path: str | Path | Project, note: Note | None = None) -> Project:
        """Return the project of a mix.yaml, or the one given.

        Raises:
            ConfigError: with all problems of the file.
            StudyError: the study belongs to another file with other model, settings or data.
        """
        if isinstance(path, Project):
            return path
        config = load_config(path)
        if config.collection is not None and not config.names_known:
            config = with_domains(config, census_of(config.collection, Path(config.study)))
        project = Project(config, note, Path(path))
        require_own(project.study, Path(path), project.origin)
        _ = project.train_settings, project.model_settings  # for their checks, before anything is written
        return project

    @property
    def domains(self) -> dict[str, Domain]:
        """Name -> Domain."""
        return self.config.domain_values()

    @cached_property
    def model_settings(self) -> ModelSettings:
        """The base model."""
        return ModelSettings(**self.config.model.model_dump())

    @cached_property
    def final_settings(self) -> ModelSettings | None:
        """The final model, where it is another one than the proxies'."""
        return final_settings(self)

    @cached_property
    def train_settings(self) -> TrainSettings:
        """How every run trains."""
        return self.config.train.settings

    @cached_property
    def tokenizer(self) -> KnownTokenizer:
        """The model's tokenizer."""
        model = self.config.model
        return KnownTokenizer(model.name_or_path, model.revision, self.study.folder / "cache" / "tokenizers")

    @cached_property
    def prepared(self) -> dict[str, DomainTokens]:
        """Name -> token rows; the first time they are read, tokenised and counted."""
        require_rows_that_fit(self.config)
        if self.left_out:
            self.note(self.left_out)
        if not self.study.domains_path.exists():
            require_possible(self.config)
        prepared = prepare_domains(
            self.domains.values(),
            self.tokenizer,
            validation_rows=self.config.validation.rows,
            max_length=self.train_settings.max_length,
            cache_dir=self.study.folder / "cache" / "tokens",
        )
        for name, tokens in prepared.items():
            self.note(f"{name}: {tokens.train.tokens:,} training tokens, format {tokens.format}")
        return prepared

    @cached_property
    def left_out(self) -> str | None:
        """A sentence about the rows of the collection that are in no domain; None where there are none.

        Raises:
            ConfigError: a value of the collection's mapping never occurs.
            DataError: the collection has no such column.
        """
        if self.config.collection is None:
            return None
        census = census_of(self.config.collection, self.study.folder)
        check_values(self.config, census)
        return left_out(self.config, census)

    @property
    def available_tokens(self) -> dict[str, int]:
        """Domain -> distinct training tokens."""
        return {name: tokens.train.tokens for name, tokens in self.prepared.items()}

    @property
    def solve_wishes(self) -> SolveWishes:
        """What is asked of the mixture, from the configuration and the data."""
        return SolveWishes.of_config(self.config.solve.model_dump(), self.available_tokens)

    @cached_property
    def trainer_config(self) -> TrainerConfig:
        """What worker processes need."""
        train = self.config.train
        if train.trainer_class.reads_text:
            hashes: dict[str, str] = {}
            for name, tokens in self.prepared.items():
                write_texts(self.domains[name], tokens, hashes)
        return TrainerConfig.of(
            self.model_settings,
            self.train_settings,
            {name: tokens.train.folder for name, tokens in self.prepared.items()},
            {name: tokens.validation.folder for name, tokens in self.prepared.items()},
            trainer=train.trainer,
            options=asdict(train.options),
            folder=train.folder,
        )

    @property
    def origin(self) -> dict[str, Any]:
        """What of the configuration decides whether runs can be fitted together."""
        parts = self.config.model_dump(include={"model", "train", "validation", "domains"})
        return parts | {"domains": {name: {"path": node["path"]} for name, node in parts["domains"].items()}}

    def write_inputs(self) -> None:
        """Write config.resolved.json, origin.json and domains.json into the study folder."""
        from mixlaw.api.data_health import data_facts

        self.study.create()
        if self.file is not None:
            save_origin(self.study, self.file, self.origin)
        write_document(self.study.config_path, "config", self.config.model_dump())
        write_document(self.study.domains_path, "domains", data_facts(self))

    @cached_property
    def wishes(self) -> Wishes:
        """What the plan asks of its design."""
        plan = self.config.plan
        return Wishes(
            plan.levels,
            plan.run_tokens,
            plan.min_share,
            plan.proxy_tokens,
            plan.batch,
            plan.threshold,
            self.config.fit.law,
            self.spending if self.is_limited else None,
        )

    @property
    def is_limited(self) -> bool:
        """Whether number and size of the runs follow from what they may cost."""
        return is_limited(self.config.plan)

    @property
    def is_sequential(self) -> bool:
        """Whether batches follow the first runs."""
        return self.is_limited or self.config.plan.design == "sequential"

    @cached_property
    def start(self) -> Start:
        """The first batch within a limit."""
        budget, plan = self.config.budget_tokens, self.config.plan
        return Planner(self.available_tokens, budget, self.spending, plan.seed).start(plan.runs)

    @property
    def base_tokens(self) -> int:
        """Tokens of every domain in the middle of the design."""
        if self.is_limited:
            return self.start.base_tokens
        return self.config.plan.base_tokens or default_base_tokens(self.available_tokens, self.config.budget_tokens)

    @cached_property
    def prices(self) -> Prices:
        """What each run costs beside the final run."""
        return prices_of(self)

    @cached_property
    def spending(self) -> Spending:
        """What the proxy runs may cost."""
        return spending_of(self)

    @cached_property
    def reporter(self) -> Reporter:
        """Tells trackers of finished runs; raises MissingExtra where one that is wanted is not installed."""
        settings = {"model": self.config.model.model_dump(), "train": self.config.train.model_dump(exclude_none=True)}
        return Reporter(self.config.report_to, self.study, settings, self.warn)

    def warn(self, text: str) -> None:
        """Say what failed without ending the step; a sentence that was said already is not said again."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.note(text)

    @property
    def design(self) -> tuple[list[RunSpec], list[str]]:
        """The planned runs, and sentences about what was decided.

        Raises:
            Infeasible: no mixture meets the bounds of `solve`; better said now than after the training.
            DesignError: the runs are impossible.
        """
        added, kept, seed = added_runs(self), self.kept, self.config.plan.seed
        if added.instead:
            notes = [f"{len(kept)} finished runs stay: they were made with the same model, settings and data."]
            specs = [record.spec for record in kept]
        else:
            runs, notes = self.designed
            specs = [proxy_run(self, run.name, run.tokens, seed + run.replicate) for run in runs]
        there = {spec.id for spec in specs}
        more = [new for name, tokens in added.runs if (new := proxy_run(self, name, tokens, seed)).id not in there]
        every, about = with_merges(self, specs, more)
        return every, [
            *notes,
            *said_of_final(self),
            *added.reasons,
            *repetition_notes([*specs, *more]),
            *said_of_points([*specs, *more]),
            *about,
        ]

    @property
    def planned(self) -> tuple[list[RunSpec], list[str]]:
        """All that a sweep does, the runs of `design` and the base model's, within a limit, and the sentences."""
        specs, notes = self.design
        base, note = base_run(self.config, self.trainer_config, self.study)
        require_within(self, [*specs, *base])
        return [*specs, *base], [*notes, *note]

    @cached_property
    def kept(self) -> list[RunRecord]:
        """The finished runs that can be fitted with those of this configuration."""
        return comparable(self.study.all_records(), self.trainer_config.inputs, bool(self.config.plan.points))

    @cached_property
    def designed(self) -> tuple[list[PlannedRun], list[str]]:
        """The first runs of the design, and sentences about it."""
        plan = self.config.plan
        self.solve_wishes.constraints.polytope(tuple(self.config.domains), self.config.budget_tokens)
        return design_runs(
            plan.design,
            self.available_tokens,
            self.config.budget_tokens,
            base_tokens=plan.base_tokens,
            runs=plan.runs,
            seed=plan.seed,
            replicates=plan.replicates,
            wishes=self.wishes,
        )

    def run_table(self) -> RunTable:
        """Return the finished runs of the plan, with metrics to fit as targets; raise DataError where there is none."""
        names = list(self.config.domains)
        return with_metrics(records_table(self.study, names, names), self.config.fit.metrics)

    def require_unchanged(self) -> None:
        """Raise StudyError where the planned runs were made with another model, other settings or other data.

        A fit and a solution know nothing of that: what is written from them would carry the new configuration's name.
        """
        require_same_inputs(self)

    def solve(self, fitted: Fit, budget_tokens: int | None = None, *, regrets: bool = True) -> Solution:
        """Return the solution of a fit of the study's runs, under its bounds; solved once for each fit and budget.

        Args:
            fitted: the fit.
            budget_tokens: None for the configuration's.
            regrets: see `solve_mixture`.
        """
        budget = budget_tokens or self.config.budget_tokens
        known = self._solved.get(budget)
        if known is None or known[0] is not fitted or (regrets and not known[1].expected_regret):
            fit = fitted.of_domains(list(self.config.domains))
            known = self._solved[budget] = fitted, solve_mixture(fit, budget, self.solve_wishes, regrets=regrets)
        return known[1]

    @property
    def fit(self) -> Fit:
        """What fit.json holds: read once, and again where the file has changed."""
        path = self.study.folder / "fit.json"
        now = _stamp(path)
        if self._fit is None or self._fit[0] != now:
            self._fit = now, Fit.load(path)
        return self._fit[1]

    def keep_fit(self, fitted: Fit) -> None:
        """Write fit.json."""
        path = self.study.folder / "fit.json"
        fitted.save(path)
        self._fit = _stamp(path), fitted


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
