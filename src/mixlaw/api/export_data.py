"""The data of a materialised export: in the form that the tool reads, in the export's own folder."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixlaw.api.mixture import Wanted
from mixlaw.api.project import Project
from mixlaw.core.errors import DataError
from mixlaw.data.exports.forms import NAMES, Form, form_by_masks, form_by_traits
from mixlaw.data.exports.kept import without_skipped
from mixlaw.data.exports.own_data import (
    Convert,
    as_saved_dataset,
    link,
    message_row,
    mixture_rows,
    settle,
    write_rows,
    write_tokens,
)
from mixlaw.data.exports.recipe import Rows
from mixlaw.data.exports.sharegpt import sharegpt_row
from mixlaw.data.exports.supervision import SUPERVISIONS, differing, eot_tokens, thinking_keys
from mixlaw.data.exports.traits import Traits
from mixlaw.data.materialise import materialise, planned
from mixlaw.data.prepare import DomainTokens

DATA = "data"
MODEL = "model"
MAX_DROPPED = 0.01
"""Part of a mixture's rows that a tool may skip; above it an export is refused."""
_COMPARED = 200


@dataclass
class Data:
    """What was written of a mixture for a tool.

    Attributes:
        names: the files, or the one folder, relative to the export's.
        counts: rows of each.
        rows: their form.
        manifest: of the mixture whose rows they are.
        mixture: its folder.
        traits: what its rows hold.
        dropped: (domain, reason) -> rows of the first draw that the tool would have skipped, and that were replaced.
        notes: sentences for the user.
    """

    names: list[str]
    counts: list[int]
    rows: Rows
    manifest: Mapping[str, Any]
    mixture: Path
    traits: Traits
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return what export.json says of them."""
        shares = {name: d["achieved_share"] for name, d in self.manifest["domains"].items()}
        tokens = {name: d["achieved_tokens"] for name, d in self.manifest["domains"].items()}
        return {
            "form": "tokens" if self.rows.tokens else "conversations",
            "why": self.rows.why,
            "data": self.names,
            "rows": sum(self.counts),
            "holds": dict(self.traits.counts),
            "achieved_shares": shares,
            "achieved_tokens": tokens,
            "replaced": [{"domain": d, "reason": r, "rows": n} for (d, r), n in sorted(self.dropped.items())],
        }


def write_data(
    project: Project,
    wanted: Wanted,
    tool: str,
    manifest: Mapping[str, Any],
    mixture: Path,
    folder: Path,
    *,
    rows: str = "auto",
    max_dropped: float = MAX_DROPPED,
    shards: int | None = None,
) -> Data:
    """Write the data of an export into its folder, and return what was written.

    Args:
        project: whose mixture it is.
        wanted: the mixture.
        tool: one of the known tools.
        manifest: of the mixture's files.
        mixture: their folder.
        folder: the export's.
        rows: `auto`, `conversations` or `tokens`.
        max_dropped: part of the rows that the tool may skip.
        shards: files of the mixture, as asked for.

    Raises:
        DataError: the tool would lose a part of the rows, or skip too many of them.
        StudyError: the folder holds other data.
    """
    names = [file["name"] for file in manifest["files"]]
    traits, some = _looked_at(mixture, manifest, names)
    form = _form(project, tool, traits, some, rows)
    chat = project.tokenizer.loaded
    holds = frozenset(traits.counts)
    own = tool == "llamafactory" or (tool in ("trl", "axolotl") and not traits.plain)
    stated = Rows(form.tokens, holds, own, tuple(eot_tokens(chat)), thinking_keys(chat), form.why)
    data = Data(
        names, [file["rows"] for file in manifest["files"]], stated, manifest, mixture, traits, notes=[form.why]
    )
    part = folder / f".{DATA}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        if form.tokens:
            _tokens(project, wanted, tool, data, part, shards)
        elif own:
            _own(project, wanted, tool, data, part, max_dropped)
        else:
            link([mixture / name for name in names], part)
        settle(part, folder / DATA)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    data.names = [f"{DATA}/{name}" for name in data.names] or [DATA]
    return data


def _looked_at(mixture: Path, manifest: Mapping[str, Any], names: list[str]) -> tuple[Traits, list[Any]]:
    """Return what the rows hold, and some of them from all over the files."""
    traits, some = Traits(), []
    step = max(1, sum(file["rows"] for file in manifest["files"]) // _COMPARED)
    for i, (conversation, _, place) in enumerate(mixture_rows(mixture, names)):
        traits.add(conversation)
        if i % step == 0 and len(some) < _COMPARED:
            some.append((conversation, place))
    return traits, some


def _form(project: Project, tool: str, traits: Traits, some: list[Any], rows: str) -> Form:
    chat = project.tokenizer.loaded
    form = form_by_traits(tool, traits, rows, chat.template.marked)
    if form is not None:
        return form
    if tool in SUPERVISIONS:
        return form_by_masks(tool, differing(tool, chat, some), len(some), rows)
    if tool == "llamafactory" and rows == "auto" and not _parses(project):
        return Form(
            True,
            "Rows are tokens with labels: LLaMA-Factory cannot make a template of the tokenizer's, which refuses a "
            "system turn alone or an empty one.",
        )
    return Form(False, f"Rows are conversations, which {NAMES.get(tool, tool)} turns into tokens by its own rules.")


def _parses(project: Project) -> bool:
    """Whether the chat template writes the conversations by which LLaMA-Factory parses it (`parse_template`)."""
    system, user = {"role": "system", "content": ""}, {"role": "user", "content": "q"}
    try:
        for messages in ([{**system, "content": "s"}], [system, user], [user, {"role": "assistant", "content": "a"}]):
            project.tokenizer.loaded.tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception:  # whatever the template raises
        return False
    return True


def _tokens(project: Project, wanted: Wanted, tool: str, data: Data, part: Path, shards: int | None) -> None:
    rows = {name: tokens.train for name, tokens in project.prepared.items()}
    plan = planned(project.prepared, wanted.mixture, project.config.plan.seed, shards)
    data.names = write_tokens(plan, rows, part)
    if tool == "llamafactory":
        as_saved_dataset([part / name for name in data.names], part / "saved")
        for name in data.names:
            (part / name).unlink()
        data.names = ["saved"]


def _own(project: Project, wanted: Wanted, tool: str, data: Data, part: Path, max_dropped: float) -> None:
    """Write the rows in the tool's form; where it would skip some, draw others of the same domains."""
    convert = _convert(tool, data.traits)
    names, file = [f["name"] for f in data.manifest["files"]], part / "train.jsonl"
    data.dropped = write_rows(mixture_rows(data.mixture, names), convert, file)
    data.names = [file.name]
    if data.dropped:
        _require_few(tool, data, max_dropped)
        prepared: dict[str, DomainTokens] = dict(project.prepared)
        for name in {domain for domain, _ in data.dropped}:
            prepared[name] = without_skipped(project.domains[name], prepared[name], convert)
        data.mixture = data.mixture.with_name(f"{data.mixture.name}-{tool}")
        seed = project.config.plan.seed
        data.manifest = materialise(project.domains, prepared, wanted.mixture, data.mixture, seed=seed)
        names = [f["name"] for f in data.manifest["files"]]
        if left := write_rows(mixture_rows(data.mixture, names), convert, file):
            raise DataError(f"{NAMES[tool]} would still skip {left.total():,} rows.", "Export with --rows tokens.")
        data.notes.append(f"{_skipped(tool, data)} Other rows of the same domains were drawn in their place.")
    data.counts = [sum(f["rows"] for f in data.manifest["files"])]


def _convert(tool: str, traits: Traits) -> Convert:
    if tool == "llamafactory":
        return lambda conversation: sharegpt_row(conversation, bool(traits.counts["tools"]))
    return lambda conversation: message_row(conversation, tool == "axolotl")


def _require_few(tool: str, data: Data, max_dropped: float) -> None:
    share = data.dropped.total() / data.traits.rows
    if share > max_dropped:
        raise DataError(
            f"{_skipped(tool, data)} That is {share:.1%}, more than {max_dropped:.1%}.",
            "Correct the rows, export with --rows tokens, which keeps them all, or allow more with --max-dropped.",
        )


def _skipped(tool: str, data: Data) -> str:
    reasons = "; ".join(
        f"{count:,} of '{domain}' for {reason}" for (domain, reason), count in data.dropped.most_common(3)
    )
    return f"{NAMES[tool]} skips {data.dropped.total():,} of {data.traits.rows:,} rows: {reasons}."
