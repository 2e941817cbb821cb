"""The report of a study is written once: report.json says what it was made from, and has the checksums of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixlaw.api.fitting import code_of, is_bundled, table_content
from mixlaw.core.checksums import FILES, checksums, damage
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.files import json_ready
from mixlaw.core.fingerprints import fingerprint
from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit

_CODE = ("api", "core", "fit", "laws", "report", "solve")
"""The parts of mixlaw that determine a report."""

_KINDS = ("html", "md", "json")
_INPUTS = "inputs"


def report_inputs(runs: RunTable, fit: Fit, others: Any) -> str | None:
    """Return a hash of all that determines a report; None where that cannot be known, as with a law of the user's.

    Args:
        runs: the runs.
        fit: the fit.
        others: what else is in the report, in JSON types or what `json_ready` makes of it.
    """
    if not is_bundled(fit.law):
        return None
    return fingerprint([table_content(runs), json_ready(fit.to_json()), json_ready(others), code_of(*_CODE)])


def written_report(folder: Path, inputs: str | None) -> dict[str, Path] | None:
    """Return `html`, `md`, `json` -> file of a report that was made from these inputs and has not changed, or None."""
    files = {kind: folder / f"report.{kind}" for kind in _KINDS}
    if inputs is None or not files["json"].exists():
        return None
    try:
        there = read_document(files["json"], "report")
    except DataError:
        return None  # damaged, or of a newer mixlaw: it is written anew
    known = there.get(_INPUTS) == inputs and FILES in there
    return files if known and damage(folder, there[FILES]) is None else None


def seal_report(files: Mapping[str, Path], inputs: str | None) -> None:
    """Put into report.json what the report was made from, and the checksums of its other files."""
    folder = files["json"].parent
    others = [files["html"], files["md"], *sorted((folder / "figures").glob("*"))]
    known = {} if inputs is None else {_INPUTS: inputs}
    sums = checksums(folder, [path.relative_to(folder).as_posix() for path in others])
    write_document(files["json"], "report", read_document(files["json"], "report") | known | {FILES: sums})
