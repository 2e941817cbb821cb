"""Laws of users' own that are not what they should be: one error that says what is wrong, and no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from law_runs import TRANSFER, run_table
from mixlaw.core.errors import FitError
from mixlaw.fit import fit_law
from mixlaw.laws.chinchilla import Chinchilla
from mixlaw.laws.transfer import Transfer


class OneLoss(Chinchilla):
    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return super().predict(theta_P, tokens_RK)[..., :1]


class Transposed(Chinchilla):
    def jacobian(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return np.swapaxes(super().jacobian(theta_P, tokens_RK), -1, -2)


class NotFinite(Chinchilla):
    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return np.nan * super().predict(theta_P, tokens_RK)


class Raises(Chinchilla):
    def predict(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("of mine")


class SteepNowhere(Chinchilla):
    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        raise NotImplementedError("no gradient")


class OneSlope(Chinchilla):
    def gradient(self, theta_P: np.ndarray, tokens_RK: np.ndarray) -> np.ndarray:
        return super().gradient(theta_P, tokens_RK).sum(axis=-1)


class NoUnits(Chinchilla):
    def rescale(self, theta_P: np.ndarray, factor: float) -> np.ndarray:
        return super().rescale(theta_P, factor)[..., :1]


class NoStart(Chinchilla):
    def starts(self, tokens_RK: np.ndarray, losses_R: np.ndarray, count: int) -> np.ndarray:
        return super().starts(tokens_RK, losses_R, count)[:0]


class NoParameters:
    name = "no_parameters"

    def __init__(self, domains: tuple[str, ...], target: str) -> None:
        self.domains, self.target = domains, target


class TakesNothing:
    name = "takes_nothing"


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (OneLoss, r"predict gives shape \(1,\) for 12 runs"),
        (Transposed, "jacobian gives shape"),
        (NotFinite, "losses that are not finite at its own starts"),
        (SteepNowhere, "gradient raised NotImplementedError: no gradient"),
        (OneSlope, r"gradient gives shape \(12,\) for 12 runs"),
        (NoUnits, r"rescale gives shape \(1,\)"),
        (Raises, "raised ZeroDivisionError: of mine"),
        (NoStart, "gives starts of shape"),
        (NoParameters, "has no parameters, predict"),
        (TakesNothing, "cannot be made for domains and a target"),
    ],
)
def test_what_is_wrong_with_a_law_is_said(law: Any, words: str) -> None:
    with pytest.raises(FitError, match=words) as error:
        fit_law(run_table(Transfer, TRANSFER, 12, 0.01), law=law)
    assert "check_law" in error.value.hint
