"""Failed runs as a list: how many, of which kind, why, and what to do; and whether the others suffice."""

from __future__ import annotations

from collections.abc import Sequence

from mixlaw.core.errors import MixlawError, RunsFailed
from mixlaw.study.status import RunStatus

_KINDS = (
    ("diverged", ("diverged", "only finite"), "Lower train.learning_rate, then run again with --retry-failed."),
    (
        "ran out of memory",
        ("out of memory",),
        "Halve train.per_device_train_batch_size and double train.gradient_accumulation_steps, or use fewer workers.",
    ),
    (
        "were killed",
        ("crashed twice", "was lost", "killed by"),
        "See the study's logs folder; use fewer workers if memory is short, then run the command again.",
    ),
)
_OTHERS = ("were refused", "Correct what the reason names, then run again with --retry-failed.")
_SHOWN = 3


def failure_kind(reason: str) -> str:
    """Return `diverged`, `ran out of memory`, `were killed` or `were refused` for the reason of a failed run."""
    for kind, words, _ in _KINDS:
        if any(word in reason for word in words):
            return kind
    return _OTHERS[0]


def failure_list(statuses: Sequence[RunStatus]) -> list[str]:
    """Return a sentence for each kind of failure, the most frequent first: the runs, the first reason, the remedy.

    Args:
        statuses: of all planned runs.
    """
    failed = [status for status in statuses if status.state == "failed"]
    remedies = {kind: remedy for kind, _, remedy in _KINDS} | dict([_OTHERS])
    groups: dict[str, list[RunStatus]] = {}
    for status in failed:
        groups.setdefault(failure_kind(status.reason), []).append(status)
    lines = []
    for kind, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        names = ", ".join(f"'{status.name}'" for status in group[:_SHOWN])
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        reason = group[0].reason
        remedy = "" if remedies[kind] in reason else f" {remedies[kind]}"
        lines.append(f"{len(group)} of {len(statuses)} runs {kind} ({names}{more}); the first: {reason}{remedy}")
    return lines


def too_many_failed(statuses: Sequence[RunStatus], error: MixlawError | None = None) -> RunsFailed:
    """Return the error of a study whose failed runs leave too few for a fit.

    Args:
        statuses: of all planned runs.
        error: what the fit of the others says; None where there are none.
    """
    lines = failure_list(statuses)
    left = sum(status.state == "done" for status in statuses)
    if not left:
        said = f"All {len(statuses)} runs failed, so no law can be fitted."
    else:
        why = f" ({error.message})" if error else ""
        said = f"{len(statuses) - left} of {len(statuses)} runs failed; the other {left} are too few for a fit{why}"
        said = f"{said.rstrip('.')}."
    return RunsFailed("".join([said, *(f"\n  - {line}" for line in lines)]), "Then run the command again.")
