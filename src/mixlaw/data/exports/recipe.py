"""What an exporter gets and returns, and how weights in tokens become a tool's own unit.

By reference, domain i of w_i N tokens becomes n_i = w_i N / m_i rows, m_i its measured tokens per row. The tokens of
n_i rows vary: by s_i sqrt(n (1 - n / R_i)) for n rows of R_i drawn without replacement (whole passes are exact), by
s_i sqrt(n) with replacement, s_i the standard deviation of a row's tokens. The stated drift of a share is three
standard deviations and the rounding to whole rows; it takes the order of the source for random.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mixlaw.core.errors import ConfigError

_DEVIATIONS = 3.0


class Keys(NamedTuple):
    """Names in a source: of the column of turns, and of a turn's role and content."""

    column: str
    role: str
    content: str


@dataclass(frozen=True)
class Source:
    """A domain by reference.

    Attributes:
        name: the domain's.
        files: its local files; empty for a data set of the Hugging Face hub.
        dataset: id, subset, split and revision of that.
        format: how its rows are written: `messages`, `prompt_completion`, `sharegpt` or `alpaca`.
        columns: renames of columns, standard name -> name in the file.
        rows: rows of the source, held-out ones included.
        mean_tokens: tokens per row, as the model's tokenizer and chat template count them.
        sd_tokens: their standard deviation.
        tokens: w_i N, training tokens wanted.
        keys: what the source calls its column of turns, and their role and content.
        roles: role there -> role here, of the roles that occur.
        skipped: rows that the tool skips by its own rules.
    """

    name: str
    files: tuple[str, ...]
    dataset: Mapping[str, str | None]
    format: str
    columns: Mapping[str, str]
    rows: int
    mean_tokens: float
    sd_tokens: float
    tokens: int
    keys: Keys | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0

    @property
    def called(self) -> Keys:
        """What the source calls its column of turns, and their role and content; of its format where unknown."""
        if self.keys is not None:
            return self.keys
        sharegpt = self.format == "sharegpt"
        first, second = ("conversations", "messages") if sharegpt else ("messages", "conversations")
        column = self.columns.get(first, self.columns.get(second, first))
        return Keys(column, "from", "value") if sharegpt else Keys(column, "role", "content")

    @property
    def wanted_rows(self) -> int:
        """Rows that hold the wanted tokens on average, at least one."""
        return max(1, round(self.tokens / self.mean_tokens))


@dataclass(frozen=True)
class Rows:
    """How the rows of materialised files are written.

    Attributes:
        tokens: as ids and labels, not as conversations.
        holds: what they hold beside turns of text, names of `mixlaw.data.exports.traits.TRAITS`.
        own: whether they were written for the tool; else they are the mixture's.
        ends: the tokens that end an answer.
        thinking: the keys of a turn from which the chat template reads reasoning.
        why: the reason for their form, a sentence.
    """

    tokens: bool = False
    holds: frozenset[str] = frozenset()
    own: bool = False
    ends: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        model: name or path, and revision, of the base model.
        train: keys of `train:` in mix.yaml.
        seed: of the training.
        attention: `attn_implementation` of `model:` in mix.yaml.
        files: the data, by their names in the folder; empty by reference.
        shares: the files' rows, each as a part of all.
        sources: the domains by reference; empty for materialised files.
        rows: how they are written.
    """

    model: str
    revision: str | None
    train: Mapping[str, Any]
    seed: int
    attention: str = "auto"
    files: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    sources: tuple[Source, ...] = ()
    rows: Rows = Rows()

    @property
    def by_reference(self) -> bool:
        """Whether sources are meant, not a mixture's files."""
        return bool(self.sources)


@dataclass(frozen=True)
class Recipe:
    """A tool's configuration.

    Attributes:
        files: name -> text of the files to write. Paths in them are relative to the folder they lie in.
        command: what starts the training, in that folder.
        gpu_command: what starts it on a GPU with bfloat16, where that is another command.
        unit: in which the shares are said.
        drift: domain -> how far its token share may be from the wanted one, in shares; empty for materialised files.
        notes: what else must be known.
    """

    files: Mapping[str, str]
    command: str
    unit: str
    drift: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    gpu_command: str = ""


HELD_OUT = "The sources also contain the rows that mixlaw keeps for validation. Validate on other data."
ONE_EPOCH = "Train for 1 epoch: the files already contain every repeat."


def drift(sources: Sequence[Source], *, replacement: bool) -> dict[str, float]:
    """Return how far each domain's token share may be off: three standard deviations, and the rounding to whole rows.

    Args:
        sources: the domains.
        replacement: whether rows beyond whole passes are drawn with replacement.
    """
    total = sum(source.tokens for source in sources)
    variances = {source.name: _variance(source, replacement) for source in sources}
    rounding = max(source.mean_tokens for source in sources) / total
    found = {}
    for source in sources:
        share = source.tokens / total
        others = sum(v for name, v in variances.items() if name != source.name)
        sd = math.sqrt((1 - share) ** 2 * variances[source.name] + share**2 * others) / total
        found[source.name] = _DEVIATIONS * sd + rounding
    return found


def _variance(source: Source, replacement: bool) -> float:
    passes, rest = divmod(source.wanted_rows, source.rows)
    if replacement and passes:
        # All rows once, whatever is beyond drawn with replacement.
        return source.sd_tokens**2 * (source.wanted_rows - source.rows)
    return source.sd_tokens**2 * rest * (1 - rest / source.rows)


def passes(source: Source) -> list[int]:
    """Return the rows of each pass over a source: all of them again and again, then the remainder."""
    whole, rest = divmod(source.wanted_rows, source.rows)
    return [source.rows] * whole + ([rest] if rest else [])


def require(
    tool: str,
    sources: Sequence[Source],
    *,
    formats: Sequence[str],
    suffixes: Sequence[str],
    renames: bool = True,
    told: Sequence[str] = ("subset", "split"),
    sliced: bool = False,
) -> None:
    """Refuse sources that a tool cannot read.

    Args:
        tool: its name, for messages.
        sources: the domains.
        formats: of rows that it reads.
        suffixes: of local files that it reads.
        renames: whether it reads a column, keys and roles of other names than messages, role, content and the usual.
        told: which of a dataset's subset, split and revision it is told.
        sliced: whether it is told a part of a split.

    Raises:
        ConfigError: a source is of another kind.
    """
    remedy = "Export the materialised files: leave out --by-reference."
    for source in sources:
        if source.format not in formats:
            raise ConfigError(
                f"'{source.name}' is written as {source.format}; {tool} reads {' or '.join(formats)}.", remedy
            )
        if not renames and (source.columns or source.called != Keys("messages", "role", "content")):
            named = "renames columns" if source.columns else f"has {', '.join(source.called)}"
            raise ConfigError(f"'{source.name}' {named}, which {tool} cannot.", remedy)
        if not renames and (other := [f"'{role}'" for role, here in source.roles.items() if role != here]):
            raise ConfigError(
                f"'{source.name}' has turns of role {', '.join(other)}, which {tool} cannot read.", remedy
            )
        if lost := [key for key, value in source.dataset.items() if value and key not in ("path", *told)]:
            raise ConfigError(
                f"'{source.name}' is of the {lost[0]} '{source.dataset[lost[0]]}', which {tool} cannot be told.", remedy
            )
        if sliced and re.fullmatch(r"[\w.-]+", split := source.dataset.get("split") or "train") is None:
            raise ConfigError(
                f"'{source.name}' is the split '{split}', of which {tool} cannot be told how many rows to take.", remedy
            )
        if wrong := [file for file in source.files if not file.endswith(tuple(suffixes))]:
            raise ConfigError(f"'{source.name}': {tool} reads {' or '.join(suffixes)} files, not {wrong[0]}.", remedy)
