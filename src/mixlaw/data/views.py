"""Training rows without what another domain of the study holds out.

The cache has an entry for each domain alone. A study's domains may share conversations, and a conversation that one of
them holds out must train in none: where a domain has such rows, a second entry takes the place of the first, with the
same validation rows and without those training rows. Its name follows from what it leaves out, so it does not depend
on the order or the names of the domains, and a domain that shares nothing keeps its entry.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixlaw.core.checksums import FILES
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.files import naming_full_disk
from mixlaw.core.fingerprints import fingerprint
from mixlaw.data.entries import SUMMARY, is_sound, new_entry
from mixlaw.data.hash_sets import is_in
from mixlaw.data.rows import TokenRows
from mixlaw.data.splitting import TRAIN, VALIDATION, selected

if TYPE_CHECKING:
    from mixlaw.data.prepare import DomainTokens


def without_held_out(prepared: Mapping[str, DomainTokens]) -> dict[str, DomainTokens]:
    """Return the domains of a study without the training rows that another of them holds out.

    Args:
        prepared: name -> the domain's own entry in the cache.

    Raises:
        DataError: nothing is left to train on in some domain.
    """
    held = {name: np.unique(np.load(d.entry / VALIDATION)) for name, d in prepared.items()}
    every = np.unique(np.concatenate(list(held.values()))) if held else np.zeros(0, np.uint64)
    return {name: _without(d, every, held) for name, d in prepared.items()}


def _without(domain: DomainTokens, every: np.ndarray, held: Mapping[str, np.ndarray]) -> DomainTokens:
    content = np.load(domain.entry / TRAIN, mmap_mode="r")
    forbidden = is_in(content, every)
    if not forbidden.any():
        return domain
    hashes = content[forbidden]
    counts = {name: int(is_in(hashes, theirs).sum()) for name, theirs in held.items()}
    counts = {name: count for name, count in counts.items() if count}
    if forbidden.all():
        owners = ", ".join(f"'{name}' ({count:,})" for name, count in sorted(counts.items()))
        raise DataError(
            f"Domain '{domain.name}': each of its {len(content):,} training rows is a validation row of another "
            f"domain, and rows held out in one domain are not trained on in any: {owners}. No rows are left to "
            "train on.",
            f"Remove '{domain.name}', add rows to it, or hold out fewer: validation: {{rows: ...}}.",
        )
    left_out = fingerprint([domain.entry.name, "without", list(map(int, np.unique(hashes)))])[:24]
    folder = domain.entry.parent / left_out
    if not is_sound(folder, len(domain.sources)):
        with naming_full_disk(folder.parent), new_entry(folder) as temporary:
            _write(domain, ~forbidden, temporary)
    train, validation = (TokenRows.open(folder / part) for part in ("train", "validation"))
    return replace(domain, train=train, validation=validation, held_out_elsewhere=counts)


def _write(domain: DomainTokens, kept: np.ndarray, folder: Path) -> None:
    train = domain.train
    TokenRows.write_stream(
        folder / "train",
        lambda: selected(train.ids, train.row_tokens, kept),
        lambda: selected(train.supervised, train.row_tokens, kept),
        train.row_tokens[kept],
        np.asarray(train.source_rows)[kept],
        np.asarray(train.supervised_bytes)[kept],
    )
    shutil.copytree(domain.validation.folder, folder / "validation", copy_function=_link)
    summary = read_document(domain.entry / SUMMARY, "prepared")
    summary.pop(FILES, None)  # of the hashes of contents, which a view has none of
    write_document(folder / SUMMARY, "prepared", summary)


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the file system has no such thing: nothing writes into it."""
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)
