import numpy as np
import pytest

from mixlaw.design.merges import expert_mixtures, merged_mixtures

DOMAINS = ("math", "code", "chat")
RUNS = [{"math": 30_000, "code": 30_000, "chat": 30_000}, {"math": 10_000, "code": 20_000, "chat": 70_000}]


def shares(merge):
    tokens = np.array([merge.tokens[name] for name in DOMAINS], float)
    return tokens / tokens.sum()


def test_every_run_has_a_merge_of_its_shares_and_replicates_have_one():
    merges = merged_mixtures(DOMAINS, [*RUNS, RUNS[0]], 10, 30_000)
    assert [merge.name for merge in merges[:3]] == ["merge-of-01", "merge-of-02", "merge-01"] and len(merges) == 12
    assert shares(merges[1]) == pytest.approx([0.1, 0.2, 0.7], abs=1e-4)
    assert merges[1].weights == {"math": 0.1, "code": 0.2, "chat": 0.7}


def test_merges_lie_within_the_shares_of_the_runs_and_spread_over_them():
    merges = merged_mixtures(DOMAINS, RUNS, 60, 30_000)[2:]
    found = np.array([shares(merge) for merge in merges])
    assert found.min() >= 0.1 - 1e-4
    assert found.max(axis=0) == pytest.approx(0.7, abs=0.1) and found.mean(axis=0) == pytest.approx(1 / 3, abs=0.03)


def test_neither_the_order_of_domains_nor_further_runs_move_a_merge():
    merges = merged_mixtures(DOMAINS, RUNS, 8, 30_000, seed=3)
    assert merged_mixtures(DOMAINS[::-1], RUNS, 8, 30_000, seed=3) == merges
    assert merged_mixtures(DOMAINS, RUNS, 8, 30_000, seed=4)[2:] != merges[2:]
    more = merged_mixtures(DOMAINS, [*RUNS, {"math": 20_000, "code": 20_000, "chat": 60_000}], 8, 30_000, seed=3)
    assert [m for m in more if m.name != "merge-of-03"] == merges
    # A further batch may lie beyond the first one's shares.
    beyond = {"math": 1_000, "code": 20_000, "chat": 90_000}
    more = merged_mixtures(DOMAINS, RUNS, 8, 30_000, seed=3, further=[beyond])
    assert [m for m in more if m.name != "merge-of-03"] == merges and len(more) == len(merges) + 1


def test_experts_train_on_their_domain_and_on_what_all_share():
    assert expert_mixtures(DOMAINS, 30_000, 0.0)["code"] == {"code": 30_000}
    mixed = expert_mixtures(DOMAINS, 30_000, 0.2)["code"]
    assert mixed == {"math": 2_000, "code": 26_000, "chat": 2_000}


def test_with_shared_data_the_weights_give_the_mixture_that_the_merge_stands_for():
    general = 0.2
    for merge in merged_mixtures(DOMAINS, RUNS, 12, 30_000, general):
        weights = np.array([merge.weights[name] for name in DOMAINS])
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        assert shares(merge) == pytest.approx((1 - general) * weights + general / 3, abs=1e-4)
    assert merged_mixtures(DOMAINS, RUNS, 0, 30_000, general)[1].weights["math"] == pytest.approx(1 / 24, abs=1e-6)
