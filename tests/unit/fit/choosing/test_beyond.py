"""What held-out larger runs, larger models and unlike mixtures teach of how far a law is off there."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import Fit, fit_law
from mixlaw.fit.choosing import beyond
from mixlaw.fit.choosing import beyond as module
from mixlaw.fit.choosing.beyond import measured
from mixlaw.fit.choosing.held_out import estimator_of, held_out
from mixlaw.fit.posterior.extrapolation import APART, SHOCK, SIGMA, SIZE_SIGMA, Beyond
from mixlaw.laws import find
from quick_fits import few_folds, short_draws

TOTALS = 1e6 * 2.0 ** np.arange(8)
NOISE = 0.001
SIGMA_ALONE = module._SIGMA_ALONE


def curve(above: float = 0.0, seed: int = 0, totals: np.ndarray = TOTALS) -> RunTable:
    """Two targets of one domain along the total; above the fifth total both bend upwards, by `above` an e-fold."""
    tokens = np.repeat(totals, 2)
    x = np.log(np.maximum(tokens / totals[min(4, len(totals) - 1)], 1.0))
    falls = np.column_stack([0.8 * (tokens / 1e6) ** -0.25, 0.5 * (tokens / 1e6) ** -0.3])
    losses = 1.2 + falls * np.exp(above * x)[:, None]
    losses = losses + NOISE * np.random.default_rng(seed).standard_normal(losses.shape)
    names = tuple(f"r{i}" for i in range(len(tokens)))
    return RunTable(names, ("a",), ("a", "b"), tokens[:, None], losses)


def learnt(runs: RunTable, law: str = "chinchilla") -> list[Beyond]:
    kind = find(law)
    with few_folds(2):  # What mixtures held out one by one would tell is not asked: it is of several domains.
        return measured(runs, kind, estimator_of(kind).fit(runs, 0, 0), held_out(runs, kind))


@cache
def of_curve(above: float = 0.0) -> list[Beyond]:
    """Return what is learnt from `curve`; the tests that compare with it learn it once."""
    return learnt(curve(above))


def test_where_all_totals_are_alike_the_prior_stays() -> None:
    runs = curve()
    alike = replace(runs, tokens_RK=np.full((16, 1), 1e6) * np.linspace(1, 1.1, 16)[:, None])
    for found in learnt(alike):
        assert found == Beyond(SIGMA, 0.0, SIZE_SIGMA, SHOCK, 0.0, APART)


def test_a_curve_that_holds_for_larger_runs_is_believed_more_and_one_that_bends_less() -> None:
    calm, wild = of_curve(), of_curve(0.3)
    for straight, bent in zip(calm, wild, strict=True):
        assert straight.tokens < 0.8 * SIGMA and bent.tokens > 1.4 * SIGMA
        assert straight.tried == bent.tried == pytest.approx(np.log(8))


@pytest.mark.parametrize("said", [0.02, 0.05, 0.12, 0.25])
def test_what_much_evidence_says_is_believed_as_it_is_and_without_any_the_prior_stays(said: float) -> None:
    scale = module._grid(SIGMA)
    sharp = np.tile(-0.5 * (np.log(scale / said) / 0.02) ** 2, (3, 1))
    assert module._scales(sharp, scale) == pytest.approx(said, rel=0.1)
    # Evidence that says next to nothing moves nothing.
    assert module._scales(1e-6 * sharp / np.abs(sharp).max(), scale) == pytest.approx(SIGMA, rel=0.02)


def test_one_domain_has_a_prior_of_its_own_where_larger_runs_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    own, bent = of_curve()[0].tokens, of_curve(0.3)[0].tokens
    monkeypatch.setattr(beyond, "_SIGMA_ALONE", SIGMA)
    of_many, bent_of_many = learnt(curve())[0].tokens, learnt(curve(above=0.3))[0].tokens
    assert own < 0.8 * of_many
    # What the held-out runs say loudly is heard under either.
    assert bent > 0.75 * bent_of_many > SIGMA


def test_what_moves_losses_that_hardly_fall_is_a_drift_of_the_whole_loss() -> None:
    found = []
    for off in (0.0, 0.05):
        runs = curve()
        flat = 2.0 + 0.02 * (runs.losses_RJ - runs.losses_RJ.mean(axis=0))
        flat = flat + 0.0005 * np.random.default_rng(5).standard_normal(flat.shape)
        flat[runs.totals_R > TOTALS[5]] *= 1 + off
        found.append(learnt(replace(runs, losses_RJ=flat)))
    for calm, moved in zip(*found, strict=True):
        assert moved.whole > 1.5 * module._WHOLE > calm.whole
    assert {one.whole for one in learnt(curve(totals=TOTALS[:2]))} == {0.0}


def test_of_checkpoints_the_last_ones_alone_are_held_out_and_no_whole_loss_drifts() -> None:
    runs = curve(above=0.3)
    along = replace(runs, checkpoint_of=tuple("xy"[i % 2] for i in range(len(runs))))
    for ended, early in zip(learnt(runs), learnt(along), strict=True):
        assert ended.whole > 0 and ended.tried == pytest.approx(np.log(8))
        assert early.whole == 0 and early.tried == pytest.approx(np.log(2))


def test_other_targets_move_a_targets_drift_less_than_its_own_runs_do() -> None:
    calm, wild = curve(), curve(above=0.3)
    mixed = replace(calm, losses_RJ=np.column_stack([calm.losses_RJ[:, 0], wild.losses_RJ[:, 1]]))
    one, other = learnt(mixed)
    assert of_curve()[0].tokens < one.tokens < other.tokens < of_curve(0.3)[1].tokens


def test_what_is_learnt_needs_two_levels_that_are_kept_and_half_of_the_runs() -> None:
    few = curve(totals=TOTALS[:2])
    assert {found.tried for found in learnt(few)} == {0.0}
    top_heavy = curve().take([0, 1, 2, 3, *([14, 15] * 5)])
    top_heavy = replace(top_heavy, runs=tuple(f"r{i}" for i in range(14)))
    assert {found.tried for found in learnt(top_heavy)} == {0.0}


def test_a_law_without_amplitudes_keeps_the_prior() -> None:
    assert {(found.tokens, found.tried) for found in learnt(curve(above=0.3), "mean")} == {(SIGMA, 0.0)}


def sizes(above: float) -> RunTable:
    """Four mixtures of two domains at each of four model sizes; the largest lies `above` what the others promise."""
    shares = np.array([0.2, 0.4, 0.6, 0.8])
    params = np.repeat([1e8, 2e8, 4e8, 8e8], 4)
    tokens = 4e6 * np.column_stack([np.tile(shares, 4), 1 - np.tile(shares, 4)])
    losses = (1.0 + 0.5 * (tokens / 1e6) ** -0.3) * (params[:, None] / 1e8) ** -0.05
    losses[params == 8e8] *= 1 + above
    losses = losses + NOISE * np.random.default_rng(0).standard_normal(losses.shape)
    names = tuple(f"r{i}" for i in range(16))
    return RunTable(names, ("a", "b"), ("a", "b"), tokens, losses, params_R=params)


def test_a_larger_model_that_is_held_out_says_how_far_sizes_can_be_trusted() -> None:
    calm, wild = (learnt(sizes(above), "pairwise") for above in (0.0, 0.1))
    for straight, off in zip(calm, wild, strict=True):
        assert straight.size < SIZE_SIGMA < 2 * SIZE_SIGMA < off.size


def test_an_interaction_that_no_law_has_makes_unlike_mixtures_uncertain() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([0.6, 0.6, 0.6], 30)
    names = tuple(f"r{i}" for i in range(30))
    plain = 1.5 - 0.5 * shares[:, :1] + 0.002 * rng.standard_normal((30, 1))
    wavy = plain + 0.3 * np.sin(9 * shares[:, :1]) * shares[:, 1:2]
    found = []
    for losses in (plain, wavy):
        runs = RunTable(names, ("a", "b", "c"), ("t",), 3e6 * shares, losses)
        kind = find("ridge")
        one = estimator_of(kind).fit(runs, 0, 0)
        quiet = [replace(o, curve=replace(o.curve, scatter=replace(o.curve.scatter, sd_nats=0.003))) for o in one]
        found.append(measured(runs, kind, quiet, held_out(runs, kind))[0].apart)
    assert found[0] < APART < found[1] and found[1] > 2 * found[0]


def test_draws_that_have_seen_a_run_are_widened_as_if_they_had_not() -> None:
    """A run lies off the mean of n - 1 others with the variance of the noise times 1 + 1 / (n - 1)."""
    kind, n = find("chinchilla"), 9
    runs = curve(totals=TOTALS[:1].repeat(1))
    one = estimator_of(kind).fit(curve(), 0, 0)[0].curve
    rng = np.random.default_rng(0)
    places = [i for i, p in enumerate(one.law.parameters) if p.role == "floor"]
    draws = np.repeat(one.theta_P[None], 4000, axis=0)
    draws[:, places[0]] += one.scatter.sd_nats / np.sqrt(n) * rng.standard_normal(4000)
    known = replace(one, draws_SP=draws)
    tokens = runs.tokens_RK[:1] / 1e6
    found = module._unseen(known, tokens, None, known.losses(tokens))
    assert found[0, 0] / one.scatter.sd_nats**2 == pytest.approx(1 + 1 / (n - 1), rel=0.02)


def test_fits_carry_what_was_learnt_and_files_keep_it(tmp_path) -> None:
    with few_folds(2), short_draws():
        fit, calm = (fit_law(curve(above), law="chinchilla") for above in (0.3, 0.0))
    found = fit.targets["a"].belief.beyond
    assert found.tokens > max(1.3 * calm.targets["a"].belief.beyond.tokens, SIGMA_ALONE)
    fit.save(tmp_path / "fit.json")
    assert Fit.load(tmp_path / "fit.json").targets["a"].belief.beyond == found
    old = fit.to_json()
    for said in old["beyond"].values():
        del said["whole"]
    assert Fit.from_json(old).targets["a"].belief.beyond == replace(found, whole=0.0)
    del old["beyond"]
    assert Fit.from_json(old).targets["a"].belief.beyond == Beyond()


@pytest.mark.parametrize("K", [1, 2])
def test_several_sizes_at_several_totals_are_fitted(K) -> None:
    """A level held out has sizes of its own: what no tokens lower there has one row of exponents, as of parameters."""
    rows = [(total, size) for size in (1e7, 1e8) for total in (1e6, 3e6, 1e7, 3e7)]
    shares = np.random.default_rng(0).dirichlet(np.full(K, 4.0), len(rows))
    tokens = shares * np.array([[total] for total, _ in rows])
    params = np.array([size for _, size in rows])
    losses = 0.4 + 20 * tokens.sum(1) ** -0.2 * (params / 1e8) ** -0.08
    domains = tuple("ab"[:K])
    names = tuple(f"r{i}" for i in range(len(rows)))
    runs = RunTable(names, domains, domains, tokens, np.repeat(losses[:, None], K, 1), params_R=params)
    with few_folds(2), short_draws():
        fit = fit_law(runs, "pairwise")
    assert fit.predict(tokens[-1:]).mean[0, 0] == pytest.approx(losses[-1], rel=0.05)
