"""Training files of a mixture: whole conversations, globally shuffled, the same bytes every time, with a manifest."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw.core.domain import Domain
from mixlaw.core.errors import ConfigError, DataError, MissingExtra, StudyError
from mixlaw.core.files import read_json, write_json
from mixlaw.core.fingerprints import file_fingerprint, fingerprint
from mixlaw.core.mixture import Mixture
from mixlaw.core.seeds import generator
from mixlaw.data.prepare import DomainTokens, conversations, hashed_sources
from mixlaw.data.reading import source_files
from mixlaw.data.rows import replace_folder, sample_rows

FILE_FORMATS = ("jsonl", "parquet")
_VERSION = 1


def materialise(
    domains: Mapping[str, Domain],
    prepared: Mapping[str, DomainTokens],
    mixture: Mixture,
    out_dir: str | Path,
    *,
    seed: int = 0,
    file_format: str = "jsonl",
) -> dict[str, Any]:
    """Write the training files of a mixture into a new folder, whole or not at all.

    A row is `{"messages": [...], "domain": <name>}`. A domain's rows are its sample of w_i N tokens (whole reshuffled
    passes and a remainder where it must repeat), so the achieved tokens are within one row of the requested ones.

    Args:
        domains: name -> source, for the text.
        prepared: name -> token rows, for the counts.
        mixture: weights and budget.
        out_dir: the folder to write; an earlier one is replaced, the same one is left as it is.
        seed: of the sample and of the order.
        file_format: `jsonl` or `parquet`.

    Returns:
        The manifest, as written to manifest.json.

    Raises:
        ConfigError: an unknown format or domain.
        DataError: a source file is not the one whose tokens were counted.
        StudyError: the folder is not one that mixlaw wrote, or cannot be written.
    """
    if file_format not in FILE_FORMATS:
        raise ConfigError(f"There is no file format '{file_format}'.", f"Choose one of: {', '.join(FILE_FORMATS)}.")
    if unknown := sorted(set(mixture.weights) - set(domains)):
        raise ConfigError(f"The mixture has unknown domains: {', '.join(unknown)}.", "Mend the names.")
    out_dir, tokens = Path(out_dir), mixture.tokens
    wanted = {name: tokens[name] for name in tokens if tokens[name] > 0}
    identity = fingerprint(
        {
            "version": _VERSION,
            "weights": dict(mixture.weights),
            "budget": mixture.budget_tokens,
            "data": {name: prepared[name].train.fingerprint for name in wanted},
            "sources": {name: [s["sha256"] for s in prepared[name].sources] for name in wanted},
            "seed": seed,
            "format": file_format,
        }
    )
    if (existing := _existing(out_dir, identity)) is not None:
        return existing
    samples = {name: sample_rows(prepared[name].train, count, seed, name) for name, count in wanted.items()}
    texts = {name: _texts(domains[name], prepared[name], samples[name]) for name in samples}
    order = _shuffled(samples, seed)
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    except OSError as error:
        raise StudyError(f"{out_dir} cannot be written: {error.strerror}.", "Choose another folder.") from None
    try:
        file = temporary / f"train.{file_format}"
        (_write_jsonl if file_format == "jsonl" else _write_parquet)(file, order, texts)
        manifest = _manifest(identity, mixture, prepared, samples, seed) | {
            "files": [{"name": file.name, "sha256": file_fingerprint(file), "rows": len(order)}]
        }
        write_json(temporary / "manifest.json", manifest)
        temporary.chmod(0o755)
        replace_folder(temporary, out_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _existing(out_dir: Path, identity: str) -> dict[str, Any] | None:
    """Return the manifest of an identical, undamaged earlier result, or None."""
    if not out_dir.exists():
        return None
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return None
    manifest = read_json(out_dir / "manifest.json") if (out_dir / "manifest.json").is_file() else None
    if not isinstance(manifest, dict) or not {"id", "budget_tokens", "domains", "files"} <= manifest.keys():
        raise StudyError(f"{out_dir} exists and is no mixture of mixlaw's.", "Choose another folder, or move it away.")
    paths = {out_dir / file["name"]: file["sha256"] for file in manifest["files"]}
    if manifest["id"] == identity and all(p.is_file() and file_fingerprint(p) == sha for p, sha in paths.items()):
        return manifest
    # The whole folder is replaced, so it must hold nothing but the mixture.
    if others := sorted(path.name for path in out_dir.iterdir() if path not in {*paths, out_dir / "manifest.json"}):
        raise StudyError(
            f"{out_dir} holds another mixture, and files that mixlaw did not write: {', '.join(others[:5])}.",
            "Choose another folder, or move them away.",
        )
    return None


def _texts(domain: Domain, prepared: DomainTokens, sample: np.ndarray) -> dict[int, str]:
    """Return the JSON text of every sampled row, once."""
    files = source_files(domain)
    now = [source["sha256"] for source in hashed_sources(domain, files)]
    if now != [source["sha256"] for source in prepared.sources]:
        raise DataError(
            f"Domain '{domain.name}': its {'data set' if files is None else 'files'} changed since the tokens were "
            "counted.",
            "Run the step again.",
        )
    by_source_row = {int(prepared.train.source_rows[row]): int(row) for row in np.unique(sample)}
    texts = {}
    for row, messages, _ in conversations(domain, files):
        if row.number in by_source_row:
            value = {"messages": messages, "domain": domain.name}
            texts[by_source_row[row.number]] = json.dumps(value, ensure_ascii=False)
    return texts


def _shuffled(samples: Mapping[str, np.ndarray], seed: int) -> list[tuple[str, int]]:
    rows = [(name, int(row)) for name in sorted(samples) for row in samples[name]]
    return [rows[i] for i in generator("mixture order", seed).permutation(len(rows))]


def _write_jsonl(file: Path, order: list[tuple[str, int]], texts: Mapping[str, Mapping[int, str]]) -> None:
    with open(file, "w", encoding="utf-8", newline="\n") as stream:
        for name, row in order:
            stream.write(texts[name][row] + "\n")


def _write_parquet(file: Path, order: list[tuple[str, int]], texts: Mapping[str, Mapping[int, str]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "train", "Writing Parquet") from None
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(message)), ("domain", pa.string())])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for start in range(0, len(order), 2048):
            rows = [json.loads(texts[name][row]) for name, row in order[start : start + 2048]]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _manifest(
    identity: str,
    mixture: Mixture,
    prepared: Mapping[str, DomainTokens],
    samples: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, Any]:
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
        "format": _VERSION,
        "id": identity,
        "seed": seed,
        "budget_tokens": mixture.budget_tokens,
        "achieved_tokens": total,
        "domains": entries,
    }
