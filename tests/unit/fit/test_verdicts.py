"""What a fit says of itself: a status, a sentence and warnings, each given where it must be and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from law_runs import DOMAINS, TRANSFER, run_table
from mixlaw.core.errors import ConfigError, NotIdentifiable
from mixlaw.core.runtable import RunTable
from mixlaw.fit import fit_law, judging
from mixlaw.fit.choosing import by_target, choice
from mixlaw.fit.choosing.held_out import Errors
from mixlaw.fit.choosing.table import LawRow
from mixlaw.fit.curve import Belief, Curve, Scatter
from mixlaw.fit.estimating.estimator import Estimated
from mixlaw.fit.estimating.information import Information
from mixlaw.fit.fitting import _warnings
from mixlaw.fit.judging import _verdict
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.target_fit import TargetFit
from mixlaw.laws import LawKind
from mixlaw.laws.transfer import Transfer, transfer_losses

CURVE = Curve(Transfer(("a", "b"), "a"), np.ones(5), np.ones((2, 5)), Scatter(0.01))
GOOD = Errors(0.01, 0.03, 0.9, 0.8)
ALL = Information(5, 5, 10.0)


def verdict(errors: Errors = GOOD, known: Information | None = ALL, bound: tuple[str, ...] = (), note: str = ""):
    return _verdict(Estimated(CURVE, bound, known), errors, note)


def test_a_good_fit_says_its_error_beside_that_of_the_mean() -> None:
    status, text = verdict()
    assert status == "converged"
    assert text == "Held-out mixtures are predicted with an error of 1 %, and by the mean of the other runs with 3 %."
    assert verdict(known=None)[0] == "converged"


@pytest.mark.parametrize(
    ("error", "status"), [(0.0299, "converged"), (0.03, "worse_than_mean"), (0.05, "worse_than_mean")]
)
def test_a_fit_no_better_than_the_mean_is_said_to_be_worse(error: float, status: str) -> None:
    found, text = verdict(Errors(error, 0.03, 0.9, 0.8), Information(5, 3), ("k",))
    assert found == (status if status == "worse_than_mean" else "not_identifiable")
    assert ("no signal" in text) is (status == "worse_than_mean")


def test_without_held_out_runs_the_reason_is_said() -> None:
    none = Errors(*[float("nan")] * 4)
    assert verdict(none) == ("converged", "Too few runs to hold some out.")
    assert verdict(none, note="It broke.") == ("converged", "It broke.")


@pytest.mark.parametrize(
    ("known", "status", "words"),
    [
        (Information(5, 4, np.inf, ("k", "alpha")), "not_identifiable", r"do not determine k, alpha \(rank 4 of 5\)"),
        (Information(5, 4, np.inf, ()), "not_identifiable", r"do not determine some parameters \(rank 4 of 5\)"),
        (
            Information(5, 4, np.inf, ("k",), held=True),
            "converged",
            "do not determine k, so the value comes from the prior",
        ),
        (Information(5, 4, np.inf, ("k", "beta"), held=True), "not_identifiable", "do not determine k, beta"),
        (Information(5, 4, np.inf, (), held=True), "converged", "^Held-out mixtures[^.]*[.]?[^.]*%[.]$"),
    ],
)
def test_open_parameters_make_a_fit_not_identifiable_unless_a_prior_holds_them(known, status, words) -> None:
    found, text = verdict(known=known)
    assert found == status
    assert pytest.importorskip("re").search(words, text)


def test_parameters_at_a_bound_are_named_and_what_no_worth_means() -> None:
    status, text = verdict(bound=("k",))
    assert status == "at_bound"
    assert text.startswith("k ended at a bound: tokens of other domains do not help here, or do harm.")
    assert verdict(bound=("k", "E"))[1].startswith("k, E ended at a bound. ")


def of(status: str, bound: tuple[str, ...] = ()) -> TargetFit:
    return TargetFit(Belief((CURVE,), np.zeros(2)), status, f"said of {status}", bound)


def test_warnings_are_given_for_targets_worse_than_the_mean_or_at_a_bound_and_for_no_others() -> None:
    assert _warnings({"x": of("converged"), "y": of("not_identifiable")}) == ()
    targets = {"x": of("converged"), "y": of("worse_than_mean"), "z": of("at_bound", ("k", "E"))}
    assert _warnings(targets) == ("y: said of worse_than_mean", "z: k, E ended at a bound.")


@pytest.mark.parametrize(
    ("effective", "rhat", "words"),
    [
        (
            882.4,
            1.31,
            "worth 882 independent ones, where 200 are enough, and R-hat is 1.31, where it should be below 1.05",
        ),
        (12.0, 1.02, "worth 12 independent ones, where 200 are enough, and R-hat is 1.02"),
    ],
)
def test_draws_that_had_not_settled_are_held_against_what_is_enough(effective: float, rhat: float, words: str) -> None:
    (said,) = _warnings({"x": replace(of("converged"), convergence=Convergence(effective, rhat))})
    assert words in said
    assert "of 200" not in said


def test_a_good_fit_has_no_warnings_and_no_alternative() -> None:
    fit = fit_law(run_table(Transfer, TRANSFER, 16, 0.002), law="transfer")
    assert fit.warnings == ()
    assert set(fit.status.values()) == {"converged"}
    said = fit.summary()
    assert said["alternative"] is None and said["params"] is None and said["repetition"] is None
    assert said["runs"] == 16
    assert said["domains"] == said["targets"] == list(DOMAINS)
    assert said["noise"] == {name: fit.targets[name].noise_nats for name in DOMAINS}


def table(losses: list[float], tokens: list[float]) -> RunTable:
    names = tuple(f"r{i}" for i in range(len(losses)))
    return RunTable(names, ("a",), ("a",), np.array(tokens)[:, None] * 1e6, np.array(losses)[:, None])


def test_one_and_the_same_loss_at_different_mixtures_is_refused() -> None:
    with pytest.raises(NotIdentifiable, match=r"'a' has the loss 2 in all of its 5 runs"):
        fit_law(table([2.0] * 5 + [float("nan")], [1, 2, 3, 4, 5, 6]))
    fit_law(table([2.0] * 5 + [1.9], [1, 2, 3, 4, 5, 6]))


def test_only_transfer_has_other_procedures() -> None:
    with pytest.raises(ConfigError, match="'own_curve' belongs to law 'transfer', not to 'ridge'"):
        fit_law(run_table(Transfer, TRANSFER, 16, 0.002), law="ridge", procedure="own_curve")


def test_other_procedures_need_no_law_by_name() -> None:
    runs = perturbed()
    assert fit_law(runs, procedure="own_curve").law == "transfer"


def perturbed() -> RunTable:
    """Return five runs in which `a` alone moves."""
    tokens = np.column_stack([np.geomspace(0.2, 3, 5), np.full(5, 0.5)])
    losses = transfer_losses(TRANSFER, tokens[:, 0], tokens[:, 1])[:, None]
    return RunTable(tuple("vwxyz"), ("a", "b"), ("a",), tokens * 1e6, losses)


def test_what_the_choice_has_held_out_is_not_held_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = run_table(Transfer, TRANSFER, 12, 0.002)
    rows = {
        name: LawRow(name, runs.losses_RJ * (1 + away), away) for name, away in (("transfer", 0.01), ("pairwise", 0.02))
    }
    monkeypatch.setattr(choice, "held_out", lambda runs, law: rows[law.name])
    asked: list[str] = []

    def none(runs: RunTable, law: LawKind) -> LawRow:
        asked.append(law.name)
        return LawRow(law.name, np.full(runs.losses_RJ.shape, np.nan))

    monkeypatch.setattr(by_target, "held_out", none)
    monkeypatch.setattr(judging, "held_out", None)
    fit = fit_law(runs)
    assert fit.law == "transfer"
    assert not set(asked) & set(rows)
    assert [target.cv_mre for target in fit.targets.values()] == pytest.approx([0.01] * 3)
