"""The trainer `command`: any program. It gets a run's files and a spec, and writes a small JSON result.

    <run folder>/input/train.jsonl     {"messages": [...], "domain": ...} a line, in training order, one epoch
    <run folder>/input/spec.json       everything about the run (see `write_spec`)
    <run folder>/output/               the program's own; mixlaw reads result.json from it and nothing else
    <run folder>/command.log           what the program printed

    result.json    {"losses": {"<target>": {"nats": 1234.5, "count": 1000}, ...}, "steps": 20, "parameters": 494032768}

Beside losses, or instead of them, it may have metrics: {"metrics": {"win_rate": 0.61}}, also as {"value", "stderr"};
they become the columns `metric:<name>` of the run table.

`nats` is the summed negative log-likelihood of the `count` supervised validation tokens; their mean as `loss` does as
well. `steps` and `parameters` may be left out. See docs/trainers.md.
"""

from __future__ import annotations

import shlex
import shutil
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mixlaw.core.documents import write_document
from mixlaw.core.errors import ConfigError, RunFailed
from mixlaw.core.run import RunRecord, RunSpec
from mixlaw.data.texts import TextRows
from mixlaw.train.program import call, empty_folders, keep_metrics, read_metrics, read_result, require_startable
from mixlaw.train.sample import draw_sample, training_order
from mixlaw.train.trainer import MODEL, Progress, Trainer

PLACEHOLDERS = ("train_file", "spec", "output_dir", "result", "model", "seed", "run")
"""What a command may name in braces."""


def check_command(command: str) -> list[str]:
    """Return a command's words.

    Raises:
        ConfigError: it is empty, its quotes do not match, or it names an unknown placeholder.
    """
    try:
        words = shlex.split(command)
        fields = [field for word in words for field in string.Formatter().parse(word) if field[1] is not None]
    except ValueError as error:
        raise ConfigError(
            f"train.command cannot be read: {error}.", "Close quotes and braces; a brace itself is {{ or }}."
        ) from None
    if not words:
        raise ConfigError("train.command is empty.", "Write it like: python train.py --spec {spec}")
    names = [name for _, name, _, _ in fields]
    written = [f"{name}{'!' + how if how else ''}{':' + form if form else ''}" for _, name, form, how in fields]
    if unknown := [text for text in written if text not in PLACEHOLDERS]:
        raise ConfigError(
            f"train.command names {{{unknown[0]}}}; known are {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}.",
            "Correct the name; a brace itself is {{ or }}.",
        )
    if not {"spec", "train_file"} & set(names):
        raise ConfigError(
            "train.command names neither {spec} nor {train_file}, so every run would be the same.",
            "Pass one of them, like: python train.py --spec {spec}",
        )
    return words


@dataclass(frozen=True)
class CommandOptions:
    """What a program is started with.

    Attributes:
        command: its template; words are split like a shell does, and no shell is involved.

    Raises:
        ConfigError: see `check_command`.
    """

    command: Annotated[str, Field(description="a command, such as: python train.py --spec {spec}")]

    def __post_init__(self) -> None:
        check_command(self.command)


class CommandTrainer(Trainer):
    """Trains by running a program, once a run; model and settings go into the spec.

    Raises:
        DataError: the text of the rows was not written.
    """

    name = "command"
    Options = CommandOptions
    reads_text = True
    working_directory = "needed"
    base_model = "asked"

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.words = check_command(self.options.command)
        self.texts = {name: TextRows.open(rows) for name, rows in self.train_rows.items()}
        self.validation = {name: TextRows.open(rows) for name, rows in self.validation_rows.items()}

    @classmethod
    def check(cls, options: CommandOptions, folder: Path) -> None:
        """Raise ConfigError where the program cannot be started."""
        require_startable(check_command(options.command), folder, "train.command")

    def run(self, spec: RunSpec, *, folder: Path, progress: Progress | None = None) -> RunRecord:
        """Write the run's files, run the program, and read its result.

        Raises:
            DataError: the spec asks for tokens of a domain that has no rows.
            ConfigError: the program cannot be started.
            RunFailed: it ended with an error, or without a usable result.
        """
        began = time.perf_counter()
        sample = draw_sample(spec, self.train_rows, self.settings)
        given, output = empty_folders(folder)
        train_file, result = given / "train.jsonl", output / "result.json"
        with open(train_file, "wb") as file:
            for name, row in training_order(spec, sample, 0):
                file.writelines(self.texts[name].lines([row]))
        self._write_spec(spec, given / "spec.json", train_file, output, sample.tokens)
        values = {
            "train_file": train_file,
            "spec": given / "spec.json",
            "output_dir": output,
            "result": result,
            "model": self.model.name_or_path,
            "seed": spec.seed,
            "run": spec.name,
        }
        words = [word.format(**values) for word in self.words]
        call(words, self.folder, folder / "command.log", spec.name, "train.command")
        if spec.keep_model:
            self._keep_model(spec, output, folder)
        losses, steps, parameters = read_result(result, spec.name, list(self.validation))
        keep_metrics(read_metrics(result, spec.name), folder)
        train_file.unlink()  # as large as the data, and made again from the spec
        self.timing = {"train_s": time.perf_counter() - began}
        return sample.record(spec, losses, steps, parameters)

    def _keep_model(self, spec: RunSpec, output: Path, folder: Path) -> None:
        """Take over the model that the program has left in `output/model`."""
        if not (output / MODEL / "config.json").is_file():
            raise RunFailed(
                f"Run '{spec.name}': the model should be kept, but the command saved none in {output / MODEL}.",
                "Save it there with save_pretrained if `keep_model` in spec.json is true, or do not ask for the model.",
            )
        shutil.rmtree(folder / MODEL, ignore_errors=True)
        (output / MODEL).rename(folder / MODEL)

    def _write_spec(self, spec: RunSpec, path: Path, train_file: Path, output: Path, tokens: Mapping[str, int]) -> None:
        write_document(
            path,
            "command_spec",
            {
                "run": spec.name,
                "id": spec.id,
                "seed": spec.seed,
                "tokens": dict(tokens),
                "train_model": not spec.untrained,
                "model": self.model.to_json(),
                "train": self.settings.to_json(),
                "train_file": str(train_file),
                "validation_files": {name: str(rows.path) for name, rows in self.validation.items()},
                "output_dir": str(output),
                "result": str(output / "result.json"),
                "keep_model": spec.keep_model,
            },
        )
