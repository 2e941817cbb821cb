"""Decoder layers of the Llama kind in two steps each, with gradients written by hand, on a CPU.

Operation by operation, a small model's layer costs more in casts, copies and passes over its states than in matrix
products, and keeps every one of them for the backward pass. Here a layer is two functions,

    y = x + O attention(rope(Q n), rope(K n), V n)    n = norm(x)
    z = y + D (silu(G m) * (U m))                     m = norm(y)

that multiply Q, K and V, and G and U, at once; keep their input, the products and no more; and compute norms, the
activation and low-precision weights again in the backward pass. The precision of every operation is that of
transformers' layers under autocast, so losses differ by rounding only.

Which layers are of this kind is told by their parts, and `CausalLM` checks it by their losses. A layer whose parts were
replaced, as PEFT does, computes as it always did.

Shape letters: N tokens of a batch, W width, H heads, K heads of keys, D width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixlaw.train.conversation_attention import Layout, attention_backward, attention_forward

if TYPE_CHECKING:
    import torch

_PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}


def fuse(network: Any) -> list[Any]:
    """Let every layer of the kind compute in two steps, and return those layers."""
    layers = [module for module in network.modules() if _is_of_the_kind(module)]
    for layer in layers:
        layer.forward = _forward_of(layer, layer.forward)
    return layers


def release(layers: list[Any]) -> None:
    """Let layers compute as they did before `fuse`."""
    for layer in layers:
        del layer.forward


def _is_of_the_kind(layer: Any) -> bool:
    if {name for name, _ in layer.named_children()} != _PARTS or {n for n, _ in layer.mlp.named_children()} != _MLP:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    if {name for name, _ in attention.named_children()} != set(_ATTENTION):
        return False
    if not all(_is_rms_norm(norm) for norm in (layer.input_layernorm, layer.post_attention_layernorm)):
        return False
    biases = {getattr(attention, name).bias is None for name in _ATTENTION[:3] if _is_linear(getattr(attention, name))}
    return (
        _has_plain_weights(layer)
        and len(biases) == 1
        and type(mlp.act_fn).__name__.startswith("SiLU")
        and all(getattr(mlp, name).bias is None for name in ("gate_proj", "up_proj", "down_proj"))
        and all(
            isinstance(getattr(attention, name, None), kind) for name, kind in (("head_dim", int), ("scaling", float))
        )
    )


def _has_plain_weights(layer: Any) -> bool:
    """Whether all matrices are still plain linear layers: an adapter replaces them."""
    linear = [getattr(layer.self_attn, name) for name in _ATTENTION]
    linear += [getattr(layer.mlp, name) for name in ("gate_proj", "up_proj", "down_proj")]
    return all(_is_linear(module) for module in linear)


def _is_linear(module: Any) -> bool:
    import torch

    return type(module) is torch.nn.Linear


def _is_rms_norm(module: Any) -> bool:
    own = [name for name, _ in module.named_parameters()]
    return type(module).__name__.endswith("RMSNorm") and own == ["weight"] and _epsilon(module) is not None


def _epsilon(norm: Any) -> float | None:
    return getattr(norm, "variance_epsilon", getattr(norm, "eps", None))


@dataclass(frozen=True)
class _How:
    """What a step needs besides tensors: of the attention all of it, of the feed-forward part the first two."""

    epsilon: float
    dtype: Any
    layout: Layout | None = None
    scaling: float = 1.0
    width: int = 0


def _forward_of(layer: Any, before: Callable[..., Any]) -> Callable[..., Any]:
    """Return the forward function of a layer.

    Args:
        layer: of the kind.
        before: its own function, for calls that are not by conversation.
    """

    def forward(hidden_states: torch.Tensor, *given: Any, **named: Any) -> Any:
        layout, places = named.get("layout"), named.get("position_embeddings")
        attention, mlp = layer.self_attn, layer.mlp
        window = getattr(attention, "sliding_window", None)
        if layout is None or places is None or given or not _has_plain_weights(layer):
            return before(hidden_states, *given, **named)
        if named.get("attention_mask") is not None or (window is not None and window < layout.longest):
            return before(hidden_states, **named)
        attend, feed = _functions()
        norms, dtype = (layer.input_layernorm, layer.post_attention_layernorm), _dtype(hidden_states)
        epsilons = [float(_epsilon(norm) or 0.0) for norm in norms]
        states = attend.apply(
            hidden_states[0],
            norms[0].weight,
            *(getattr(attention, name).weight for name in _ATTENTION),
            *(getattr(attention, name).bias for name in _ATTENTION),
            *(place[0] for place in places),
            _How(epsilons[0], dtype, layout, attention.scaling, attention.head_dim),
        )
        weights = (mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
        return feed.apply(states, norms[1].weight, *weights, _How(epsilons[1], dtype))[None]

    return forward


def _dtype(states: torch.Tensor) -> Any:
    import torch

    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype


def _joined(weights: tuple[Any, ...], dtype: Any) -> torch.Tensor:
    """Return weights or biases one below the other, in the precision of the products."""
    rows = [len(weight) for weight in weights]
    found = weights[0].new_empty((sum(rows), *weights[0].shape[1:]), dtype=dtype)
    for part, weight in zip(found.split(rows), weights, strict=True):
        part.copy_(weight)
    return found


def _norm(x_NW: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return 1 / sqrt(mean(x^2) + epsilon), (N, 1)."""
    return (x_NW.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt_()


def _norm_backward(
    d_normed: torch.Tensor, scaled: torch.Tensor, root: torch.Tensor, weight: torch.Tensor, d_out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of x and of the norm's weight.

    With s = x r and n = w s: dw = sum(dn s), dx = r (w dn - s mean(w dn s)) + what arrives past the norm.

    Args:
        d_normed: of n, (N, W).
        scaled: s, (N, W); overwritten.
        root: r, (N, 1).
        weight: w, (W,).
        d_out: past the norm, (N, W).
    """
    d_normed = d_normed.to(scaled.dtype)
    product = d_normed * scaled
    d_weight = product.sum(0)
    mean = product.mul_(weight).mean(-1, keepdim=True)
    d_x = (d_normed * weight).sub_(scaled.mul_(mean)).mul_(root)
    return d_x.add_(d_out), d_weight


def _turned(x_NHD: torch.Tensor, cos_ND: torch.Tensor, sin_ND: torch.Tensor, back: bool = False) -> torch.Tensor:
    """Return states turned by their rotary positions, or their gradient turned back."""
    half = x_NHD.shape[-1] // 2
    cos, sin = cos_ND[:, None, :half], sin_ND[:, None, :half]
    one, two = x_NHD[..., :half].to(cos.dtype), x_NHD[..., half:].to(cos.dtype)
    found = cos.new_empty(x_NHD.shape)
    sign = -1.0 if back else 1.0
    found[..., :half] = (one * cos).addcmul_(two, sin, value=-sign)
    found[..., half:] = (two * cos).addcmul_(one, sin, value=sign)
    return found


_made: list[Any] = []


def _functions() -> tuple[Any, Any]:
    """Return both steps; their classes need torch, which is imported where it is used."""
    if not _made:
        import torch

        class AttentionStep(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Any) -> Any:
                with torch.autocast(given[0].device.type, enabled=False):
                    found, ctx.kept, saved = _attend(*given)
                ctx.how = given[-1]
                ctx.save_for_backward(*saved, *given[:-1])
                return found

            @staticmethod
            def backward(ctx: Any, *gradient: Any) -> Any:
                saved, kept, ctx.kept = ctx.saved_tensors, ctx.kept, None
                return (*_attend_backward(gradient[0], saved[:5], saved[5:], ctx.how, kept), None, None, None)

        class FeedForwardStep(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Any) -> Any:
                with torch.autocast(given[0].device.type, enabled=False):
                    found, saved = _feed(*given)
                ctx.how = given[-1]
                ctx.save_for_backward(*saved, *given[:-1])
                return found

            @staticmethod
            def backward(ctx: Any, *gradient: Any) -> Any:
                saved = ctx.saved_tensors
                return (*_feed_backward(gradient[0], saved[:2], saved[2:], ctx.how), None)

        _made.extend((AttentionStep, FeedForwardStep))
    return _made[0], _made[1]


def _attend(x: torch.Tensor, norm: torch.Tensor, *given: Any) -> tuple[torch.Tensor, Any, tuple[torch.Tensor, ...]]:
    """Return y, the probabilities, and what else the backward pass needs: r, queries, keys, values, the output."""
    import torch

    q, k, v, o, bias_q, bias_k, bias_v, bias_o, cos, sin, how = given
    root = _norm(x, how.epsilon)
    normed = (x * root).mul_(norm).to(how.dtype)
    bias = None if bias_q is None else _joined((bias_q, bias_k, bias_v), how.dtype)
    product = torch.nn.functional.linear(normed, _joined((q, k, v), how.dtype), bias)
    heads, kv_heads = len(q) // how.width, len(k) // how.width
    all_heads = product.view(len(x), -1, how.width)
    turned = _turned(all_heads[:, : heads + kv_heads], cos, sin)
    query, key, value = (
        product.new_empty((len(x), part.shape[1], how.width)).copy_(part)
        for part in (turned[:, :heads], turned[:, heads:], all_heads[:, heads + kv_heads :])
    )
    mixed, kept = attention_forward(query, key, value, how.layout, how.scaling)
    mixed = mixed.flatten(1)
    bias_o = None if bias_o is None else bias_o.to(how.dtype)
    found = x + torch.nn.functional.linear(mixed, o.to(how.dtype), bias_o)
    return found, kept if how.layout.keep else None, (root, query, key, value, mixed)


def _attend_backward(d_y: torch.Tensor, own: Any, given: Any, how: Any, kept: Any) -> tuple[Any, ...]:
    """Return the gradients of x, the norm, four matrices and four biases."""
    root, query, key, value, mixed = own
    x, norm, q, k, v, o, bias_q, _, _, bias_o, cos, sin = given
    d_low = d_y.to(how.dtype)
    d_mixed = d_low @ o.to(how.dtype)
    d_o = (d_low.T @ mixed).to(o.dtype)
    d_bias_o = None if bias_o is None else d_y.sum(0)
    d_heads = attention_backward((query, key, value), d_mixed.view_as(query), how.layout, how.scaling, kept)
    heads, kv_heads = query.shape[1], key.shape[1]
    d_product = query.new_empty((len(x), heads + 2 * kv_heads, how.width))
    d_product[:, :heads] = _turned(d_heads[0], cos, sin, back=True)
    d_product[:, heads : heads + kv_heads] = _turned(d_heads[1], cos, sin, back=True)
    d_product[:, heads + kv_heads :] = d_heads[2]
    d_product = d_product.flatten(1)
    scaled = x * root
    rows = [len(q), len(k), len(v)]
    d_weights = (d_product.T @ (scaled * norm).to(how.dtype)).to(q.dtype).split(rows)
    d_biases = (None, None, None) if bias_q is None else d_product.to(q.dtype).sum(0).split(rows)
    d_x, d_norm = _norm_backward(d_product @ _joined((q, k, v), how.dtype), scaled, root, norm, d_y)
    return (d_x, d_norm, *d_weights, d_o, *d_biases, d_bias_o)


def _feed(x: torch.Tensor, norm: torch.Tensor, *given: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return z, and what the backward pass needs: r, and the products of G and U."""
    import torch

    gate, up, down, how = given
    root = _norm(x, how.epsilon)
    normed = (x * root).mul_(norm).to(how.dtype)
    product = torch.nn.functional.linear(normed, _joined((gate, up), how.dtype))
    g, u = product.split(len(gate), 1)
    active = torch.nn.functional.silu(g).mul_(u)
    return x + torch.nn.functional.linear(active, down.to(how.dtype)), (root, product)


def _feed_backward(d_z: torch.Tensor, own: Any, given: Any, how: Any) -> tuple[Any, ...]:
    """Return the gradients of x, the norm and three matrices."""
    import torch

    root, product = own
    x, norm, gate, up, down = given
    g, u = product.split(len(gate), 1)
    d_low = d_z.to(how.dtype)
    active = torch.nn.functional.silu(g)
    d_active = d_low @ down.to(how.dtype)
    d_product = torch.empty_like(product)
    d_g, d_u = d_product.split(len(gate), 1)
    torch.mul(d_active, active, out=d_u)
    d_down = (d_low.T @ active.mul_(u)).to(down.dtype)
    torch.ops.aten.silu_backward.grad_input(d_active.mul_(u), g, grad_input=d_g)
    scaled = x * root
    d_weights = (d_product.T @ (scaled * norm).to(how.dtype)).to(gate.dtype).split([len(gate), len(up)])
    d_x, d_norm = _norm_backward(d_product @ _joined((gate, up), how.dtype), scaled, root, norm, d_z)
    return (d_x, d_norm, *d_weights, d_down)
