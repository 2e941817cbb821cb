"""The least-squares engine reaches the certified answers of NIST's 27 nonlinear regressions, from both starts of each.

No start has more than two and a half digits of every parameter right: six cannot be passed by standing still.
Derivatives are exact to rounding (a complex step of 1e-30).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mixlaw.fit.estimating.robust import least_squares_fit

DATA = Path(__file__).parent / "nist_strd"

# Models by data set: parameters b, columns x after the response.
MODELS = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Chwirut1": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Chwirut2": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": lambda b, x: b[0] + wave(b[1], b[2], 12, x) + wave(b[4], b[5], b[3], x) + wave(b[7], b[8], b[6], x),
    "Eckerle4": lambda b, x: b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": lambda b, x: two_peaks(b, x),
    "Gauss2": lambda b, x: two_peaks(b, x),
    "Gauss3": lambda b, x: two_peaks(b, x),
    "Hahn1": lambda b, x: cubic_over_cubic(b, x),
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": lambda b, x: three_decays(b, x),
    "Lanczos2": lambda b, x: three_decays(b, x),
    "Lanczos3": lambda b, x: three_decays(b, x),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * np.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]),
    "Misra1a": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda b, x: b[0] - b[1] * x[0] * np.exp(-b[2] * x[1]),
    "Rat42": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi,
    "Thurber": lambda b, x: cubic_over_cubic(b, x),
}


def wave(even, odd, period, x):
    return even * np.cos(2 * np.pi * x / period) + odd * np.sin(2 * np.pi * x / period)


def two_peaks(b, x):
    peaks = b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2) + b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * np.exp(-b[1] * x) + peaks


def three_decays(b, x):
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def cubic_over_cubic(b, x):
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


@dataclass(frozen=True)
class Problem:
    """One data set.

    Attributes:
        starts: (2, P).
        certified: (P,) parameters.
        squares: certified residual sum of squares.
        response: (M,).
        predictors: (M,), or (2, M) for two of them.
    """

    name: str
    starts: np.ndarray
    certified: np.ndarray
    squares: float
    response: np.ndarray
    predictors: np.ndarray

    def residuals(self, b):
        return MODELS[self.name](b, self.predictors) - self.response

    def jacobian(self, b):
        moved = np.asarray(b) + 1e-30j * np.eye(len(b))
        return np.stack([self.residuals(row).imag / 1e-30 for row in moved], axis=1)


def load(name: str) -> Problem:
    text = (DATA / f"{name}.dat").read_text(encoding="ascii")
    number = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
    rows = re.findall(rf"^\s*b\d+\s*=((?:\s+{number}){{4}})\s*$", text, re.MULTILINE)
    table = np.array([row.split() for row in rows], dtype=float)
    squares = float(re.search(rf"Residual Sum of Squares:\s+({number})", text)[1])
    count = int(re.search(r"Number of Observations:\s+(\d+)", text)[1])
    data = np.array([line.split() for line in text.splitlines()[60:] if line.strip()], dtype=float)
    assert len(data) == count, f"{name} has {len(data)} rows, says {count}"
    response = np.log(data[:, 0]) if name == "Nelson" else data[:, 0]
    predictors = data[:, 1:].T if data.shape[1] > 2 else data[:, 1]
    return Problem(name, table[:, :2].T, table[:, 2], squares, response, predictors)


def digits(value, certified) -> float:
    """Return the number of significant digits that agree, 11 at most, as certified."""
    away = np.max(np.abs(np.asarray(value) - certified) / np.abs(certified))
    return 11.0 if away < 1e-11 else float(-np.log10(away))


def fitted(problem: Problem, start: np.ndarray):
    """Return the engine's answer; where it stops at its limit of evaluations, let it go on from there."""
    free = np.full(len(start), np.inf)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(5):
            result = least_squares_fit(problem.residuals, problem.jacobian, start, -free, free)
            if getattr(result, "status", 1) != 0:
                return result
            start = result.x
    raise AssertionError(f"{problem.name}: no answer after five times the limit of evaluations")


def test_all_27_data_sets_are_here():
    assert {path.stem for path in DATA.glob("*.dat")} == set(MODELS)
    assert len(MODELS) == 27


@pytest.mark.parametrize("name", MODELS)
def test_the_models_have_the_certified_sum_of_squares_at_the_certified_parameters(name):
    problem = load(name)
    squares = np.sum(problem.residuals(problem.certified) ** 2)
    if name == "Lanczos1":
        assert squares < 1e-20  # parameters are certified to 11 digits, the residuals are 1e-13 of the response
    else:
        assert digits(squares, problem.squares) > 6


@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_certified_parameters_and_sum_of_squares_are_reached(name, start):
    problem = load(name)
    result = fitted(problem, problem.starts[start - 1])
    assert digits(result.x, problem.certified) > 6
    if name == "Lanczos1":
        # Certified is 1.43e-25 with residuals of 1e-13, computed with more than double precision; here they are
        # lost in rounding. Every start has more than 0.1.
        assert 2 * result.cost < 1e-24
    else:
        assert digits(2 * result.cost, problem.squares) > 8


def test_a_start_is_far_from_certified():
    for name in MODELS:
        problem = load(name)
        for start in problem.starts:
            assert digits(start, problem.certified) < 2.5
