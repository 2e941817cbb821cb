"""Runs that a study has beyond its design: batches of a sequential one, and what a change of domains makes necessary.

They are chosen from runs that are finished, so they are kept (`added.json`): the next time the same question would have
another answer. What is kept belongs to one set of domains; with another set it is chosen anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mixlaw.api.noise import measured_noise
from mixlaw.core.commands import command
from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import StudyError
from mixlaw.core.run import RunRecord
from mixlaw.design.extend import extend_design
from mixlaw.design.information import NOISE_NATS
from mixlaw.study.store import Study

if TYPE_CHECKING:
    from mixlaw.api.project import Project

_FILE = "added.json"


@dataclass(frozen=True)
class Added:
    """Runs beyond the design.

    Attributes:
        domains: those of the study when the runs were chosen, sorted.
        instead: whether they, with the runs there were, take the place of the design.
        runs: (name, {domain: tokens}).
        reasons: sentences.
    """

    domains: tuple[str, ...]
    instead: bool = False
    runs: tuple[tuple[str, dict[str, int]], ...] = ()
    reasons: tuple[str, ...] = ()

    def and_then(self, mixtures: Sequence[dict[str, int]], reason: str) -> Added:
        """Return these and the next batch."""
        first = len(self.runs) + 1
        batch = tuple((f"next-{first + i}", tokens) for i, tokens in enumerate(mixtures))
        return replace(self, runs=(*self.runs, *batch), reasons=(*self.reasons, reason))


def load_added(study: Study, domains: Sequence[str]) -> Added | None:
    """Return what the study keeps for these domains, or None.

    Raises:
        DataError: the file that keeps it is damaged.
    """
    path = study.folder / _FILE
    if not path.is_file():
        return None
    kept = read_document(path, "added")
    runs = tuple((run["name"], run["tokens"]) for run in kept["runs"])
    added = Added(tuple(kept["domains"]), kept["instead"], runs, tuple(kept["reasons"]))
    return added if added.domains == tuple(sorted(domains)) else None


def save_added(study: Study, added: Added) -> None:
    """Write it to the study, atomically."""
    study.create()
    said = [{"name": name, "tokens": tokens} for name, tokens in added.runs]
    write_document(
        study.folder / _FILE,
        "added",
        {
            "domains": list(added.domains),
            "instead": added.instead,
            "runs": said,
            "reasons": list(added.reasons),
        },
    )


def comparable(records: Sequence[RunRecord], inputs: Mapping[str, str], points: bool = False) -> list[RunRecord]:
    """Return the trained proxy runs whose losses can be fitted with those of runs with these inputs.

    The model, the settings, the training data of the domains that a run used and the validation rows must be the same
    as far as both have them; a domain or target that only one of them has does no harm.

    Args:
        records: finished runs.
        inputs: of the runs that would be trained now (`RunSpec.inputs`).
        points: whether these have points along them, and so another schedule than other runs.
    """
    found = []
    for record in records:
        spec = record.spec
        used = {f"data:{name}" for name, tokens in spec.tokens.items() if tokens > 0}
        same = all(
            inputs.get(key, value) == value
            for key, value in spec.inputs.items()
            if not key.startswith("data:") or key in used
        )
        same = same and bool(spec.points) == points
        shared = any(key.startswith("validation:") and key in inputs for key in spec.inputs)
        if spec.role == "proxy" and spec.merge is None and same and shared:
            found.append(record)
    return found


def changed_domains(records: Sequence[RunRecord], inputs: Mapping[str, str]) -> bool:
    """Whether some of the runs were made when the study had other domains."""
    now = {key for key in inputs if key.startswith("validation:")}
    return any({key for key in record.spec.inputs if key.startswith("validation:")} != now for record in records)


def added_runs(project: Project) -> Added:
    """Return a project's runs beyond its design; chosen and kept the first time that the domains are others."""
    domains, kept = list(project.config.domains), project.kept
    earlier, none = load_added(project.study, domains), Added(tuple(sorted(domains)))
    if earlier is not None:
        return earlier
    if not changed_domains(kept, project.trainer_config.inputs):
        return none
    designed, _ = project.designed
    if len(kept) < len(designed) / 2:
        runs = tuple((f"new-{run.name}", dict(run.tokens)) for run in designed)
        reason = f"{len(kept)} finished runs are too few to build on, so a whole design of the new domains is planned."
    else:
        done, seed = [record.tokens for record in kept], project.config.plan.seed
        law = project.config.fit.law
        noise = measured_noise(project.study) or NOISE_NATS
        found = extend_design(
            domains, done, project.available_tokens, project.base_tokens, law=law, seed=seed, noise_nats=noise
        )
        runs, reason = tuple(found.runs), found.message
    added = Added(none.domains, True, runs, (reason,))
    save_added(project.study, added)
    return added


def require_same_inputs(project: Project) -> None:
    """Raise StudyError where the planned runs were made with another model, other settings or other data."""
    now = project.trainer_config.inputs
    for spec in project.study.load_plan():
        changed = sorted(key for key, value in spec.inputs.items() if now.get(key, value) != value)
        if changed:
            raise StudyError(
                f"The runs of {project.study.folder} were planned with another {', '.join(changed)} than the "
                "configuration has now.",
                f"Run `{command('run', project.file)}` to train with the new configuration, or undo the change.",
            )
