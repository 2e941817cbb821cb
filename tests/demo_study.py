"""The demo's runs, trained once and kept: `mixlaw demo` and `make demo` beside them have nothing left to train.

    python tests/demo_study.py mixlaw-demo/study     keep the runs of a finished demo (after the bundle changed)

A record counts only for the spec that it belongs to, so that records of another bundle are no use to anybody.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

KEPT = Path(__file__).parent / "data" / "demo_study.json"
FILES = ("spec.json", "record.json", "timing.json")


def place_runs(study: Path) -> None:
    """Write the kept runs into a study folder."""
    for name, files in json.loads(KEPT.read_text(encoding="utf-8")).items():
        folder = study / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, value in files.items():
            (folder / file).write_text(json.dumps(value), encoding="utf-8")


def place_solution(config: Path) -> None:
    """Write the kept comparison runs of the solution for the weights that a finished demo found here.

    Draws, and weights with them, are others on another processor, and so would the runs be.
    """
    from mixlaw.api.compare import confirmation_study
    from mixlaw.api.mixture import wanted_mixture
    from mixlaw.api.project import Project
    from mixlaw.core.run import RunRecord

    project = Project.open(config, lambda text: None)
    study, tokens = confirmation_study(project.study), wanted_mixture(project).mixture.tokens
    for name, files in json.loads(KEPT.read_text(encoding="utf-8")).items():
        if name.startswith("confirmation/runs/solution-"):
            record = RunRecord.from_json(files["record.json"])
            spec = replace(record.spec, tokens=tokens)
            study.add_to_plan([spec])
            if lease := study.claim(spec):
                study.complete(spec, replace(record, spec=spec), files["timing.json"])
                lease.release()


def keep_runs(study: Path) -> None:
    """Keep the finished runs of a study, and of its comparison."""
    runs = {}
    for folder in sorted([*(study / "runs").iterdir(), *(study / "confirmation" / "runs").iterdir()]):
        files = {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in FILES}
        files["timing.json"] = {"wall_s": files["timing.json"]["wall_s"]}
        runs[str(folder.relative_to(study))] = files
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    keep_runs(Path(sys.argv[1]))
