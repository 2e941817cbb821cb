"""What a trainer is: a class that turns a run's spec into its record. docs/trainers.md writes one in 60 lines."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mixlaw.core.errors import ConfigError, DataError, MissingExtra, MixlawError, RunFailed
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.train.settings import ModelSettings, TrainSettings

if TYPE_CHECKING:
    from mixlaw.data.rows import TokenRows
    from mixlaw.train.pace import Pace

Progress = Callable[[int, int, float], None]
"""Called as `progress(step, steps, loss)` after each optimiser step; loss in nats per supervised token."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A run to be trained: its spec, its own folder, and who is told of its steps."""

    spec: RunSpec
    folder: Path
    progress: Progress | None = None


MODEL = "model"
"""The folder, in a run's own, of the model that a run with `keep_model` leaves."""


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The options of a trainer that has no keys of its own under `train:`."""


class Trainer(ABC):
    """Trains one run at a time and may keep the base model loaded between runs.

    Contract: `run` returns the same record for the same spec in any process, whatever was trained before. It may write
    logs and curves into `folder`, never `record.json`. With `spec.keep_model` it leaves the trained model in
    `folder/model`, as transformers saves one, or raises RunFailed where it cannot. It raises RunFailed instead of
    returning a loss that is not finite. `mixlaw.testing.check_trainer` checks all of that.

    Class attributes, which mixlaw reads before it makes the trainer:
        name: what messages and `register` call it; the class's own name unless it is set.
        Options: a frozen dataclass of the keys that it alone reads under `train:`, of types that JSON has. Pydantic
            checks the values; `Annotated[float, Field(gt=0, description="what it is")]` says ranges and the meaning.
            Its `__post_init__` may raise ConfigError or ValueError.
        packages: packages that must be installed where it trains.
        extra: mixlaw's extra that brings them; empty for a trainer outside mixlaw.
        reads_text: whether it needs the conversations as text, too, not only as tokens (`mixlaw.data.texts`).
        merges: whether it trains experts and evaluates their merges (`mixlaw.train.merging`).
        points: whether it evaluates runs along their way, too (`mixlaw.train.points`).
        limits_rows: whether it refuses rows that are longer than the positions of the model's configuration, so
            that `check` can say it.
        working_directory: `used` where it starts programs or reads files in `folder`, `needed` where it cannot do
            without that folder on every machine, `unused` where it has no use for one. The key
            `train.working_directory` chooses the folder; without it, it is that of mix.yaml.
        base_model: whether it can evaluate the base model as it is (`spec.untrained`, without tokens): `measured`
            where every study does, `asked` where a study does that says `plan.base_model: true`, because not every
            program can, `no` where it cannot.

    Args:
        model: the base model.
        settings: the training settings that all trainers share.
        train_rows: domain -> its tokenised training rows.
        validation_rows: target -> its tokenised validation rows.
        options: an instance of `Options`; None for its defaults.
        folder: the working directory.

    Attributes:
        timing: what is to be known of the last run beside its record, such as seconds; kept in `timing.json`.
    """

    name: ClassVar[str]
    Options: ClassVar[type] = NoOptions
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    reads_text: ClassVar[bool] = False
    merges: ClassVar[bool] = False
    points: ClassVar[bool] = False
    limits_rows: ClassVar[bool] = False
    working_directory: ClassVar[Literal["unused", "used", "needed"]] = "used"
    base_model: ClassVar[Literal["measured", "asked", "no"]] = "no"

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__

    def __init__(
        self,
        model: ModelSettings,
        settings: TrainSettings,
        train_rows: Mapping[str, TokenRows],
        validation_rows: Mapping[str, TokenRows],
        *,
        options: Any = None,
        folder: Path = Path("."),
    ) -> None:
        self.model = model
        self.settings = settings
        self.train_rows = dict(train_rows)
        self.validation_rows = dict(validation_rows)
        self.options = self.Options() if options is None else options
        self.folder = folder
        self.timing: dict[str, Any] = {}

    @classmethod
    def needs(cls, options: Any) -> tuple[str, ...]:
        """Return the packages that training with these options imports."""
        return cls.packages

    @classmethod
    def check(cls, options: Any, folder: Path) -> None:
        """Raise what would fail on this machine, before anything is tokenised; imports no large package.

        Args:
            options: an instance of `Options`.
            folder: the working directory.

        Raises:
            MissingExtra, ConfigError: a package is not installed, or something else that the trainer needs is missing.
        """
        for package in cls.needs(options):
            if not _installed(package):
                if cls.extra:
                    raise MissingExtra(package, cls.extra, f"The trainer '{cls.name}'")
                raise ConfigError(
                    f"The trainer '{cls.name}' needs the package '{package}', which is not installed.",
                    f"Install it with: pip install {package}",
                )

    @classmethod
    def check_model(cls, options: Any, model: ModelSettings) -> None:
        """Raise what options ask of a model that it cannot do, before any run; loads no weights.

        Args:
            options: an instance of `Options`.
            model: the base model.

        Raises:
            ConfigError: the options do not fit the model.
        """
        return None

    @classmethod
    def inputs(cls, options: Any, folder: Path) -> Mapping[str, str]:
        """Return what else determines a run's result: name -> content hash, such as that of a file that it reads.

        Model, settings, options and data are included already. If any of these changes, runs are trained again.
        """
        return {}

    @abstractmethod
    def run(self, spec: RunSpec, *, folder: Path, progress: Progress | None = None) -> RunRecord:
        """Train and evaluate the run; evaluate it alone where `spec.untrained`.

        Args:
            spec: the run.
            folder: the run's own folder, for files that the trainer keeps.
            progress: called after each optimiser step.

        Raises:
            DataError: the spec asks for tokens of a domain that has no rows.
            RunFailed: the run ended without a usable result.
        """

    def together(self, specs: Sequence[RunSpec], most: int) -> Mapping[int, float]:
        """Return how fast so many of some runs train at once in this process: runs -> tokens a second.

        Only numbers that were measured; none where runs cannot share anything, as by default.

        Args:
            specs: the runs.
            most: runs at once.
        """
        return {}

    def can_join(self, spec: RunSpec) -> bool:
        """Return whether a run may be one of several that train at once in this process."""
        return False

    def run_together(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, RunRecord | MixlawError]]:
        """Train runs at once, and yield each with its record, or why it has none, as soon as it ends.

        One after another by default. `timing` is that of the run that was yielded last.
        """
        for job in jobs:
            try:
                yield job, self.run(job.spec, folder=job.folder, progress=job.progress)
            except (RunFailed, DataError) as error:
                yield job, error

    def pace(self, spec: RunSpec, *, folder: Path, seconds: float) -> list[Pace]:
        """Return how fast it trains such runs, by the clock of the wall and by the processor's.

        By two short runs of the spec's mixture; a trainer that can look inside a run does better.

        Args:
            spec: a typical run.
            folder: for files that are deleted afterwards.
            seconds: to take, about.
        """
        from mixlaw.train.pace import by_short_runs

        return by_short_runs(self.run, spec, folder)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is a part of
        return False
