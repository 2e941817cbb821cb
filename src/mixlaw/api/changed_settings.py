"""What an edit of mix.yaml costs: finished runs that the plan no longer takes, said before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixlaw.core.errors import MixlawError
from mixlaw.core.run import RunSpec
from mixlaw.study.origin import changed_keys

if TYPE_CHECKING:
    from mixlaw.api.project import Project

_SHOWN = 4


def runs_lost(project: Project, specs: Sequence[RunSpec]) -> str | None:
    """Return a sentence about finished runs of the last plan that the new one has with other inputs; None for none.

    To be asked before the new plan is written.

    Args:
        project: whose study.
        specs: the new plan.
    """
    study = project.study
    try:
        before = study.load_plan() if study.plan_path.exists() else []
    except MixlawError:
        return None  # a damaged plan is written anew
    now = {spec.id for spec in specs}
    inputs = project.trainer_config.inputs
    lost, changed = [], set()
    for spec in before:
        other = {key for key, value in spec.inputs.items() if inputs.get(key, value) != value}
        if other and spec.id not in now and study.record(spec) is not None:
            lost.append(spec)
            changed |= other
    if not lost:
        return None
    keys = changed_keys(study, project.file, project.origin) or sorted(changed)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    said = ", ".join(keys[:_SHOWN]) + more
    return (
        f"{len(lost)} finished runs were made with other settings or data ({said}). They are kept, but not used: the "
        "runs are trained anew. Undo the change, or set another `study`, to keep using them."
    )
