"""Token shares of a mixture, for random weights, budgets and domain sizes: on the plan, without writing files."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw.core.mixture import Mixture
from mixlaw.data.mixture_plan import plan_mixture


@st.composite
def triples(draw):
    """(row tokens by domain, weights, budget): one to six domains of 1 to 400 rows, up to a dozen passes."""
    count = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = [draw(st.integers(1, 400)) for _ in range(count)]
    longest = draw(st.sampled_from([1, 7, 300, 5000]))
    row_tokens = {f"d{i}": rng.integers(1, longest + 1, size) for i, size in enumerate(sizes)}
    raw = rng.dirichlet(np.full(count, draw(st.sampled_from([0.1, 1.0, 30.0]))))
    if count > 1 and draw(st.booleans()):
        raw[0] = 0.0
    raw = raw / raw.sum() if raw.sum() > 0 else np.full(count, 1 / count)
    total = sum(int(rows.sum()) for rows in row_tokens.values())
    budget = max(1, int(total * draw(st.floats(0.001, 12.0 / count))))
    return row_tokens, dict(zip(row_tokens, map(float, raw), strict=True)), budget


@settings(max_examples=1000, deadline=None)
@given(triples(), st.integers(0, 10**6), st.none() | st.integers(1, 9), st.sampled_from([50, 10_000, 8_000_000]))
def test_achieved_tokens_are_within_one_row_in_every_domain_and_places_are_a_permutation(triple, seed, shards, bucket):
    row_tokens, weights, budget = triple
    tokens = Mixture(weights, budget).tokens
    plan = plan_mixture(row_tokens, tokens, seed, shards, bucket)
    for name, wanted in tokens.items():
        if wanted == 0:
            assert name not in plan.samples
            continue
        rows, sample = row_tokens[name], plan.samples[name]
        achieved = int(rows[sample].sum())
        # A constant predictor (every row of average length) would miss this by up to a whole domain.
        assert abs(achieved - wanted) <= rows.max()
        times = np.bincount(sample, minlength=len(rows))
        assert times.max() - times.min() <= 1
        assert times.min() == len(sample) // len(rows)  # whole passes, then a remainder without replacement
        assert abs(achieved / rows.sum() - wanted / rows.sum()) <= rows.max() / rows.sum()
    places = np.concatenate(list(plan.places.values()))
    assert np.array_equal(np.sort(places), np.arange(plan.rows))
    for cuts in (plan.shard_starts, plan.bucket_starts):
        assert cuts[0] == 0 and cuts[-1] == plan.rows and all(a < b for a, b in pairwise(cuts.tolist()))
    assert set(plan.shard_starts.tolist()) <= set(plan.bucket_starts.tolist())


@settings(max_examples=50, deadline=None)
@given(triples(), st.integers(0, 10**6))
def test_files_and_buckets_cut_the_same_order(triple, seed):
    row_tokens, weights, budget = triple
    tokens = Mixture(weights, budget).tokens
    one, many = plan_mixture(row_tokens, tokens, seed), plan_mixture(row_tokens, tokens, seed, 7, 100)
    for name, sample in one.samples.items():
        assert np.array_equal(sample, many.samples[name]) and np.array_equal(one.places[name], many.places[name])
