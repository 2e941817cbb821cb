"""The loss behind the output layer, without all logits at once: value and gradient, some rows at a time.

The usual way keeps the logits of every supervised token, their log-softmax and its gradient until the backward pass:
for a vocabulary of 50,000 more than the rest of a small model. Here a few rows are projected, their loss and the
gradient with respect to states and weights are computed at once, and their logits are gone; nothing is computed twice.

Source: the way of Liger-Kernel's fused linear cross entropy (arXiv 2410.10989, section 3.2).
Differs: on a CPU as well; weights that are not trained (LoRA) get no gradient.

Shape letters: S supervised tokens, V vocabulary, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LOGITS_AT_ONCE = 2**24
"""Elements of the logits that exist at once; as float32 they are 64 MiB.

No data: a bound on memory. Fewer make more passes over the gradient of the output layer."""

_VOCABULARY_AT_ONCE = 2**13
"""Tokens of the vocabulary whose gradient exists twice, in the precision of the products, too. No data: as above."""


def fits(head: Any) -> bool:
    """Whether an output layer is a plain linear one, which `sum_nats` takes apart."""
    import torch

    return type(head) is torch.nn.Linear


def sum_nats(head: Any, states: torch.Tensor, labels: torch.Tensor, dtype: Any) -> torch.Tensor:
    """Return the summed negative log-likelihood of the labels, nats, float32, with gradient.

    Args:
        head: a plain linear output layer.
        states: (S, W), S >= 1.
        labels: (S,) token ids.
        dtype: of the matrix products.
    """
    return _function().apply(states, head.weight, head.bias, labels, dtype)


_made: list[Any] = []


def _function() -> Any:
    """Return the autograd function; its class needs torch, which is imported where it is used."""
    if not _made:
        import torch

        class HeadLoss(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Any) -> Any:
                states, weight, bias, labels, dtype = given
                wanted = ctx.needs_input_grad[:3]
                with torch.autocast(states.device.type, enabled=False):
                    nats, found = _nats_and_gradients(states, weight, bias, labels, dtype, wanted)
                ctx.save_for_backward(*found)
                return nats

            @staticmethod
            def backward(ctx: Any, *gradient: Any) -> Any:
                found = [None if g is None else g.mul_(gradient[0]) for g in ctx.saved_tensors]
                return (*found, None, None)

        _made.append(HeadLoss)
    return _made[0]


def _nats_and_gradients(
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    dtype: Any,
    wanted: tuple[bool, bool, bool],
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """Return the nats and their gradients for states, weight and bias, where wanted."""
    import torch

    of_states, of_weight, of_bias = wanted
    low_states, low_weight = states.to(dtype), weight.to(dtype)
    d_states = torch.empty_like(states) if of_states else None
    d_weight = torch.empty_like(weight) if of_weight else None
    d_bias = torch.zeros_like(bias) if of_bias and bias is not None else None
    nats = torch.zeros((), dtype=torch.float64, device=states.device)
    rows = max(1, LOGITS_AT_ONCE // weight.shape[0])
    for begin in range(0, len(labels), rows):
        part, label = low_states[begin : begin + rows], labels[begin : begin + rows, None]
        logits = torch.nn.functional.linear(part, low_weight).float()
        if bias is not None:
            logits += bias
        logs = torch.ops.aten._log_softmax.out(logits, -1, False, out=logits)  # row by row: in place
        del logits
        nats -= logs.gather(1, label).sum(dtype=torch.float64)
        if not any(wanted):
            continue
        excess = logs.exp_()
        excess.scatter_(1, label, excess.gather(1, label) - 1)
        if d_bias is not None:
            d_bias += excess.sum(0)
        low = excess.to(dtype)
        del logs, excess
        if d_states is not None:
            d_states[begin : begin + rows] = low @ low_weight
        if begin + rows >= len(labels):
            del low_weight
        if d_weight is not None:
            for first in range(0, len(weight), _VOCABULARY_AT_ONCE):
                product = low[:, first : first + _VOCABULARY_AT_ONCE].T @ part
                if begin:
                    d_weight[first : first + _VOCABULARY_AT_ONCE] += product
                else:
                    d_weight[first : first + _VOCABULARY_AT_ONCE] = product
    return nats.float(), [d_states, d_weight, d_bias]
