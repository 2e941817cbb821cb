"""The learning rate over a run's steps, and AdamW with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mixlaw.train.settings import TrainSettings

if TYPE_CHECKING:
    import torch


def rate_factor(step: int, steps: int, settings: TrainSettings, kind: str | None = None) -> float:
    """Return the learning rate of a step (from 0) as a share of its peak.

    Linear warm-up over `ceil(warmup_ratio * steps)` steps, then cosine or linear decay to zero, or constant.
    The first step already has a positive rate, unlike Hugging Face's schedules: short runs waste no step.

    Args:
        step: from 0.
        steps: of the run.
        settings: for the warm-up, and the kind of schedule.
        kind: the kind, where it is not that of the settings.
    """
    warmup, kind = math.ceil(settings.warmup_ratio * steps), kind or settings.lr_scheduler_type
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if kind == "linear" else 1.0


def adamw(network: Any, settings: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW over the weights that are trained; norms and biases do not decay."""
    import torch

    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (settings.adam_beta1, settings.adam_beta2)
    return torch.optim.AdamW(groups, settings.learning_rate, betas, settings.adam_epsilon, fused=True)
