"""Every error mixlaw raises on purpose, in one tree.

    MixlawError
    ├── ConfigError          mix.yaml or a command line option is wrong
    ├── DataError            a dataset, a run table or another input file is wrong
    ├── DesignError          the planned runs are impossible
    ├── StudyError           the study folder is in a state that forbids the step
    │   ├── RunFailed        one training run ended without a record
    │   └── RunsFailed       so many runs that no law can be fitted to the others
    ├── FitError             no law could be fitted
    │   ├── TooFewRuns
    │   ├── NotIdentifiable
    │   └── DidNotConverge
    ├── SolveError           no weights could be computed
    │   └── Infeasible       no mixture meets the constraints
    ├── NewerFormat          a newer version of mixlaw has written a file
    ├── MissingExtra         an optional dependency is not installed
    ├── HubError             the Hugging Face Hub cannot be reached, or refuses
    └── FileError            a path cannot be read or written

A message states the fact with its values, the rule, and the remedy: `message` holds the first two,
`hint` the remedy. `code` is stable, for programs that read `--json`.
"""

from __future__ import annotations

import errno

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the operating system says of a full disk or quota."""


class MixlawError(Exception):
    """Base of all errors that carry a fact, a rule and a remedy.

    Args:
        message: the fact with its values, and the rule it breaks.
        hint: the remedy, one sentence; may be empty.
    """

    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple:
        # Exception.__reduce__ would hand the joined text to __init__ as `message`.
        return type(self).__new__, (type(self), str(self)), self.__dict__


class ConfigError(MixlawError):
    """A configuration or a command line option is wrong."""

    code = "config"


class DataError(MixlawError):
    """An input file is missing, malformed or empty."""

    code = "data"


class DesignError(MixlawError):
    """The planned runs are impossible."""

    code = "design"


class StudyError(MixlawError):
    """The study folder forbids the step."""

    code = "study"


class RunFailed(StudyError):
    """One training run ended without a record."""

    code = "run_failed"


class RunsFailed(StudyError):
    """Too many training runs failed for a fit of the others; the message lists them."""

    code = "runs_failed"


class FitError(MixlawError):
    """No law could be fitted to the runs."""

    code = "fit"


class TooFewRuns(FitError):
    """There are fewer runs than parameters."""

    code = "too_few_runs"


class NotIdentifiable(FitError):
    """The runs do not determine the parameters."""

    code = "not_identifiable"


class DidNotConverge(FitError):
    """No start of the optimiser converged."""

    code = "did_not_converge"


class SolveError(MixlawError):
    """No weights could be computed."""

    code = "solve"


class Infeasible(SolveError):
    """No mixture meets the constraints.

    Args:
        message: the fact and the rule.
        hint: the remedy.
        binding: what cannot be met together: domains by their bounds, groups by their text, targets by their ceilings.
    """

    code = "infeasible"

    def __init__(self, message: str, hint: str = "", binding: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.binding = binding


class NewerFormat(MixlawError):
    """A file was written by a newer version of mixlaw; it is not damaged, and mixlaw does not replace it."""

    code = "newer_format"


class MissingExtra(MixlawError):
    """An optional dependency is not installed.

    Args:
        package: the import that failed.
        extra: the extra of mixlaw that brings it.
        purpose: what needs it, as the subject of a sentence ("training").
    """

    code = "missing_extra"

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.",
            f'Install it with: pip install "mixlaw[{extra}]"',
        )


class HubError(MixlawError):
    """The Hugging Face Hub cannot be reached, or refuses."""

    code = "hub"


class FileError(MixlawError):
    """A path cannot be read or written, or a disk is full."""

    code = "file"


def in_a_sentence(error: BaseException) -> str:
    """Return an error that was not written for users, such as one of their own code: its type and words in a line."""
    words = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {words}." if words else f"{type(error).__name__}."


def file_error(error: OSError) -> FileError:
    """Return what the operating system said, in a sentence with a remedy."""
    what = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in DISK_FULL:
        return FileError(
            f"{what or 'A file'} cannot be written: {reason}.",
            "Free some space where the study and the outputs lie, then run the command again.",
        )
    return FileError(
        f"{what or 'A file'} cannot be used: {reason}.",
        "Check the path, its permissions and the free space, then run the command again.",
    )
