"""Merged runs in a study: they wait for their experts, and what an expert has lost is made again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mixlaw.core.errors import RunFailed
from mixlaw.core.run import EXPERT, RunSpec
from mixlaw.study.leases import is_live
from mixlaw.study.store import Study, longest_first
from mixlaw.train.merging import expert_file

_POLL_S = 0.5


def missing_experts(study: Study, spec: RunSpec) -> dict[str, Path]:
    """Return domain -> folder of the experts that a run needs and that are not trained; none for runs that train."""
    if spec.merge is None:
        return {}
    experts = spec.merge.to_json()["experts"]
    files = {domain: expert_file(study.runs_folder, run_id) for domain, run_id in experts.items()}
    return {
        d: file.parent for d, file in files.items() if not (file.is_file() and (file.parent / "record.json").exists())
    }


def failed_expert(study: Study, spec: RunSpec) -> tuple[str, str] | None:
    """Return the domain of an expert that has failed, and why; None where they are done or may still be."""
    for domain, folder in missing_experts(study, spec).items():
        if (folder / "error.json").exists() and not is_live(folder / "lease.json"):
            return domain, folder.name
    return None


def in_order(study: Study, specs: Iterable[RunSpec]) -> Iterator[RunSpec]:
    """Yield runs as they may be claimed: longest first, merged ones once their experts are trained.

    Waits for experts that another process is training. A merged run whose expert has failed fails with it.
    """
    left = longest_first(specs)
    while left:
        waiting: dict[str, RunSpec] = {}
        experts: set[Path] = set()
        for spec in left:
            missing = missing_experts(study, spec)
            if not missing:
                yield spec
            elif (failed := failed_expert(study, spec)) is not None:
                _fail(study, spec, *failed)
            else:
                waiting[spec.id] = spec
                experts |= set(missing.values())
        if not any(is_live(folder / "lease.json") for folder in experts):
            return
        left = list(waiting.values())
        time.sleep(_POLL_S)


def _fail(study: Study, spec: RunSpec, domain: str, expert: str) -> None:
    """Note that a merged run cannot be evaluated; it is tried again in the next sweep, in case its expert is."""
    lease = study.claim(spec)
    if lease is None:
        return
    try:
        error = RunFailed(
            f"The merged model '{spec.name}' has no expert of '{domain}': the run {expert} has failed.",
            "Correct what made that run fail, then train again with --retry-failed.",
        )
        study.fail(spec, error, retry=True)
    finally:
        lease.release()


def discard_lost_experts(study: Study, specs: Iterable[RunSpec]) -> None:
    """Return experts to pending that are done, whose weights are gone, and that a pending merged run needs."""
    specs = list(specs)
    experts = {spec.id: spec for spec in specs if spec.role == EXPERT}
    needed = {
        spec.merge.experts[domain]
        for spec in specs
        if spec.merge is not None and study.record(spec) is None
        for domain in missing_experts(study, spec)
    }
    for spec in (experts[run_id] for run_id in needed if run_id in experts):
        with study.locked():
            (study.run_folder(spec) / "record.json").unlink(missing_ok=True)
