"""Whether mixtures lie outside the range of the runs, in total tokens or in shares, as sentences for users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixlaw.core.tokens import format_tokens

FAR = 1.5
"""Totals this many times beyond the largest run earn a warning. No data."""

BELOW = 0.99
"""Totals below this part of the smallest run earn one. No data."""

UNLIKE = 0.1
"""A part of a mixture outside what runs can be mixed to that earns one. No data."""

OF_SIZE = "Predictions are for models of"
"""How the sentence on a model's size begins. No data."""


def of_size(params: float, top: float) -> tuple[str, ...]:
    """Return a sentence on how far a size lies beyond the largest among the runs, `top`, where it does."""
    if params <= top * (1 + 1e-9):
        return ()
    return (
        f"{OF_SIZE} {params:.3g} parameters, {params / top:.3g} times the largest among the runs ({top:.3g}): "
        "intervals are widened accordingly. A few runs of a larger size would narrow them.",
    )


def outside(totals_R: np.ndarray, runs_R: np.ndarray, what: str) -> tuple[str, ...]:
    """Return a sentence on totals far beyond the largest run, and one on totals below the smallest.

    Args:
        totals_R: total tokens of what is asked.
        runs_R: of the runs; those without tokens, the base model, are no end of their range.
        what: the totals in words, such as `The budget`.
    """
    known_R, asked_R = runs_R[runs_R > 0], totals_R[totals_R > 0]
    if not len(known_R) or not len(asked_R):
        return ()
    said, most, least = [], float(asked_R.max()), float(asked_R.min())
    largest, smallest = float(known_R.max()), float(known_R.min())
    if most > FAR * largest:
        said.append(
            f"{what} of {format_tokens(most)} is {most / largest:.1f} times the largest run of the fit, so the law is "
            "extrapolated that far."
        )
    if least < BELOW * smallest:
        said.append(
            f"{what} of {format_tokens(least)} is smaller than the smallest run of the fit ({format_tokens(smallest)}),"
            " so the law is extrapolated. Add a run or two of that size."
        )
    return tuple(said)


def unlike(part: float) -> tuple[str, ...]:
    """Return a sentence on a recommended mixture of which so much lies outside what runs can be mixed to."""
    if part < UNLIKE:
        return ()
    return (
        f"{100 * part:.0f} % of the recommended mixture lies outside what the runs' mixtures span, where the gains "
        "that the law expects are less certain; the regret allows for that. A run near that mixture would narrow it.",
    )


def unfollowed(laws: Mapping[str, str], inside: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each target that no law follows.

    Args:
        laws: target -> name of its law.
        inside: target -> the regressor in the law's place within the range of the runs' totals.
    """
    return tuple(
        f"{target}: no law follows its loss. '{regressor}' predicts it within the range of the runs' totals, "
        f"'{laws[target]}' beyond it."
        for target, regressor in inside.items()
    )
