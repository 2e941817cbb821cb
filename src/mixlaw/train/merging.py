"""Merged runs: models that were trained on one domain each, averaged by share and only evaluated.

    merged = base + scale * sum_k w_k (expert_k - base)        w: shares of the mixture that the merge stands for,
                                                               or the weights that give it, of experts that share data

A run of the role `expert` leaves what it has learnt beside its record: the difference of every trained weight to the
base model, in bfloat16, whose relative rounding of 0.4 % a weight moves no loss that is read to four digits. A merge
adds these differences to the base one tensor after the other, in float32: beside the model itself, memory holds one
tensor of one expert.

Source: task vectors, Ilharco et al. 2023, arXiv 2212.04089, section 2; as proxies of mixtures: DeMix, arXiv 2602.00747.
Differs: the sum is stretched by a scale, since short experts have gone only part of the way.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlaw.core.errors import RunFailed
from mixlaw.core.run import RunRecord, RunSpec, TargetLoss

if TYPE_CHECKING:
    from mixlaw.train.causal_lm import CausalLM

WEIGHTS = "expert.safetensors"
"""The file, in an expert's own folder, of what it has learnt."""


def expert_file(runs_folder: Path, run_id: str) -> Path:
    """Return where the expert with an id keeps what it has learnt; the file need not be there."""
    found = sorted(runs_folder.glob(f"*-{run_id[:8]}"))
    return (found[0] if found else runs_folder / f"expert-{run_id[:8]}") / WEIGHTS


def save_expert(lm: CausalLM, spec: RunSpec, folder: Path) -> None:
    """Save what a model has learnt, whole or not at all.

    Args:
        lm: the trained model.
        spec: the run that trained it.
        folder: the run's own.
    """
    import torch
    from safetensors.torch import save_file

    learnt = {name: (now - base).to("cpu", torch.bfloat16) for name, now, base in lm.trained_and_base()}
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file(learnt, temporary, metadata={"run": spec.id})
    temporary.replace(folder / WEIGHTS)


def merge_into(lm: CausalLM, spec: RunSpec, runs_folder: Path) -> None:
    """Make the base model the merge of a spec.

    Args:
        lm: the base model as it was loaded.
        spec: a merged run.
        runs_folder: where the experts' own folders lie.

    Raises:
        RunFailed: an expert has left no weights, or those of another run or another model.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    assert spec.merge is not None
    with torch.no_grad():
        for domain, weight in sorted(spec.merge.weights.items()):
            if weight == 0:
                continue
            run_id, factor = spec.merge.experts[domain], spec.merge.scale * weight
            path = expert_file(runs_folder, run_id)
            try:
                with safe_open(path, "pt") as file:
                    if (file.metadata() or {}).get("run") != run_id:
                        raise _unusable(spec, domain, f"{path} is of another run")
                    names = set(file.keys())
                    for name, now in lm.trained().items():
                        if name not in names:
                            raise _unusable(spec, domain, f"{path} lacks '{name}'")
                        now.add_(file.get_tensor(name).to(now.device, now.dtype), alpha=factor)
            except (OSError, SafetensorError) as error:
                raise _unusable(spec, domain, f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def merged_record(spec: RunSpec, losses: dict[str, TargetLoss], parameters: int) -> RunRecord:
    """Return the record of a merged run: no step was taken, and its tokens are those of the mixture it stands for."""
    for target, loss in losses.items():
        if not math.isfinite(loss.nats):
            raise RunFailed(
                f"The merged model '{spec.name}' has the validation loss {loss.nats} on '{target}'; only finite "
                "losses are recorded.",
                "Lower plan.merge_scale or train.learning_rate, or leave out plan.merges.",
            )
    tokens: dict[str, Any] = {name: int(n) for name, n in spec.tokens.items() if n > 0}
    return RunRecord(spec, tokens, {}, tokens, losses, 0, parameters)


def _unusable(spec: RunSpec, domain: str, why: str) -> RunFailed:
    return RunFailed(
        f"The merged model '{spec.name}' has no expert of '{domain}': {why}.",
        "Train again with --retry-failed; a lost expert is then trained anew.",
    )
