"""Causal attention within each conversation of a batch, on a CPU: what packing computes, without what it masks out.

A packed row of several conversations costs attention over all pairs of its tokens, of which the mask then throws
most away. Here a batch is one long row of real tokens; conversations of similar length are gathered into a block
[conversations, length], so that only pairs within a conversation are computed, and padding only evens out a block.
Everything else of the network works on single tokens and never sees padding.

Blocks cost L^2 for each of their conversations, and every block some fixed work. Which lengths share a block is
chosen by dynamic programming over the sorted lengths (`blocks_of`). A block's length is rounded up to a multiple of
`LENGTHS`, so that few shapes occur.

Within a block, queries are taken in slices, so that a slice never meets keys that lie wholly after it. Products,
softmax and their order are those of transformers' plain attention in the same precision. Every sum is over one
conversation and in one order: neither the batch nor the threads change a bit of it.

Shape letters: N tokens of a batch, H heads, K heads of keys, D width of a head, C conversations of a block, L their
padded length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

NAME = "mixlaw_conversations"
"""Under this name transformers finds `attend`."""

BLOCK_COST = 2**14
"""What one more block costs, in pairs of tokens: its fixed work takes as long as 128 x 128 pairs.

Estimated from seconds, no losses: plain attention by length, of the demo's model (one core, bfloat16)."""

LENGTHS = 32
"""Tokens of which a block's length is a multiple.

A product of a shape that is new takes two to four times as long: its code is made first. And where a row of scores does
not fill whole vectors of 32 numbers, softmax in bfloat16 takes up to five times as long for each number.
Chosen on: seconds, no losses: of 1, 16, 32 and 64, of which the last three differ within their noise (demo's model, one
core)."""

QUERIES = 128
"""Queries of one slice of a block.

Chosen on: seconds, no losses: of 64, 128 and 256, which differ within their noise (demo's model, one core)."""


@dataclass(frozen=True)
class Block:
    """Conversations that are computed together.

    Attributes:
        tokens_CL: place of each token in the batch; at padding, the conversation's first.
        padding: flat places c * L + l without a token.
    """

    tokens_CL: np.ndarray
    padding: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Where the conversations of one batch lie.

    Attributes:
        blocks: all conversations, each in one block.
        places_N: where each token of the batch is among the blocks' places, one block after another.
        longest: tokens of the longest conversation.
        keep: whether the probabilities are kept for the backward pass, or computed again there (to the same bits).
        rows: what the layout means for tensors of some numbers of heads; filled when it is first used.
    """

    blocks: tuple[Block, ...]
    places_N: np.ndarray
    longest: int
    keep: bool = True
    rows: dict[tuple[int, int], Any] = field(default_factory=dict, compare=False, repr=False)


def layout_of(lengths: Sequence[int] | np.ndarray, keep: bool = True) -> Layout:
    """Return the layout of conversations that follow one another without gaps.

    Args:
        lengths: tokens of each conversation, at least one conversation and one token each.
        keep: see `Layout`.
    """
    lengths = np.asarray(lengths, np.int64)
    starts = np.cumsum(lengths) - lengths
    places, blocks, before = np.empty(int(lengths.sum()), np.int64), [], 0
    for members in blocks_of(lengths):
        width = -(-int(lengths[members].max()) // LENGTHS) * LENGTHS
        steps = np.arange(width)
        real = steps < lengths[members, None]
        tokens = starts[members, None] + np.where(real, steps, 0)
        flat = np.flatnonzero(real)
        places[tokens.ravel()[flat]] = before + flat
        blocks.append(Block(tokens, np.flatnonzero(~real)))
        before += tokens.size
    return Layout(tuple(blocks), places, int(lengths.max()), keep)


def blocks_of(lengths: np.ndarray) -> list[np.ndarray]:
    """Return the conversations of each block, by the least sum of C L^2 + BLOCK_COST over the blocks.

    Lengths are considered in 64 steps at most. Among the sorted lengths, blocks are neighbours; best[i] is the least
    cost of the i shortest steps.
    """
    step = max(1, int(lengths.max()) // 64)
    rounded = -(-lengths // step)
    sizes, of_size = np.unique(rounded, return_inverse=True)
    counts = np.concatenate([[0], np.cumsum(np.bincount(of_size))])
    squares = (sizes * step).astype(np.float64) ** 2
    best, cut = np.zeros(len(sizes) + 1), np.zeros(len(sizes) + 1, np.int64)
    for i in range(1, len(sizes) + 1):
        cost = best[:i] + (counts[i] - counts[:i]) * squares[i - 1] + BLOCK_COST
        cut[i] = cost.argmin()
        best[i] = cost[cut[i]]
    found, end = [], len(sizes)
    while end:
        found.append(np.flatnonzero((of_size >= cut[end]) & (of_size < end)))
        end = int(cut[end])
    return found


class CannotAttend(Exception):
    """The model's attention is of a kind that `attend` does not compute."""


def register() -> None:
    """Make `attend` known to transformers, as an attention without a mask."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **given: Any
) -> tuple[torch.Tensor, None]:
    """Return the attention's output, (1, N, H, D), as transformers asks for it.

    Args:
        module: the attention layer; unused.
        query: (1, H, N, D).
        key: (1, K, N, D), K a divisor of H.
        value: (1, K, N, D).
        attention_mask: None.
        given: `scaling`; and `layout`, which the model passes on from its own arguments.

    Raises:
        CannotAttend: the model does not pass `layout` on, or asks for dropout, a window that conversations exceed,
            capped scores or sinks.
    """
    import torch

    layout, window = given.get("layout"), given.get("sliding_window")
    if layout is None or attention_mask is not None:
        raise CannotAttend("no layout of conversations, or a mask")
    if given.get("dropout") or given.get("softcap") is not None or given.get("s_aux") is not None:
        raise CannotAttend("dropout, capped scores or sinks")
    if window is not None and window < layout.longest:
        raise CannotAttend(f"a window of {window} tokens")
    scaling = given.get("scaling")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    return _function().apply(query, key, value, layout, scaling, dtype), None


_made: list[Any] = []


def _function() -> Any:
    """Return the autograd function; its class needs torch, which is imported where it is used."""
    if not _made:
        import torch

        class ConversationAttention(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Any) -> Any:
                query, key, value, layout, scaling, dtype = given
                flat = [_by_token(tensor, dtype) for tensor in (query, key, value)]
                out, kept = attention_forward(flat[0], flat[1], flat[2], layout, scaling)
                ctx.layout, ctx.scaling, ctx.dtypes = layout, scaling, (query.dtype, key.dtype, value.dtype)
                ctx.kept = kept if layout.keep else None
                ctx.save_for_backward(*flat)
                return out[None]

            @staticmethod
            def backward(ctx: Any, *gradient: Any) -> Any:
                given = ctx.saved_tensors  # to be unpacked once
                gradient_NHD = gradient[0][0].to(given[0].dtype).contiguous()
                found = attention_backward(given, gradient_NHD, ctx.layout, ctx.scaling, ctx.kept)
                ctx.kept = None
                grads = [g.to(dtype).transpose(0, 1)[None] for g, dtype in zip(found, ctx.dtypes, strict=True)]
                return (*grads, None, None, None)

        _made.append(ConversationAttention)
    return _made[0]


def _by_token(tensor: torch.Tensor, dtype: Any) -> torch.Tensor:
    """Return (1, heads, N, D) as contiguous (N, heads, D) of a type."""
    return tensor[0].transpose(0, 1).to(dtype).contiguous()


@dataclass(frozen=True)
class _Rows:
    """What a layout means for tensors of (N * heads, D), for some numbers of heads.

    Attributes:
        query: for each block, the rows of its (H * C) x L queries.
        key: the same of keys and values, each repeated for the heads that share it.
        padding: for each block, the places among C * L that hold no token; None where all do.
        back: (N * H) places among all blocks' rows, one block after another.
    """

    query: list[torch.Tensor]
    key: list[torch.Tensor]
    padding: list[torch.Tensor | None]
    back: torch.Tensor


def _rows_of(layout: Layout, heads: int, kv_heads: int) -> _Rows:
    import torch

    found = layout.rows.get((heads, kv_heads))
    if found is None:
        every = np.arange(heads)[:, None]
        tokens = [block.tokens_CL.ravel() for block in layout.blocks]
        starts = np.cumsum([0, *map(len, tokens)])
        which = np.searchsorted(starts, layout.places_N, side="right") - 1
        back = starts[which] * heads + (layout.places_N - starts[which])
        sizes = np.diff(starts)[which]
        found = layout.rows[heads, kv_heads] = _Rows(
            [torch.from_numpy((t * heads + every).ravel()) for t in tokens],
            [torch.from_numpy((t * kv_heads + every // (heads // kv_heads)).ravel()) for t in tokens],
            [torch.from_numpy(block.padding) if len(block.padding) else None for block in layout.blocks],
            torch.from_numpy((back[:, None] + sizes[:, None] * np.arange(heads)).ravel()),
        )
    return found


def _gather(tensor: torch.Tensor, rows: torch.Tensor, block: Block) -> torch.Tensor:
    """Return (heads * C, L, D) of one block from (N, heads, D)."""
    length = block.tokens_CL.shape[1]
    return tensor.flatten(0, 1).index_select(0, rows).view(-1, length, tensor.shape[2])


def _scatter(parts: list[torch.Tensor], back: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (N, H, D) from all blocks' (H * C, L, D)."""
    import torch

    flat = torch.cat([part.flatten(0, 1) for part in parts]) if len(parts) > 1 else parts[0].flatten(0, 1)
    return flat.index_select(0, back).view(-1, heads, flat.shape[1])


def _slices(length: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + QUERIES, length)) for begin in range(0, length, QUERIES)]


def _probabilities(query: torch.Tensor, key: torch.Tensor, begin: int, end: int, scaling: float) -> torch.Tensor:
    import torch

    mask = torch.full((end - begin, end), float("-inf"), dtype=query.dtype).triu_(begin + 1)
    scores = torch.baddbmm(mask, query[:, begin:end], key[:, :end].transpose(1, 2), alpha=scaling)
    return torch.softmax(scores, -1)


def _through_softmax(d_chances: torch.Tensor, chances: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the scores, P * (dP - rowsum(P * dP)); overwrites nothing that is given.

    On a CPU, torch's own kernel adds up float32 rows in an order that depends on the number of threads; a record must
    not. In bfloat16 it does not, and adds in float32.
    """
    import torch

    if chances.dtype != torch.float32 or chances.device.type != "cpu":
        return torch.ops.aten._softmax_backward_data(d_chances, chances, -1, chances.dtype)
    product = d_chances * chances
    return product.addcmul_(chances, product.sum(-1, keepdim=True).neg_())


def attention_forward(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scaling: float
) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
    import torch

    heads, parts, kept = query.shape[1], [], []
    rows = _rows_of(layout, heads, key.shape[1])
    for block, of_query, of_key in zip(layout.blocks, rows.query, rows.key, strict=True):
        q, k, v = _gather(query, of_query, block), _gather(key, of_key, block), _gather(value, of_key, block)
        out, mine = torch.empty_like(q), []
        for begin, end in _slices(q.shape[1]):
            chances = _probabilities(q, k, begin, end, scaling)
            out[:, begin:end] = torch.bmm(chances, v[:, :end])
            if layout.keep:
                mine.append(chances)
        parts.append(out)
        kept.append(mine)
    return _scatter(parts, rows.back, heads), kept


def attention_backward(
    given: tuple[torch.Tensor, ...],
    gradient: torch.Tensor,
    layout: Layout,
    scaling: float,
    kept: list[list[torch.Tensor]] | None,
) -> list[torch.Tensor]:
    """Return the gradients of query, key and value, (N, heads, D).

    With P = softmax(s Q K^T) and the gradient G of P V: dV = P^T G, dS = P * (G V^T - rowsum(P * G V^T)),
    dQ = s dS K, dK = s dS^T Q.
    """
    import torch

    query, key, value = given
    heads, kv_heads = query.shape[1], key.shape[1]
    rows, parts = _rows_of(layout, heads, kv_heads), ([], [], [])
    for number, block in enumerate(layout.blocks):
        q, padding = _gather(query, rows.query[number], block), rows.padding[number]
        k, v = _gather(key, rows.key[number], block), _gather(value, rows.key[number], block)
        upper = _gather(gradient, rows.query[number], block)
        if padding is not None:
            upper.view(heads, -1, upper.shape[2]).index_fill_(1, padding, 0.0)
        d_query, d_key, d_value = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for index, (begin, end) in enumerate(_slices(q.shape[1])):
            chances = kept[number][index] if kept else _probabilities(q, k, begin, end, scaling)
            g = upper[:, begin:end]
            d_chances = torch.bmm(g, v[:, :end].transpose(1, 2))
            d_scores = _through_softmax(d_chances, chances)
            d_value[:, :end] += torch.bmm(chances.transpose(1, 2), g)
            d_query[:, begin:end] = torch.bmm(d_scores, k[:, :end])
            d_key[:, :end] += torch.bmm(d_scores.transpose(1, 2), q[:, begin:end])
        for part, found in zip(parts, (d_query.mul_(scaling), d_key.mul_(scaling), d_value), strict=True):
            part.append(found)
    found = [_scatter(part, rows.back, heads) for part in parts]
    if heads != kv_heads:
        found[1:] = [g.view(len(g), kv_heads, heads // kv_heads, -1).sum(2) for g in found[1:]]
    return found
