"""Near copies and shared phrases of a study's rows: counted, never removed.

Two conversations are near copies where their runs of five words are alike: 4 of 5 runs in common (a Jaccard index of
0.8), as MinHash signatures estimate it. A validation row shares a phrase with training where a run of 13 of its words
is in a training row of any domain. Words are those of the normal form, so system prompts do not count.

One pass reads the validation rows, another the training rows, in pieces and by any number of processes. Each row leaves
16 hashes of bands of its signature, by which near copies find each other, and 128 bytes of it to judge a pair by.
Memory: about 200 bytes per row of the largest domain, most of them in files that are mapped.

Source: J. Leskovec, A. Rajaraman, J. Ullman, "Mining of Massive Datasets", section 3.4: with b bands of r values a pair
of similarity s is compared with a probability of 1 - (1 - s^r)^b; here 0.95 at s = 0.8, and 0.06 at s = 0.5. The
13 words are those of Brown et al., arXiv:2005.14165, appendix C.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.data.conversations import as_json
from mixlaw.data.formats import converter
from mixlaw.data.hash_sets import is_in
from mixlaw.data.mixture_files import Origin, rows_before
from mixlaw.data.normal_text import normal_texts
from mixlaw.data.pool import run_tasks, shared
from mixlaw.data.prepare import DomainTokens, read_together
from mixlaw.data.readers import Wanted
from mixlaw.data.reading import Piece, Source, workers_for
from mixlaw.data.word_grams import HASHES, signatures, words_of

SIMILAR = 0.8
PHRASE = 13
_RUN = 5
_BANDS = 16
_CHUNK = 256
_PAIRS_AT_ONCE = 1 << 16
_TABLE_SHIFT = np.uint64(42)
_STRUCTURE = (b'"role": ', b'"content": ')


@dataclass(frozen=True)
class Likeness:
    """What is alike to what in one domain.

    Attributes:
        near_copies: training rows that are near copies of an earlier one of the domain.
        near_validation: training rows that are near copies of a validation row of any domain.
        phrases: validation rows that share a phrase of 13 words with a training row of any domain.
        mostly_known: validation rows at least 8 in 10 of whose phrases are in training rows.
    """

    near_copies: int
    near_validation: int
    phrases: int
    mostly_known: int


@dataclass(frozen=True)
class Compared:
    """What the rows of one piece of a source left.

    Attributes:
        owners: (R,) the domain of each, as a place among the sorted names.
        runs: (R,) whether it has a run of five words, and so a signature.
        bands: (16, R) uint32, hashes of the bands of its signature.
        judged: (R, 128) uint8, the last byte of each value of its signature.
        phrases: (G,) hashes of phrases: all of them, or of the known ones those that are there, without repeats.
        phrase_rows: (G,) the row that each is in, where all are kept.
    """

    owners: np.ndarray
    runs: np.ndarray
    bands: np.ndarray
    judged: np.ndarray
    phrases: np.ndarray
    phrase_rows: np.ndarray


def count_likeness(
    domains: Mapping[str, Domain], prepared: Mapping[str, DomainTokens], workers: int | None = None
) -> dict[str, Likeness]:
    """Return domain -> what is alike in it and to the validation rows of all.

    Args:
        domains: name -> source, for the text.
        prepared: name -> its token rows, for which rows train and which are held out.
        workers: processes; None for one a usable core, or this one alone where there is little to do.
    """
    names = sorted(domains)
    origins = _origins(domains, prepared)
    if workers is None:
        workers = workers_for(sum(origin.source.bytes for origin in origins))
    pieces = [(o, piece) for o, origin in enumerate(origins) for piece in origin.source.pieces()]
    before = rows_before(pieces, origins, workers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_numbers(origins, prepared, names, folder)

        def compared(part: str, known: np.ndarray | None) -> list[Compared]:
            tasks = [
                (compare_piece, (o, piece, before[p], folder / part, folder / f"{part}-{p}"))
                for p, (o, piece) in enumerate(pieces)
            ]
            run_tasks(tasks, workers, (origins, known))
            return [_open(folder / f"{part}-{p}") for p in range(len(pieces))]

        held = _joined(compared("validation", None))
        known = np.unique(held.phrases)
        trained = compared("train", known)
        phrases, mostly = _known_rows(held, np.unique(np.concatenate([part.phrases for part in trained])))
        found = {}
        for d, name in enumerate(names):
            near = _near(trained, d, held)
            mine = held.owners == d
            found[name] = Likeness(*near, int(phrases[mine].sum()), int(mostly[mine].sum()))
        return found


def _origins(domains: Mapping[str, Domain], prepared: Mapping[str, DomainTokens]) -> list[Origin]:
    groups = [[domain.name for domain in some] for some in read_together(domains[name] for name in sorted(domains))]
    return [Origin(names, Source(domains[names[0]]), prepared[names[0]].format) for names in groups]


def _write_numbers(
    origins: Sequence[Origin], prepared: Mapping[str, DomainTokens], names: Sequence[str], folder: Path
) -> None:
    """Write, for each part and source, the rising numbers of its rows and the domain of each."""
    for part in ("train", "validation"):
        (folder / part).mkdir()
        for o, origin in enumerate(origins):
            rows = [np.asarray(getattr(prepared[name], part).source_rows) for name in origin.domains]
            owners = np.repeat([names.index(name) for name in origin.domains], [len(r) for r in rows])
            numbers = np.concatenate(rows)
            order = np.argsort(numbers, kind="stable")
            np.save(folder / part / f"numbers-{o}.npy", numbers[order])
            np.save(folder / part / f"owners-{o}.npy", owners[order].astype(np.int32))


def compare_piece(o: int, piece: Piece, before: int, numbers_in: Path, out: Path) -> None:
    """Write what the rows of one piece leave, as arrays of `Compared`.

    Args:
        o: which of the shared origins.
        piece: of its source.
        before: rows of the source before it.
        numbers_in: folder of the numbers of the rows to look at.
        out: folder to write.
    """
    origins, known = shared()
    origin: Origin = origins[o]
    numbers, owners = (np.load(numbers_in / f"{n}-{o}.npy", mmap_mode="r") for n in ("numbers", "owners"))
    a, b = np.searchsorted(numbers, [before, before + origin.source.count(piece)])
    convert = converter(origin.form, origin.source.domain)
    rows = origin.source.read(piece, Wanted(numbers=np.asarray(numbers[a:b]) - before))
    table = None if known is None else _table(known)
    parts, chunk = [], []
    for row in rows:
        chunk.append(convert(row.values, row.place))
        if len(chunk) == _CHUNK:
            parts.append(_compared(as_json(chunk), known, table))
            chunk = []
    if chunk:
        parts.append(_compared(as_json(chunk), known, table))
    out.mkdir()
    joined = _joined(parts)
    for field in fields(Compared):
        np.save(out / f"{field.name}.npy", owners[a:b] if field.name == "owners" else getattr(joined, field.name))


def _compared(texts: Sequence[bytes], known: np.ndarray | None, table: np.ndarray | None) -> Compared:
    lines = normal_texts(texts)
    for part in _STRUCTURE:
        lines = lines.replace(part, b" ")
    words = words_of(lines)
    with_runs, least = signatures(*words.grams(_RUN))
    runs = np.zeros(len(texts), bool)
    runs[with_runs] = True
    bands, judged = np.zeros((_BANDS, len(texts)), np.uint32), np.zeros((len(texts), HASHES), np.uint8)
    values = least.reshape(len(least), _BANDS, -1).astype(np.uint64)
    factors = np.random.default_rng(1).integers(0, 2**62, values.shape[2], np.uint64) * np.uint64(2) + np.uint64(1)
    bands[:, with_runs] = ((values * factors).sum(2) >> np.uint64(32)).astype(np.uint32).T
    judged[with_runs] = least.astype(np.uint8)
    phrases, phrase_rows = words.grams(PHRASE)
    if known is not None and table is not None:
        some = phrases[table[phrases >> _TABLE_SHIFT]]
        phrases, phrase_rows = np.unique(some[is_in(some, known)]), np.zeros(0, np.int64)
    return Compared(np.zeros(len(texts), np.int32), runs, bands, judged, phrases, phrase_rows)


def _table(known: np.ndarray) -> np.ndarray:
    """Return whether some known hash begins with given bits: nearly all others are told from them at once."""
    table = np.zeros(1 << (64 - int(_TABLE_SHIFT)), bool)
    table[known >> _TABLE_SHIFT] = True
    return table


def _open(folder: Path) -> Compared:
    return Compared(*(np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(Compared)))


def _joined(parts: Sequence[Compared]) -> Compared:
    if not parts:
        nothing = np.zeros(0, np.int64)
        bands, judged = np.zeros((_BANDS, 0), np.uint32), np.zeros((0, HASHES), np.uint8)
        return Compared(nothing, nothing.astype(bool), bands, judged, nothing.astype(np.uint64), nothing)
    before = np.cumsum([0, *(len(part.owners) for part in parts[:-1])])
    return Compared(
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.runs for part in parts]),
        np.concatenate([part.bands for part in parts], axis=1),
        np.concatenate([part.judged for part in parts]),
        np.concatenate([part.phrases for part in parts]),
        np.concatenate([part.phrase_rows + first for part, first in zip(parts, before, strict=True)]),
    )


def _known_rows(held: Compared, trained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (R,) which validation rows share a phrase with training, and which most of their phrases."""
    there = is_in(held.phrases, trained)
    count = len(held.owners)
    shared_, every = (
        np.bincount(held.phrase_rows[there], minlength=count),
        np.bincount(held.phrase_rows, minlength=count),
    )
    return shared_ > 0, (shared_ > 0) & (shared_ >= SIMILAR * every)


def _near(trained: Sequence[Compared], domain: int, held: Compared) -> tuple[int, int]:
    """Return how many of a domain's training rows are near an earlier one of it, and near a validation row."""
    mine = [np.flatnonzero((part.owners == domain) & part.runs) for part in trained]
    judged = np.concatenate([part.judged[rows] for part, rows in zip(trained, mine, strict=True)])
    near_held, near_own = np.zeros(len(judged), bool), np.zeros(len(judged), bool)
    candidates = np.flatnonzero(held.runs)
    for band in range(_BANDS):
        keys = np.concatenate([part.bands[band, rows] for part, rows in zip(trained, mine, strict=True)])
        theirs, first = np.unique(held.bands[band, candidates], return_index=True)
        hit = np.flatnonzero(is_in(keys.astype(np.uint64), theirs.astype(np.uint64)) & ~near_held)
        pairs = candidates[first[np.searchsorted(theirs, keys[hit])]]
        near_held[hit] = _similar(judged, hit, held.judged, pairs)
        order = np.argsort(keys, kind="stable")
        begins = np.concatenate([[True], keys[order[1:]] != keys[order[:-1]]]) if len(keys) else np.zeros(0, bool)
        leader = np.empty_like(order)
        leader[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
        rest = np.flatnonzero((leader != np.arange(len(order))) & ~near_own)
        near_own[rest] = _similar(judged, rest, judged, leader[rest])
    return int(near_own.sum()), int(near_held.sum())


def _similar(a: np.ndarray, rows: np.ndarray, b: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return whether pairs of signatures agree as often as near copies do."""
    found = np.zeros(len(rows), bool)
    for first in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(first, first + _PAIRS_AT_ONCE)
        agree = (a[rows[some]] == b[others[some]]).mean(axis=1)
        # Of different values one in 256 has the same last byte.
        found[some] = (agree - 1 / 256) / (1 - 1 / 256) >= SIMILAR
    return found
