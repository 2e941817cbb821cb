"""Training files of a mixture: whole conversations, globally shuffled, the same bytes every time, with a manifest.

The work is done in a folder beside the result, `.<name>.<id>.partial`, which becomes the result at the end. A process
that was killed leaves it behind; the next one with the same wish goes on in it (see `mixlaw.data.mixture_files`).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.checksums import FILES, damage
from mixlaw.core.documents import document, read_document, write_document
from mixlaw.core.domain import Domain
from mixlaw.core.errors import ConfigError, DataError, StudyError
from mixlaw.core.files import naming_full_disk, write_text
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.mixture import Mixture
from mixlaw.data.mixture_files import DamagedStep, Origin, finished_step, write_files, write_plan
from mixlaw.data.mixture_plan import MixturePlan, plan_mixture
from mixlaw.data.prepare import DomainTokens, read_together, require_unchanged
from mixlaw.data.reading import Source, workers_for
from mixlaw.data.rows import replace_folder

FILE_FORMATS = ("jsonl", "parquet")
CARD = "README.md"
MANIFEST = "manifest.json"
_VERSION = 2
_PLAN = "plan.json"
_log = logging.getLogger(__name__)

Card = Callable[[Mapping[str, Any]], str]
"""Turns a manifest into the text of the mixture's README.md."""


def materialise(
    domains: Mapping[str, Domain],
    prepared: Mapping[str, DomainTokens],
    mixture: Mixture,
    out_dir: str | Path,
    *,
    seed: int = 0,
    file_format: str = "jsonl",
    shards: int | None = None,
    workers: int | None = None,
    card: Card | None = None,
) -> dict[str, Any]:
    """Write the training files of a mixture into a new folder, whole or not at all.

    A row is what `Conversation.line` writes: `{"messages": [...], "domain": <name>}`, and `tools` where it has any. A
    domain's rows are its sample of w_i N tokens (whole reshuffled passes and a remainder where it must repeat), so the
    achieved tokens are within one row of the requested ones.

    Args:
        domains: name -> source, for the text.
        prepared: name -> token rows, for the counts.
        mixture: weights and budget.
        out_dir: the folder to write; an earlier one is replaced, the same one is left as it is.
        seed: of the sample and of the order.
        file_format: `jsonl` or `parquet`.
        shards: how many files; None for one, or more where it would be larger than about 100 MB.
        workers: processes; None for one a usable core, or this one alone where there is little to do. The bytes do not
            depend on it.
        card: writes the folder's README.md; None for none.

    Returns:
        The manifest, as written to manifest.json.

    Raises:
        ConfigError: an unknown format or domain, or fewer than one file or process.
        DataError: a source file is not the one whose tokens were counted.
        StudyError: the folder is not one that mixlaw wrote, cannot be written, or is being written by another process.
    """
    _check(domains, mixture, file_format, shards, workers)
    out_dir, wanted = Path(out_dir), wanted_tokens(mixture)
    identity = fingerprint(
        {
            "version": _VERSION,
            "weights": dict(mixture.weights),
            "budget": mixture.budget_tokens,
            "data": {name: prepared[name].train.fingerprint for name in wanted},
            "sources": {name: [s["sha256"] for s in prepared[name].sources] for name in wanted},
            "seed": seed,
            "format": file_format,
            "shards": shards,
        }
    )
    if (existing := _existing(out_dir, identity)) is not None:
        _write_card(card, existing, out_dir)
        return existing
    origins = _origins({name: domains[name] for name in wanted}, prepared)
    plan = planned(prepared, mixture, seed, shards)
    if workers is None:
        workers = workers_for(sum(origin.source.bytes for origin in origins))
    carried = frozenset(key for name in plan.samples for key in prepared[name].carried)
    with _working_folder(out_dir, identity) as folder:
        step = {"id": identity, "rows": plan.rows, "shards": plan.shards}

        def write() -> list[dict[str, Any]]:
            if (folder / _PLAN).exists():
                _require_sound(folder)
            else:
                files = write_plan(plan, dict(prepared), origins, folder)
                write_document(folder / _PLAN, "mixture_step", step | {FILES: files})
            return write_files(plan, origins, file_format, folder, workers, carried)

        try:
            files = write()
        except DamagedStep as error:
            _log.warning("%s The mixture is written anew.", error.message)
            _empty(folder)
            files = write()
        manifest = document("mixture", _manifest(identity, mixture, prepared, plan, seed) | {"files": files})
        write_document(folder / "files" / MANIFEST, "mixture", manifest)
        _write_card(card, manifest, folder / "files")
        replace_folder(folder / "files", out_dir)
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def wanted_tokens(mixture: Mixture) -> dict[str, int]:
    """Return domain -> tokens of a mixture, without the domains that have none in it."""
    tokens = mixture.tokens
    return {name: tokens[name] for name in sorted(tokens) if tokens[name] > 0}


def planned(
    prepared: Mapping[str, DomainTokens], mixture: Mixture, seed: int = 0, shards: int | None = None
) -> MixturePlan:
    """Return the rows of `materialise`'s files and their order."""
    wanted = wanted_tokens(mixture)
    return plan_mixture({name: prepared[name].train.row_tokens for name in wanted}, wanted, seed, shards)


def _check(
    domains: Mapping[str, Domain], mixture: Mixture, file_format: str, shards: int | None, workers: int | None
) -> None:
    if file_format not in FILE_FORMATS:
        raise ConfigError(f"There is no file format '{file_format}'.", f"Choose one of: {', '.join(FILE_FORMATS)}.")
    if unknown := sorted(set(mixture.weights) - set(domains)):
        raise ConfigError(
            f"The mixture has domains that mix.yaml does not have: {', '.join(unknown)}.", "Correct the names."
        )
    for name, value in (("shards", shards), ("workers", workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.", "Correct it.")


@contextlib.contextmanager
def _working_folder(out_dir: Path, identity: str) -> Iterator[Path]:
    """Hold the folder in which a mixture is made; those of other mixtures for the same place are removed."""
    import fcntl

    folder = out_dir.parent / f".{out_dir.name}.{identity[:12]}.partial"
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        lock = open(folder / "lock", "a")  # noqa: SIM115 - closed below
    except OSError as error:
        raise StudyError(f"{out_dir} cannot be written: {error.strerror}.", "Choose another folder.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StudyError(
                f"Another process is writing {out_dir}.", "Wait for it, or choose another folder with --out."
            ) from None
        for other in out_dir.parent.glob(f".{out_dir.name}.*.partial"):
            if other != folder and _free(other):
                shutil.rmtree(other, ignore_errors=True)
        with naming_full_disk(out_dir):
            yield folder


def _require_sound(folder: Path) -> None:
    """Raise DamagedStep where the plan in a working folder is not as it was written, or has no checksums."""
    files = finished_step(folder / _PLAN).get(FILES)
    problem = f"{folder} was begun by an earlier version." if files is None else damage(folder, files)
    if problem:
        raise DamagedStep(problem)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink(missing_ok=True)


def _free(folder: Path) -> bool:
    import fcntl

    with contextlib.suppress(OSError), open(folder / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _write_card(card: Card | None, manifest: Mapping[str, Any], folder: Path) -> None:
    if card is None:
        return
    text = card(manifest)
    if not (folder / CARD).exists() or (folder / CARD).read_bytes() != text.encode():
        write_text(folder / CARD, text)


def _existing(out_dir: Path, identity: str) -> dict[str, Any] | None:
    """Return the manifest of an identical, undamaged earlier result, or None."""
    if not out_dir.exists():
        return None
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return None
    try:
        manifest = document("mixture", read_document(out_dir / MANIFEST, "mixture"))
    except DataError as error:
        raise StudyError(
            f"{out_dir} exists and is not a mixture that mixlaw wrote. {error.message}", error.hint
        ) from None
    paths = {out_dir / file["name"]: file["sha256"] for file in manifest["files"]}
    if manifest["id"] == identity:
        if (problem := damage(out_dir, {path.name: digest for path, digest in paths.items()})) is None:
            return manifest
        _log.warning("%s The mixture is written anew.", problem)
    # The whole folder is replaced, so it must hold nothing but the mixture.
    own = {*paths, out_dir / MANIFEST, out_dir / CARD}
    if others := sorted(path.name for path in out_dir.iterdir() if path not in own):
        raise StudyError(
            f"{out_dir} holds another mixture, and files that mixlaw did not write: {', '.join(others[:5])}.",
            "Choose another folder, or move them away.",
        )
    return None


def _origins(domains: Mapping[str, Domain], prepared: Mapping[str, DomainTokens]) -> list[Origin]:
    """Return the sources of some domains, a collection once; DataError where a file is not the one that was counted."""
    hashes: dict[str, str] = {}
    found = []
    for group in read_together(domains.values()):
        names = [domain.name for domain in group]
        source = Source(domains[names[0]])
        for name in names:
            require_unchanged(domains[name], source.files, prepared[name], hashes)
        found.append(Origin(names, source, prepared[names[0]].format))
    return found


def _manifest(
    identity: str,
    mixture: Mixture,
    prepared: Mapping[str, DomainTokens],
    plan: MixturePlan,
    seed: int,
) -> dict[str, Any]:
    samples = plan.samples
    achieved = {name: int(prepared[name].train.row_tokens[rows].sum()) for name, rows in samples.items()}
    total, tokens = sum(achieved.values()), mixture.tokens
    entries = {}
    for name, weight in mixture.weights.items():
        rows, train = samples.get(name, np.zeros(0, np.int64)), prepared[name].train
        entries[name] = {
            "requested_share": weight,
            "achieved_share": achieved.get(name, 0) / total,
            "requested_tokens": tokens[name],
            "achieved_tokens": achieved.get(name, 0),
            "supervised_tokens": int(train.row_supervised[rows].sum()),
            "rows": len(rows),
            "distinct_rows": len(np.unique(rows)),
            "available_tokens": train.tokens,
            "epochs": achieved.get(name, 0) / train.tokens,
            "longest_row_tokens": int(train.row_tokens.max()),
            "sources": prepared[name].sources,
        }
    return {
        "id": identity,
        "seed": seed,
        "budget_tokens": mixture.budget_tokens,
        "achieved_tokens": total,
        "domains": entries,
    }
