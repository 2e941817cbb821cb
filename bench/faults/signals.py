"""Ends `mixlaw run` with Ctrl-C and SIGTERM at random moments, and measures how long it takes to end.

    python -m bench.faults.signals [--signals 60] [--out bench/faults/signals.json]

Half of the commands train a tiny Llama in two workers, half a model that counts, which are mostly reading, fitting and
writing. SIGINT goes to all processes of the command, as a terminal sends it, SIGTERM to the command alone. It must end
within 2 s, with the exit code of that signal and the command to go on in its last line, without a traceback, and leave
no process, no lease and no temporary file; the command must then go on to its end.

Results are written after each signal; a second start goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.faults.studies import write_config
from bench.record import stamp

from mixlaw.core.files import write_json

WAIT_S = 600
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def native(folder: Path) -> Path:
    """Write the same study for the trainer `native`."""
    config = write_config(folder)
    text = config.read_text(encoding="utf-8").replace("trainer: 'own_trainer:Bigram', ", "")
    config.write_text(text, encoding="utf-8")
    return config


KINDS = {"counted": write_config, "native": native}


def start(config: Path) -> subprocess.Popen[str]:
    """Start `mixlaw run` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mixlaw", "run", str(config), "--workers", "2"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


def group(leader: int) -> list[int]:
    """Return the living processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            if fields[2] == str(leader) and fields[0] not in "ZX":
                found.append(int(path.parent.name))
    return found


def ended(config: Path, which: signal.Signals, after_s: float) -> dict[str, Any]:
    """Start the command, send the signal, and return how it has ended."""
    process = start(config)
    with contextlib.suppress(subprocess.TimeoutExpired):
        said = process.communicate(timeout=after_s)[1]
        return {"after_s": round(after_s, 2), "sent": False, "wrong": [said[-300:]] if process.returncode else []}
    began = time.monotonic()
    (os.killpg if which == signal.SIGINT else os.kill)(process.pid, which)
    said = process.communicate(timeout=WAIT_S)[1]
    took = time.monotonic() - began
    last = (said.strip().splitlines() or [""])[-1]
    study = config.parent / "study"
    wrong = [f"{p.name} is left" for p in study.rglob("*") if p.name == "lease.json" or p.name.endswith(".tmp")]
    if process.returncode not in (CODES[which], 0):
        wrong.append(f"exit code {process.returncode}: {said[-500:]}")
    if process.returncode and f"mixlaw run {config}" not in " ".join(said.split()):
        wrong.append(f"the last line is: {last}")
    if "Traceback" in said:
        wrong.append(said[-1000:])
    if took > 2:
        wrong.append("took more than 2 s")
    time.sleep(0.5)
    wrong += [f"process {pid} is left" for pid in group(process.pid)]
    return {
        "after_s": round(after_s, 2),
        "sent": True,
        "seconds": round(took, 2),
        "code": process.returncode,
        "wrong": wrong,
    }


def round_of(name: str, folder: Path, most_s: float, rng: random.Random) -> list[dict[str, Any]]:
    """Interrupt one study three times, then let it end."""
    config, found = KINDS[name](folder), []
    for _ in range(3):
        which = rng.choice(list(CODES))
        found.append({"kind": name, "signal": which.name, **ended(config, which, rng.uniform(0.0, most_s))})
    process = start(config)
    said = process.communicate(timeout=WAIT_S)[1]
    if process.returncode:
        found[-1]["wrong"].append(f"went on to exit code {process.returncode}: {said[-500:]}")
    return found


def main() -> None:
    """Interrupt until there were enough, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signals", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("signals.json"))
    options = parser.parse_args()
    done: list[dict[str, Any]] = json.loads(options.out.read_text())["signals"] if options.out.exists() else []
    with tempfile.TemporaryDirectory(prefix="mixlaw-signals-") as place:
        lasts = {}
        for name, make in KINDS.items():
            config, began = make(Path(place) / name), time.monotonic()
            assert start(config).communicate(timeout=WAIT_S) and (config.parent / "study" / "fit.json").exists()
            lasts[name] = time.monotonic() - began
        while len(done) < options.signals:
            number = len(done) // 3
            name = list(KINDS)[number % 2]
            done += round_of(name, Path(place) / f"round-{number}", lasts[name], random.Random(f"signals {number}"))
            sent = [one for one in done if one["sent"]]
            took = sorted(one["seconds"] for one in sent)
            counts = {
                "sent": len(sent),
                "wrong": sum(bool(one["wrong"]) for one in done),
                "median_s": took[len(took) // 2] if took else None,
                "longest_s": took[-1] if took else None,
            }
            head = stamp("reporting", "one of its own for each three", {})
            write_json(options.out, head | {"counts": counts, "signals": done})


if __name__ == "__main__":
    main()
