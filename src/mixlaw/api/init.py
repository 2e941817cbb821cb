"""`init`: look at data files and write a commented mix.yaml that runs as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixlaw.api.init_template import MODEL_BUNDLED, MODEL_GIVEN, TEMPLATE, TRAIN_BUNDLED, TRAIN_GIVEN
from mixlaw.core.errors import ConfigError, DataError, MissingExtra
from mixlaw.core.files import expanded, require_other_file, write_text
from mixlaw.core.plurals import plural
from mixlaw.core.renamed import renamed
from mixlaw.core.tokens import format_tokens, parse_tokens
from mixlaw.train.positions import positions_of

Note = Callable[[str], None]

_MOST_EVALUATED, _FEWEST_EVALUATED = 200, 32
"""Validation rows of each domain after each run: the first where that costs at most a third of the run. No data."""

_SAMPLE_ROWS = 200
_LONGEST_ROW = 2048
"""Tokens; less where the model takes less."""

_SURELY = 0.8
"""Of the limit: a plan that should cost no more will keep to it, though tokens are only estimated here. No data."""

_COMMENT = 34
"""Where comments begin."""

_CHARACTERS_A_TOKEN = 4.0
_TOKENS_A_TURN = 6
"""What a chat template adds to a turn, about."""

_VALIDATION_ROWS = 500
_LARGEST_HELD_OUT = 0.2
_GENERIC = re.compile(
    r"(?i)(train|test|valid|validation|data|dataset|part|chunk|shard|split|default)?[-_.\d]*(of[-_\d]+)?"
)
_SUFFIX = re.compile(r"(?i)\.(jsonl|json|ndjson|parquet|arrow|feather|csv|tsv|gz|zst|bz2|xz)\b")


@dataclass(frozen=True)
class Found:
    """What was seen in one source.

    Attributes:
        name: proposed for the domain.
        path: as it was given.
        columns: renames that it needs.
        form: format of its rows.
        rows: how many it has.
        tokens: about how many tokens they have.
    """

    name: str
    path: str
    columns: dict[str, str]
    form: str
    rows: int
    tokens: int

    @property
    def training_tokens(self) -> float:
        """About how many are left when the validation rows are held out."""
        held = min(_VALIDATION_ROWS, int(_LARGEST_HELD_OUT * self.rows))
        return self.tokens * (1 - max(held, 1) / self.rows)


@renamed(budget_tokens="budget")
def init(
    paths: Sequence[str],
    out: str | Path = "mix.yaml",
    *,
    model: str | None = None,
    budget: str | int | None = None,
    columns: Mapping[str, str] | None = None,
    force: bool = False,
    note: Note | None = None,
) -> Path:
    """Write a commented mix.yaml for data files: their formats, rows and tokens, and defaults that follow from them.

    Args:
        paths: data files, folders or dataset ids; a domain is named after its file.
        out: where to write.
        model: base model; None for the bundled one of 1M parameters, which is copied beside the file: good for a
            first answer in minutes, not for weights that you will use.
        budget: of the final run; None for one pass over all of the data.
        columns: standard name -> name in the file; used for each file that has such a column.
        force: whether an existing file is replaced.
        note: called with a sentence about each source.

    Raises:
        ConfigError: the file exists or is one of the data, two paths give the same name, no file has a renamed column,
            or the model is a path at which no folder is.
        DataError: a file is missing or malformed.
    """
    from mixlaw.config import parse_config

    note = note or (lambda text: None)
    out = Path(out)
    if out.exists() and not force:
        raise ConfigError(f"{out} exists.", "Use --force to replace it, or --out for another name.")
    require_other_file(out, *paths)
    if model is not None:
        _require_model(model)
    total = None if budget is None else parse_tokens(budget, "budget")
    bundled = Path(__file__).parents[1] / "demo" / "tiny_base"
    count = _token_counter(bundled if model is None else Path(model))
    found, names = [], domain_names(paths)
    renames = _renames(paths, columns or {})
    for path, name, columns_of in zip(paths, names, renames, strict=True):
        found.append(one := _look(path, name, columns_of, count))
        note(f"{name}: {plural(one.rows, 'row')}, {one.form}, about {format_tokens(one.tokens)} tokens")
    if len(found) == 1:
        note("There is only one domain, so there is nothing to mix. Give one path for each domain.")
    total = total or _round(sum(f.training_tokens for f in found))
    text = _text(found, out, model, total)
    parse_config(yaml.safe_load(text), str(out), out.parent)  # a path or a name that no mix.yaml can have
    if model is None:
        _copy_model(bundled, out.parent / "tiny_base", force)
    write_text(out, text)
    return out


def _require_model(model: str) -> None:
    """Raise where a model cannot be one: no name, or a path of this machine at which no folder is."""
    if not model.strip():
        raise ConfigError("The model is empty.", "Give a folder or a Hugging Face id.")
    folder = expanded(model)
    if not folder.is_dir() and (folder.exists() or model.startswith((".", "/", "~"))):
        raise ConfigError(f"The model's folder does not exist: {model}.", "Check the path, or give a Hugging Face id.")


def domain_names(paths: Sequence[str]) -> list[str]:
    """Return a name for each path: its file's, or its folder's where the file's says nothing, such as train.jsonl.

    Raises:
        ConfigError: two paths give one name.
    """
    names = [_name(Path(path)) or f"data-{number}" for number, path in enumerate(paths, 1)]
    twice = {name for name, times in Counter(names).items() if times > 1}
    if twice:
        names = [
            f"{_plain(Path(path).parent.name)}-{name}" if name in twice and Path(path).parent.name else name
            for path, name in zip(paths, names, strict=True)
        ]
    if left := [name for name, times in Counter(names).items() if times > 1]:
        raise ConfigError(f"Two paths give the domain name '{left[0]}'.", "Rename one, or edit mix.yaml by hand.")
    return names


def _plain(name: str) -> str:
    """Return a name that options such as --weights and --group can take as it is."""
    return re.sub(r"\s*[,=<>+*'\"]+\s*", "-", name).strip(" .-")


def _name(path: Path) -> str:
    stem, folder = (_plain(name) for name in (_SUFFIX.sub("", path.name), path.parent.name))
    return folder if folder and _GENERIC.fullmatch(stem) else stem


def _renames(paths: Sequence[str], columns: Mapping[str, str]) -> list[dict[str, str]]:
    """Return for each path the renames whose name it has.

    Raises:
        ConfigError: a standard name that does not exist, or a name that is in no file.
    """
    from mixlaw.config.sources import suggest
    from mixlaw.core.domain import COLUMNS, Domain
    from mixlaw.data.detection import column_names

    for standard in columns:
        close = suggest(standard, COLUMNS)
        if standard not in COLUMNS:
            raise ConfigError(
                f"--columns: no format uses a column '{standard}'{close if close.endswith('?') else close + '.'}",
                "Write messages=chat if the file has a column chat with the messages.",
            )
    if not columns:
        return [{} for _ in paths]
    there = [column_names(Domain(path, path)) for path in paths]
    for standard, name in columns.items():
        if not any(name in names for names in there):
            every = list(dict.fromkeys(name for names in there for name in names))
            raise ConfigError(
                f"--columns {standard}={name}: no file has a column '{name}'.",
                f"The columns are {', '.join(map(repr, every))}.",
            )
    return [{standard: name for standard, name in columns.items() if name in names} for names in there]


def _look(path: str, name: str, columns: dict[str, str], count: Callable[[str], float]) -> Found:
    from mixlaw.core.domain import Domain
    from mixlaw.data.prepare import conversations

    rows, characters, turns, form, sample = 0, 0, 0, "", []
    for _, conversation, written_as in conversations(Domain(name, path, columns=columns)):
        rows, form = rows + 1, written_as
        turns += len(conversation.messages)
        characters += conversation.characters
        if rows <= _SAMPLE_ROWS:
            sample.append("\n".join(message["content"] or "" for message in conversation.messages))
    if rows == 0:
        raise DataError(f"{path} has no rows.", "Add rows, or name other files.")
    seen = sum(map(len, sample))
    per_character = sum(map(count, sample)) / seen if seen else 1 / _CHARACTERS_A_TOKEN
    return Found(name, path, columns, form, rows, round(characters * per_character + _TOKENS_A_TURN * turns))


def _token_counter(folder: Path) -> Callable[[str], float]:
    """Return text -> tokens: by the model's tokenizer where it is at hand, else by its length."""
    try:
        from tokenizers import Tokenizer

        tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # the library raises bare Exception; an estimate is all that is wanted
        return lambda text: len(text) / _CHARACTERS_A_TOKEN
    return lambda text: len(tokenizer.encode(text).ids)


def _plan_lines(found: Sequence[Found], budget: int) -> dict[str, str]:
    """Return what the template says of the plan and of evaluations: what they cost follows from the budget."""
    from mixlaw.core.cost import percent
    from mixlaw.design.affordable import DEFAULT_SHARE, LEAST_RUN_TOKENS, Planner, fewest_runs
    from mixlaw.design.spending import Beside, Spending

    available = {f.name: max(1, int(f.training_tokens)) for f in found}
    row_tokens = sum(f.tokens / f.rows for f in found)
    runs = fewest_runs(len(found))
    # An evaluation of as many tokens as the run costs a third of it, so this much leaves three quarters for training.
    size = max(0.75 * DEFAULT_SHARE * budget / runs, LEAST_RUN_TOKENS)
    rows = int(min(max(size / row_tokens, _FEWEST_EVALUATED), _MOST_EVALUATED))
    evaluation = rows * row_tokens / 3
    spending = Spending(DEFAULT_SHARE * budget, evaluation, budget, beside=Beside(base_model=True))
    start = Planner(available, budget, spending).start()
    cost = spending.whole(start.mixtures) / budget
    limit = f"  max_cost: {100 * DEFAULT_SHARE:g}%"
    return {
        "spent": f"{len(start.mixtures)} at first, about {percent(cost)} of the final run",
        "limit": (limit if cost <= _SURELY * DEFAULT_SHARE else f"  # {limit.strip()}").ljust(_COMMENT),
        "rows": f"  eval_rows: {rows}".ljust(_COMMENT),
    }


def _round(tokens: float) -> int:
    """Return a count rounded down to two digits, at least 1."""
    tokens = max(1, int(tokens))
    unit = 10 ** max(0, len(str(tokens)) - 2)
    return tokens // unit * unit


def _copy_model(bundled: Path, folder: Path, force: bool) -> None:
    if not bundled.is_dir():
        raise MissingExtra("mixlaw.demo.tiny_base", "train", "The bundled base model")
    for source in sorted(file for file in bundled.iterdir() if file.is_file()):
        target = folder / source.name
        if target.exists() and not force and target.read_bytes() != source.read_bytes():
            raise ConfigError(
                f"{target} exists and is not a file of the bundled model.",
                "Give --model, use --out for another folder, or --force to replace it.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _text(found: Sequence[Found], out: Path, model: str | None, budget: int) -> str:
    lines, folder = [], out.parent
    for f in found:
        # Paths in a mix.yaml are relative to its folder.
        there = os.path.relpath(f.path, folder) if Path(f.path).exists() else f.path
        seen = f"{f.form}, {plural(f.rows, 'row')}, about {format_tokens(f.tokens)} tokens"
        renames = ", ".join(f"{standard}: {_yaml_text(name)}" for standard, name in f.columns.items())
        more = f", columns: {{{renames}}}" if renames else ""
        lines.append(f"  {_yaml_text(f.name)}: {{path: {_yaml_text(there)}{more}}}  # {seen}")
    if model is None:
        named = MODEL_BUNDLED
    else:
        local = os.path.relpath(model, folder) if Path(model).is_dir() else model
        if Path(model).is_dir() and not local.startswith("."):
            local = f"./{local}"
        named = MODEL_GIVEN.format(model=_yaml_text(local))
    return TEMPLATE.format(
        # Named after the file, so that two files in one folder have two studies.
        study=f"study: {_yaml_text(f'studies/{out.stem}')}".ljust(_COMMENT),
        model=named,
        domains="\n".join(lines),
        budget=f"budget: {format_tokens(budget)}".ljust(_COMMENT),
        train=TRAIN_BUNDLED if model is None else TRAIN_GIVEN.format(max_length=_max_length(model)),
        **_plan_lines(found, budget),
    )


def _max_length(model: str) -> str:
    longest = positions_of(model) if Path(model).is_dir() else None
    return f"  max_length: {min(_LONGEST_ROW, longest or _LONGEST_ROW)}".ljust(_COMMENT)


def _yaml_text(text: str) -> str:
    """Return a text as YAML: bare where that is read as the same text, quoted otherwise."""
    bare = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text) and yaml.safe_load(text) == text
    return text if bare else json.dumps(text, ensure_ascii=False)
