"""One deliberately broken law per check: the conformance suite catches each, and says what is wrong."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from mixlaw.laws.autoscale import Autoscale
from mixlaw.laws.exponential import Exponential
from mixlaw.laws.ridge import Ridge
from mixlaw.testing import LAW_CHECKS, REGRESSOR_CHECKS, check_law, check_regressor
from mixlaw.testing import laws as law_checks
from mixlaw.testing import regressors as regressor_checks


class TwiceTheSameName(Exponential):
    def _parameters(self):
        first, *rest = super()._parameters()
        return (first, *(replace(parameter, name="t") for parameter in rest))


class NegativeLogarithm(Exponential):
    def _parameters(self):
        return tuple(replace(parameter, scale="log") for parameter in super()._parameters())


class OneVectorOnly(Autoscale):
    def predict(self, theta_P, tokens_RK):
        return super().predict(np.reshape(theta_P, (-1, 4))[0], tokens_RK)


class RunsTalk(Exponential):
    def predict(self, theta_P, tokens_RK):
        losses = super().predict(theta_P, tokens_RK)
        return losses + 0.01 * losses.mean(axis=-1, keepdims=True)


class SinglePrecision(Exponential):
    def predict(self, theta_P, tokens_RK):
        return super().predict(theta_P, tokens_RK).astype(np.float32)


class RescalesInPlace(Autoscale):
    def rescale(self, theta_P, factor):
        theta_P[..., 2] *= factor
        theta_P[..., 1] *= factor ** theta_P[..., 3]
        return theta_P


class WrongJacobian(Autoscale):
    def jacobian(self, theta_P, tokens_RK):
        return super().jacobian(theta_P, tokens_RK) * [1, 1, 1, 1.00001]


class WrongGradient(Exponential):
    def gradient(self, theta_P, tokens_RK):
        return super().gradient(theta_P, tokens_RK) * 1.00001


class ForgetsTheCoefficient(Autoscale):
    def rescale(self, theta_P, factor):
        return np.array(theta_P) * [1, 1, factor, 1]


class FirstDomainIsSpecial(Exponential):
    def predict(self, theta_P, tokens_RK):
        return super().predict(theta_P, tokens_RK) + 0.1 * (tokens_RK[:, 0] / tokens_RK.sum(axis=1))


class SortsItsDomains(Exponential):
    def predict(self, theta_P, tokens_RK):
        order = np.argsort(self.domains)
        return super().predict(np.asarray(theta_P)[..., [0, *(1 + order)]], tokens_RK)


class NoFloor(Autoscale):
    def predict(self, theta_P, tokens_RK):
        return super().predict(theta_P, tokens_RK) + 0.01 * np.log(tokens_RK[:, self._own])


class StartsOutside(Exponential):
    def starts(self, tokens_RK, losses_R, count):
        return super().starts(tokens_RK, losses_R, count) - [5.0, 0, 0, 0]


class RandomStarts(Exponential):
    def starts(self, tokens_RK, losses_R, count):
        starts = super().starts(tokens_RK, losses_R, count)
        return starts + np.random.default_rng().uniform(0, 1e-6, starts.shape)


class TooManyStarts(Exponential):
    def starts(self, tokens_RK, losses_R, count):
        return super().starts(tokens_RK, losses_R, count + 1)


BROKEN = [
    (TwiceTheSameName, law_checks.names_and_bounds_are_sound, "distinct names"),
    (NegativeLogarithm, law_checks.names_and_bounds_are_sound, "a scale that its bounds allow for 't[chat]'"),
    (OneVectorOnly, law_checks.shapes_broadcast, "`predict` has shape (5, 12)"),
    (RunsTalk, law_checks.shapes_broadcast, "`predict` of a run does not depend on others"),
    (SinglePrecision, law_checks.numbers_are_float64, "gave float32"),
    (RescalesInPlace, law_checks.numbers_are_float64, "leaves its arguments as they were"),
    (WrongJacobian, law_checks.jacobian_is_the_derivative, "the jacobian by 'b'"),
    (WrongGradient, law_checks.gradient_is_the_derivative, "the gradient by tokens of 'chat'"),
    (ForgetsTheCoefficient, law_checks.rescaling_changes_no_prediction, "tokens counted 0.001 times finer"),
    (FirstDomainIsSpecial, law_checks.permuting_domains_permutes_the_answer, "permuting domains keeps the loss"),
    (SortsItsDomains, law_checks.renaming_domains_changes_nothing, "renaming keeps the loss"),
    (NoFloor, law_checks.zero_tokens_are_finite, "`predict` is finite with no tokens of a domain"),
    (StartsOutside, law_checks.starts_are_usable, "5 outside"),
    (RandomStarts, law_checks.starts_are_usable, "the same starts again"),
    (TooManyStarts, law_checks.starts_are_usable, "one to four starts for 12 runs, gives shape (5, 4)"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("broken", "check", "says"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_law_is_caught_by_its_check_with_a_sentence(broken, check, says):
    with pytest.raises(AssertionError, match=re.escape(says)) as caught:
        check(broken)
    assert f"'{broken.name}'" in str(caught.value)
    with pytest.raises(AssertionError):
        check_law(broken)


def test_every_check_has_a_broken_law():
    assert {check for _, check, _ in BROKEN} == set(LAW_CHECKS)


class Nothing:
    """A regressor that wraps ridge regression, to be broken."""

    name = "wrapped"

    def fit(self, tokens_RK, losses_R, seed):
        self.fitted = Ridge().fit(tokens_RK, losses_R, seed)
        self.runs = len(losses_R)
        return self

    def predict(self, tokens_RK):
        return self.fitted.predict(tokens_RK)


class Column(Nothing):
    def predict(self, tokens_RK):
        return super().predict(tokens_RK)[:, None]


class Explodes(Nothing):
    def predict(self, tokens_RK):
        with np.errstate(over="ignore"):
            return super().predict(tokens_RK) + np.exp(np.sum(tokens_RK, axis=1)) * 1e-9


class Unseeded(Nothing):
    def predict(self, tokens_RK):
        return super().predict(tokens_RK) + np.random.default_rng().uniform()


class NeedsThreeRuns(Nothing):
    def predict(self, tokens_RK):
        return super().predict(tokens_RK) / (self.runs > 2)


class CountsTokens(Nothing):
    def predict(self, tokens_RK):
        return super().predict(tokens_RK) + 0.001 * tokens_RK[:, 0]


class ShrinksToZero(Nothing):
    def predict(self, tokens_RK):
        return 0.99 * super().predict(tokens_RK)


class LikesTheLastRun(Nothing):
    def fit(self, tokens_RK, losses_R, seed):
        return super().fit(tokens_RK, np.append(losses_R[:-1], losses_R[-1] + 0.1 * np.ptp(losses_R)), seed)


class TheMean(Nothing):
    def predict(self, tokens_RK):
        return np.full(len(tokens_RK), self.fitted.mean)


BROKEN_REGRESSORS = [
    (Column, regressor_checks.predictions_are_sound, "predicts (24,) losses, gave (24, 1)"),
    (Explodes, regressor_checks.extrapolation_is_finite, "finite at 1e+06 times the budget"),
    (Unseeded, regressor_checks.the_same_seed_gives_the_same_predictor, "the same predictions"),
    (NeedsThreeRuns, regressor_checks.poor_tables_do_not_break_it, "finite losses after two runs"),
    (CountsTokens, regressor_checks.the_unit_of_tokens_does_not_matter, "the unit of tokens"),
    (ShrinksToZero, regressor_checks.a_constant_is_carried_through, "a constant added to all losses"),
    (LikesTheLastRun, regressor_checks.shuffling_runs_changes_nothing, "the order of the runs"),
    (TheMean, regressor_checks.it_learns_a_smooth_law, "beats the mean on new runs"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("broken", "check", "says"), BROKEN_REGRESSORS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_broken_regressor_is_caught_by_its_check_with_a_sentence(broken, check, says):
    with pytest.raises(AssertionError, match=re.escape(says)):
        check(broken)
    with pytest.raises(AssertionError, match="The regressor 'wrapped'"):
        check_regressor(broken)


def test_every_regressor_check_has_a_broken_regressor_and_the_sound_one_passes():
    assert {check for _, check, _ in BROKEN_REGRESSORS} == set(REGRESSOR_CHECKS)
    check_regressor(Nothing)
