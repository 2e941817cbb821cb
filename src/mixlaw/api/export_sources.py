"""The domains of a mixture by reference: what their files call things, and whether a tool may read them itself."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixlaw.api.mixture import Wanted
from mixlaw.api.project import Project
from mixlaw.core.errors import ConfigError
from mixlaw.data.exports.forms import NAMES
from mixlaw.data.exports.recipe import Keys, Source
from mixlaw.data.exports.sharegpt import takes
from mixlaw.data.exports.supervision import SUPERVISIONS, differing
from mixlaw.data.exports.traits import Traits
from mixlaw.data.prepare import conversations
from mixlaw.data.reading import RawRow, source_files
from mixlaw.data.turns import CONTENT_KEYS, ROLE_KEYS

_COMPARED = 100
_REMEDY = "Export the materialised files: leave out --by-reference."


def sources(project: Project, wanted: Wanted, tool: str, max_dropped: float) -> tuple[Source, ...]:
    """Return the domains of a mixture, for a tool that reads their own files and may skip a part of the rows.

    Raises:
        ConfigError: the tool would read other rows, or lose a part of them.
    """
    found = []
    tokens = wanted.mixture.tokens
    if tool == "trl" and not project.tokenizer.loaded.template.marked:
        raise ConfigError(
            "--by-reference: TRL finds the answers by a chat template's {% generation %} markers, and the model's has "
            "none.",
            _REMEDY,
        )
    for name, domain in project.domains.items():
        if tokens[name] == 0:
            continue
        prepared = project.prepared[name]
        # Tools read every row of the source: held-out ones, and those that mixlaw drops since their answer is cut off.
        cut_off = np.full(prepared.dropped, project.train_settings.max_length)
        row_tokens = np.concatenate([prepared.train.row_tokens, prepared.validation.row_tokens, cut_off])
        if domain.split_by is not None:
            raise ConfigError(
                f"--by-reference: '{name}' is the rows of {domain.path} with some values of '{domain.split_by}', and "
                "tools read every row of a source.",
                "Export without --by-reference: the mixture's files hold only those rows.",
            )
        if domain.roles or domain.ignore:
            raise ConfigError(
                f"--by-reference: '{name}' maps roles or leaves out columns, of which {_said(tool)} knows nothing.",
                _REMEDY,
            )
        files = source_files(domain)
        rows = sum(source["rows"] for source in prepared.sources)
        keys, roles, skipped = _read(project, name, prepared.format, tool)
        if skipped > max_dropped * rows:
            raise ConfigError(
                f"--by-reference: {_said(tool)} skips {skipped:,} rows of '{name}', more than {max_dropped:.1%}: their "
                "roles do not alternate.",
                "Export the materialised files: leave out --by-reference. Or allow more with --max-dropped.",
            )
        found.append(
            Source(
                name,
                tuple(str(file.resolve()) for file in files or ()),
                {"path": domain.path, "subset": domain.subset, "split": domain.split, "revision": domain.revision}
                if files is None
                else {},
                prepared.format,
                dict(domain.columns),
                rows,
                float(row_tokens.mean()),
                float(row_tokens.std()),
                tokens[name],
                keys,
                roles,
                skipped,
            )
        )
    return tuple(found)


def other_tokens(project: Project, wanted: Wanted, tool: str) -> list[str]:
    """Return a sentence about rows in which a tool would supervise other tokens than mixlaw; none without."""
    if tool not in SUPERVISIONS:
        return []
    some = []
    for name in wanted.mixture.weights:
        if wanted.mixture.tokens[name]:
            rows = itertools.islice(conversations(project.domains[name]), _COMPARED)
            some += [(conversation, row.place) for row, conversation, _ in rows]
    count = differing(tool, project.tokenizer.loaded, some)
    said = f"{_said(tool)} supervises other tokens than mixlaw in {count:,} of {len(some):,} rows that were compared. "
    return [f"{said}Without --by-reference it supervises the same ones."] if count else []


def _read(project: Project, name: str, form: str, tool: str) -> tuple[Keys | None, dict[str, str], int]:
    """Return what a source calls things, its roles and the rows that the tool skips; refuse what it loses.

    Every row is read: what is lost may be in the last.
    """
    traits, keys, roles, skipped = Traits(), None, {}, 0
    for row, conversation, _ in conversations(project.domains[name]):
        traits.add(conversation)
        skipped += tool == "llamafactory" and not takes(conversation)
        if form in ("messages", "sharegpt"):
            here, turns = _keys(row, project.domains[name].columns)
            if here is None or (keys is not None and here != keys):
                raise ConfigError(
                    f"--by-reference: {row.place}: '{name}' has its turns in another form than a list of objects with "
                    f"the same two keys, which {_said(tool)} cannot read.",
                    _REMEDY,
                )
            keys = here
            system = len(conversation.messages) > len(turns) or row.values.get("system")
            if system:
                raise ConfigError(
                    f"--by-reference: {row.place}: '{name}' has a column of system prompts, of which {_said(tool)} is "
                    "not told.",
                    _REMEDY,
                )
            roles |= {
                turn[here.role]: message["role"] for turn, message in zip(turns, conversation.messages, strict=False)
            }
    if not traits.plain:
        raise ConfigError(
            f"--by-reference: {_said(tool)} would lose a part of '{name}': {traits.said(traits.counts)}.",
            "Export the materialised files, which are written so that it keeps them: leave out --by-reference.",
        )
    return keys, roles, skipped


def _keys(row: RawRow, columns: Mapping[str, str]) -> tuple[Keys | None, Sequence[Mapping[str, Any]]]:
    """Return the column of turns, and the keys of a turn's role and content; None where they are no plain list."""
    names = [columns.get(name, name) for name in ("messages", "conversations")]
    column = next((name for name in names if isinstance(row.values.get(name), list)), None)
    turns = row.values[column] if column is not None else []
    found = set()
    for turn in turns:
        if not isinstance(turn, Mapping):
            return None, []
        role = next((key for key in ROLE_KEYS if turn.get(key)), None)
        content = next((key for key in CONTENT_KEYS if turn.get(key) is not None), None)
        found.add((role, content))
    if len(found) != 1 or None in (pair := found.pop()) or column is None:
        return None, []
    return Keys(column, str(pair[0]), str(pair[1])), turns


def _said(tool: str) -> str:
    return NAMES.get(tool, tool)
