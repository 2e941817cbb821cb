"""Merged losses beside true runs of a planted law: what is believed, what is dropped, and what is said."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law
from mixlaw.fit.choosing.held_out import compare_laws
from mixlaw.fit.estimating.pairwise import PairwiseEstimator
from mixlaw.fit.fidelity import Line, everything, evidence, split
from mixlaw.laws import find
from mixlaw.laws.transfer import transfer_losses
from planted_runs import DOMAINS, THETA, transfer_runs
from quick_fits import few_folds, short_draws


@pytest.fixture(scope="module", autouse=True)
def quick_fits() -> Iterator[None]:
    with few_folds(4):
        yield


REFERENCE = 2.5e6
OFFSET, SLOPE = np.array([0.3, 0.6, 0.9]), np.array([0.7, 1.0, 1.4])


def truth(tokens):
    own = tokens / 1e6
    others = own.sum(axis=1, keepdims=True) - own
    return np.column_stack([transfer_losses(THETA[i], own[:, i], others[:, i]) for i in range(3)])


def with_merges(true, count=20, seed=0, spoil=lambda losses_MJ, shares_MK, rng: losses_MJ, noise=0.002):
    """The runs, a merge of the shares of each, and `count` others; merged losses lie on a line over the true ones."""
    rng = np.random.default_rng(seed)
    own = true.tokens_RK / true.totals_R[:, None]
    shares = np.vstack([own, rng.dirichlet(np.ones(3), count)])
    losses = spoil(OFFSET + SLOPE * truth(shares * REFERENCE), shares, rng)
    losses = losses + noise * rng.standard_normal(losses.shape)
    names = (*true.runs, *(f"merge-{i}" for i in range(len(shares))))
    fidelity = ("true",) * len(true) + ("merged",) * len(shares)
    tokens, every = np.vstack([true.tokens_RK, shares * 90_000]), np.vstack([true.losses_RJ, losses])
    return RunTable(names, DOMAINS, DOMAINS, tokens, every, fidelity=fidelity)


def misordered(losses_MJ, shares_MK, rng):
    return losses_MJ[rng.permutation(len(losses_MJ))]


def broken(losses_MJ, shares_MK, rng):
    """Experts so far apart that their averages are worse than each: a bump in the middle of the simplex."""
    return losses_MJ + 3 * losses_MJ.std(axis=0) * (1 - (shares_MK**2).sum(axis=1, keepdims=True))


def test_the_error_of_the_line_is_that_of_runs_that_were_left_out():
    rng = np.random.default_rng(1)
    x = rng.uniform(1, 2, 7)
    y = 0.5 + 0.8 * x + 0.05 * rng.standard_normal(7)
    errors, by_mean = [], []
    for i in range(7):
        slope, height = np.polyfit(np.delete(x, i), np.delete(y, i), 1)
        errors.append(y[i] - height - slope * x[i])
        by_mean.append(y[i] - np.delete(y, i).mean())
    line = Line.of(x, y)
    assert line.sd == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert line.explained == pytest.approx(1 - np.sum(np.square(errors)) / np.sum(np.square(by_mean)))


def test_believed_merges_join_for_no_more_than_the_runs_that_vouch_for_them():
    true, merged = split(with_merges(transfer_runs(2, noise=2e-4, count=7), noise=2e-4))
    found = evidence(true, merged, find("pairwise"))
    extra = found.runs.take(np.arange(7, 27))
    taken = [target for target in DOMAINS if not any(f"for '{target}'" in text for text in found.warnings)]
    assert taken and all(f"'{target}'" in found.notes[0] for target in taken)
    for j, target in enumerate(DOMAINS):
        used = np.isfinite(extra.losses_RJ[:, j])
        assert used.any() == (target in taken)
        # Merged losses themselves are off by .3 to 1 nats.
        assert np.abs(extra.losses_RJ - truth(extra.tokens_RK))[used, j].max(initial=0) < 0.02
        assert 0 <= extra.worth_RJ[used, j].sum() <= 7
    assert (found.runs.worth_RJ[:7] == 1).all()


@pytest.mark.parametrize(
    "spoil, said",
    [(misordered, "of the variance of left-out runs, 50 % are needed"), (broken, "which is not clearly better")],
)
def test_merges_that_mislead_are_dropped_with_a_sentence(spoil, said):
    found = evidence(*split(with_merges(transfer_runs(0, count=10), spoil=spoil)), find("pairwise"))
    assert len(found.warnings) >= 2
    assert all(text.startswith("Merged models are not used for") for text in found.warnings)
    assert any(said in text for text in found.warnings)


def test_a_fit_whose_merges_were_dropped_is_that_of_the_runs_alone_and_says_so():
    true = transfer_runs(0, count=8)
    tables = (
        replace(t, targets=("a",), losses_RJ=t.losses_RJ[:, :1]) for t in (with_merges(true, spoil=misordered), true)
    )
    with short_draws():
        fit, alone = (fit_law(table, "transfer") for table in tables)
    assert fit.parameters == alone.parameters and fit.targets["a"].cv_mre == alone.targets["a"].cv_mre
    assert len([text for text in fit.warnings if text.startswith("Merged models are not used for")]) == 1


def test_exact_merges_tell_the_shape_that_few_runs_leave_open():
    errors = {"alone": [], "with": []}
    asked = np.random.default_rng(99).dirichlet(np.ones(3), 60) * REFERENCE
    for seed in range(3):
        true, merged = split(with_merges(transfer_runs(seed, noise=2e-4, count=5), 30, seed, noise=2e-4))
        for name, runs in (("alone", true), ("with", everything(true, merged, find("pairwise")))):
            estimates = PairwiseEstimator(False).fit(runs, 0, 0)
            predicted = np.column_stack([one.curve.losses(asked / 1e6) for one in estimates])
            errors[name].append(np.abs(predicted - truth(asked)).mean())
    assert np.mean(errors["with"]) < 0.7 * np.mean(errors["alone"])


def test_a_target_whose_merges_mislead_does_not_spoil_the_others():
    def one(losses_MJ, shares_MK, rng):
        spoilt = losses_MJ.copy()
        spoilt[:, 1] = 4 - losses_MJ[:, 1]  # the better, the worse
        return spoilt

    true = transfer_runs(2, noise=2e-4, count=7)
    found = evidence(*split(with_merges(true, spoil=one, noise=2e-4)), find("pairwise"))
    assert [text for text in found.warnings if text.startswith("Merged models are not used for 'b': they explain")]
    assert np.isnan(found.runs.losses_RJ[7:, 1]).all() and np.isfinite(found.runs.losses_RJ[7:, [0, 2]]).any()


def test_without_enough_runs_of_a_merges_shares_there_is_no_line():
    table = with_merges(transfer_runs(0, count=12))
    few = table.take(np.r_[0:12, 12:15, 24:44])
    found = evidence(*split(few), find("pairwise"))
    assert len(found.warnings) == 3 and "fewer than 4 true runs have the shares of one" in found.warnings[0]
    assert len(found.runs) == 12


def test_a_regressor_takes_trained_runs_alone_and_says_so():
    fit = fit_law(with_merges(transfer_runs(0, count=12)), "ridge")
    assert "Merged models are not used: 'ridge' takes trained runs alone." in fit.warnings and len(fit) == 12


def test_the_order_of_rows_changes_nothing_and_laws_are_compared_on_true_runs():
    table = with_merges(transfer_runs(2, noise=2e-4, count=7), noise=2e-4)
    shuffled = table.take(np.random.default_rng(3).permutation(len(table)))
    first, second = (evidence(*split(runs), find("pairwise")) for runs in (table, shuffled))
    order = [np.argsort(found.runs.runs) for found in (first, second)]
    assert np.allclose(first.runs.losses_RJ[order[0]], second.runs.losses_RJ[order[1]], rtol=1e-9, equal_nan=True)
    rows = compare_laws(table, ["ridge"]), compare_laws(split(table)[0], ["ridge"])
    assert [row.mre for row in rows[0]] == [row.mre for row in rows[1]]


def test_replicates_of_a_mixture_are_one_pair_of_the_line():
    table = with_merges(transfer_runs(0, count=12))
    six = table.take(np.r_[0:6, 12:15, 24:44])  # merges of the first three, and others
    again = replace(six.take(np.r_[0, 0:29]), runs=("again", *six.runs))
    found = evidence(*split(again), find("pairwise"))
    assert len(found.warnings) == 3
    assert all("fewer than 4 true runs have the shares of one" in text for text in found.warnings)
