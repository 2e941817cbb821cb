"""Flips single bits in the files of a finished study and looks what each verb then takes from it.

    python -m bench.faults.bitflips [--flips 2000] [--out bench/faults/bitflips.json]

Half of the flips choose a file first, so that small files are hit, and half a byte of all. After each flip a new
process's view of the study is taken: run table, token rows, texts, fit, solution, training logs, and the mixture that
`mix` writes. Each must be what it was, or be refused or left out with a sentence. A flip is

- `named`: an error or a warning names the file,
- `rebuilt`: a warning says that it is made again, and it is what it was,
- `harmless`: all is what it was, and nothing is said: by the kind of file,
- `other`: anything else. There must be none.

Results are written as they grow; a second start goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench.faults.studies import finished
from bench.record import stamp

from mixlaw.api.project import Project
from mixlaw.core import checksums
from mixlaw.core.documents import read_document
from mixlaw.core.errors import MixlawError
from mixlaw.core.files import json_ready, write_json
from mixlaw.data.texts import TextRows, write_texts

SAVE_EVERY = 20


class Said(logging.Handler):
    """Collects what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def view(config: Path, tokenizer: Any) -> tuple[dict[str, str], list[str]]:
    """Return what each reader takes from the study, as text, and what it said."""
    checksums._known.clear()
    said = Said()
    logging.getLogger("mixlaw").addHandler(said)
    project = Project.open(config, said.texts.append)
    project.__dict__["tokenizer"] = tokenizer
    found: dict[str, str] = {}

    def take(name: str, read: Any) -> None:
        try:
            found[name] = json.dumps(json_ready(read()), sort_keys=True)
        except MixlawError as error:
            found[name] = "refused"
            said.texts.append(str(error))

    folder = project.study.folder
    take("records", lambda: [record.to_json() for record in project.study.records()])
    take("plan", lambda: [spec.to_json() for spec in project.study.load_plan()])
    take("rows", lambda: {name: _rows(project, name) for name in project.prepared})
    take("fit", lambda: project.fit.to_json())
    take("solution", lambda: read_document(folder / "solution.json", "solution"))
    take("config", lambda: read_document(folder / "config.resolved.json", "config"))
    take("data", lambda: read_document(folder / "domains.json", "domains"))
    take("logs", lambda: project.study.training_logs())
    take("wall", lambda: [status.wall_s for status in project.study.status()])
    take("trainer", lambda: project.study.load_trainer().to_json(folder))
    take("mixture", lambda: _mixture(project))
    logging.getLogger("mixlaw").removeHandler(said)
    return found, said.texts


def _rows(project: Project, name: str) -> list[str]:
    tokens = project.prepared[name]
    write_texts(project.domains[name], tokens)
    found = []
    for rows in (tokens.train, tokens.validation):
        arrays = (rows.ids, rows.supervised, rows.offsets, rows.source_rows, rows.supervised_bytes)
        found += [array.tobytes().hex() for array in arrays]
        found.append(b"".join(TextRows.open(rows).lines(range(len(rows)))).decode())
    return found


def _mixture(project: Project) -> list[str]:
    from mixlaw.api.mixture import mix

    manifest, folder = mix(project)
    return [json.dumps(manifest), *((folder / file["name"]).read_text() for file in manifest["files"])]


def judged(before: dict[str, str], after: dict[str, str], said: list[str], name: str) -> tuple[str, list[str]]:
    """Return what became of a flip, and the readers that took another value."""
    others = [key for key in before if after[key] not in (before[key], "refused")]
    named = any(Path(name).name in text or Path(name).parent.name in text for text in said)
    if others and not named:
        return "other", others
    if any("made again" in text or "written anew" in text for text in said):
        return ("named" if others else "rebuilt"), others
    if others or "refused" in after.values() or named:
        return "named", others
    return "harmless", []


def main() -> None:
    """Flip bits until there are enough, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("bitflips.json"))
    options = parser.parse_args()
    done: list[dict[str, Any]] = json.loads(options.out.read_text())["flips"] if options.out.exists() else []
    logging.getLogger("mixlaw").setLevel(logging.WARNING)
    logging.getLogger("mixlaw").propagate = False
    with tempfile.TemporaryDirectory(prefix="mixlaw-flips-") as place:
        config = finished(Path(place) / "study")
        study, kept = config.parent / "study", Path(place) / "kept"
        tokenizer = Project.open(config).tokenizer.loaded
        view(config, tokenizer)  # writes the texts
        before, first = view(config, tokenizer)
        assert not [text for text in first if "again" in text], first
        shutil.copytree(study, kept)
        files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file() and path.stat().st_size)
        sizes = [(kept / file).stat().st_size for file in files]
        while len(done) < options.flips:
            rng = random.Random(f"flip {len(done)}")
            file = rng.choice(files) if len(done) % 2 else rng.choices(files, sizes)[0]
            data = bytearray((kept / file).read_bytes())
            place_of = rng.randrange(8 * len(data))
            data[place_of // 8] ^= 1 << place_of % 8
            shutil.rmtree(study)
            shutil.copytree(kept, study)
            (study / file).write_bytes(data)
            after, said = view(config, tokenizer)
            verdict, others = judged(before, after, said, str(file))
            done.append({"file": str(file), "bit": place_of, "verdict": verdict, "others": others})
            if verdict == "other" or len(done) % SAVE_EVERY == 0 or len(done) == options.flips:
                save(options.out, done)


def save(out: Path, done: list[dict[str, Any]]) -> None:
    """Write the flips and their counts."""
    counts = Counter(flip["verdict"] for flip in done)
    harmless = Counter(kind_of(flip["file"]) for flip in done if flip["verdict"] == "harmless")
    head = stamp("reporting", "one of its own for each flip", {})
    write_json(out, head | {"counts": dict(counts), "harmless_by_file": dict(harmless), "flips": done})


def kind_of(file: str) -> str:
    """Return the name of a file without what is the run's or the cache's."""
    path = Path(file)
    return "logs/*" if path.parts[0] == "logs" else f"*{path.suffix or path.name}" if "figures" in file else path.name


if __name__ == "__main__":
    main()
