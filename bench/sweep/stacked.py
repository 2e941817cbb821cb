"""Would tiny models train faster several at once, their weights stacked, than one after another? On one core.

    python -m bench.sweep.stacked [--rounds 7]

What is measured is the feed-forward half of a layer of the bundled model (width 128, inner width 344), forward and
backward by `mixlaw.train.fused_layers`, on the tokens of a step: once for each of 2, 4 and 8 models in turn, and once
for all of them with stacked weights, by batched products. Attention works on single conversations in both ways, so it
gains nothing from more models. Both ways give the same numbers, which is checked. Kept: CPU seconds of one model after
another divided by those of all at once, median, least and most over rounds in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from bench.record import stamp
from bench.sweep.run import machine

from mixlaw.train.fused_layers import _feed, _feed_backward, _How, _norm, _norm_backward

WIDTH, INNER, EPSILON = 128, 344, 1e-5
REPEATED = 20
HERE = Path(__file__).parent


def one_by_one(x: Any, d_z: Any, norm: Any, weights: list[Any], how: _How) -> list[Any]:
    """Return outputs and gradients of each model in turn: (J, N, W) in, a list of J tuples out."""
    found = []
    for j in range(len(x)):
        given = (norm[j], *(w[j] for w in weights))
        z, saved = _feed(x[j], *given, how)
        found.append((z, *_feed_backward(d_z[j], saved, (x[j], *given), how)))
    return found


def at_once(x: Any, d_z: Any, norm: Any, weights: list[Any], how: _How) -> tuple[Any, ...]:
    """Return the same of all models, stacked."""
    gate, up, down = weights
    root = _norm(x, how.epsilon)
    both = torch.cat([gate, up], 1).to(how.dtype)
    normed = (x * root).mul_(norm[:, None]).to(how.dtype)
    product = torch.bmm(normed, both.mT)
    g, u = product.split(gate.shape[1], 2)
    active = torch.nn.functional.silu(g).mul_(u)
    low = down.to(how.dtype)
    z = x + torch.bmm(active, low.mT)
    d_low = d_z.to(how.dtype)
    active = torch.nn.functional.silu(g)
    d_active = torch.bmm(d_low, low)
    d_product = torch.empty_like(product)
    d_g, d_u = d_product.split(gate.shape[1], 2)
    torch.mul(d_active, active, out=d_u)
    d_down = torch.bmm(d_low.mT, active.mul_(u)).to(down.dtype)
    torch.ops.aten.silu_backward.grad_input(d_active.mul_(u), g, grad_input=d_g)
    scaled = x * root
    d_weights = torch.bmm(d_product.mT, (scaled * norm[:, None]).to(how.dtype)).to(gate.dtype)
    parts = [
        _norm_backward(d, s, r, w, out)
        for d, s, r, w, out in zip(torch.bmm(d_product, both), scaled, root, norm, d_z, strict=True)
    ]
    d_gate, d_up = d_weights.split([gate.shape[1], up.shape[1]], 1)
    return z, torch.stack([d for d, _ in parts]), torch.stack([n for _, n in parts]), d_gate, d_up, d_down


def seconds(work: Any, *given: Any) -> float:
    """Return the CPU seconds of some repetitions."""
    began = time.process_time()
    for _ in range(REPEATED):
        work(*given)
    return time.process_time() - began


def ratios(models: int, tokens: int, dtype: Any, rounds: int) -> list[float]:
    """Return median, least and most of one after another / all at once."""
    torch.manual_seed(0)
    x, d_z = (torch.randn(models, tokens, WIDTH) for _ in range(2))
    norm = torch.rand(models, WIDTH) + 0.5
    shapes = ((INNER, WIDTH), (INNER, WIDTH), (WIDTH, INNER))
    given = (x, d_z, norm, [torch.randn(models, *shape) / 10 for shape in shapes], _How(EPSILON, dtype))
    for alone, stacked in zip(zip(*one_by_one(*given), strict=True), at_once(*given), strict=True):
        assert torch.allclose(torch.stack(alone), stacked, rtol=0.05, atol=0.05 * float(stacked.abs().max()))
    found = []
    for _ in range(rounds):
        found.append(seconds(one_by_one, *given) / seconds(at_once, *given))
    return [round(x, 2) for x in (statistics.median(found[1:]), min(found[1:]), max(found[1:]))]


def main() -> None:
    """Measure and write stacked.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE / "stacked.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        for tokens in (256, 2048):
            for models in (2, 4, 8):
                key = f"{name}, {tokens} tokens a model, {models} models"
                rows[key] = ratios(models, tokens, dtype, options.rounds + 1)
                sys.stderr.write(f"{key}: {rows[key]}\n")
    kept = stamp("reporting", "0", {}) | {"machine": machine(), "times_as_fast_median_least_most": rows}
    options.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
