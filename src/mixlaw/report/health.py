"""Health checks: whether the answer can be trusted, and what to do where it cannot.

Each check is PASS, WARN or FAIL. The thresholds are conventions; each check's text gives the value it judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixlaw.core.percents import probability
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import differences_in
from mixlaw.core.tokens import format_tokens
from mixlaw.fit.result import Fit
from mixlaw.report.comparison import total_changes
from mixlaw.report.numbers import percent, percent_interval, significant
from mixlaw.report.verdicts import FAIL, PASS, WARN, Check, some
from mixlaw.solve.ceilings import SURE
from mixlaw.solve.solution import Solution

_NEAR = 1.5
"""A budget within so many times the largest run is hardly extrapolated. No data."""

__all__ = ["FAIL", "PASS", "WARN", "Check", "health_checks"]


def health_checks(
    fit: Fit, runs: RunTable, solution: Solution | None, study: Mapping[str, Any] | None = None
) -> list[Check]:
    """Return all checks, the failed ones first."""
    checks = [_runs(fit), _held_out(fit), _ranks(fit), _identified(fit), *_draws(fit), _bounds(fit), _noise(fit, runs)]
    if solution is not None:
        held_out = checks[1].status
        checks += [_gain(fit, solution), _extrapolation(fit, solution, held_out), _regret(solution)]
        checks.append(_certificate(solution))
        checks += _limits(solution)
        if solution.epochs:
            checks.append(_repetition(solution))
    checks += _failed(study or {})
    checks += [Check(**check) for check in (study or {}).get("data_checks") or ()]
    return sorted(checks, key=lambda check: (FAIL, WARN, PASS).index(check.status))


def _failed(study: Mapping[str, Any]) -> list[Check]:
    names = [str(run["run"] if isinstance(run, Mapping) and "run" in run else run) for run in study.get("failed") or ()]
    count = len(names) or int(study.get("runs_failed") or 0)
    if not count:
        return []
    text = f"{count} planned {'run' if count == 1 else 'runs'} failed{': ' + some(names) if names else ''}."
    step = "`mixlaw status` shows why. Fix the cause, then run again with --retry-failed."
    return [Check(WARN, "Failed runs", text, step)]


def _runs(fit: Fit) -> Check:
    mixtures = len(np.unique(fit.runs.tokens_RK, axis=0))
    # A value for every source is held by priors; the curve's own parameters are not.
    parameters = max(sum(not p.source for p in f.curve.law.parameters) for f in fit.targets.values())
    text = f"{mixtures} different mixtures, for a curve with {parameters} parameters."
    if mixtures >= 2 * parameters:
        return Check(PASS, "Enough runs", text)
    return Check(WARN, "Enough runs", text, f"Add runs: at least {2 * parameters} mixtures, with totals that differ.")


def _held_out(fit: Fit) -> Check:
    name = "Predicts held-out runs"
    ratios = {t: f.cv_mre / f.cv_mre_mean for t, f in fit.targets.items() if np.isfinite(f.cv_mre / f.cv_mre_mean)}
    if not ratios:
        step = "Add runs with other mixtures" + _or_all_at_once(fit) + "."
        return Check(WARN, name, "No run could be predicted from the others.", step)
    worst = max(ratios, key=lambda target: ratios[target])
    fitted = fit.targets[worst]
    text = (
        f"Worst target {worst}: mean relative error {percent(fitted.cv_mre, 2)}, "
        f"against {percent(fitted.cv_mre_mean, 2)} for predicting the mean."
    )
    if lacking := [target for target in fit.targets if target not in ratios]:
        text += f" Not tested: {some(lacking)}."
    if ratios[worst] >= 1:
        return Check(
            FAIL, name, text, "Do not use these weights for that target: add runs that differ more in its domain."
        )
    if ratios[worst] > 0.5 or lacking:
        return Check(WARN, name, text, "Add runs with a wider range of that domain's tokens, or a second seed.")
    return Check(PASS, name, text)


def _or_all_at_once(fit: Fit) -> str:
    """Return the remedy that a fit of single curves has besides."""
    return "" if fit.procedure == "joint" else ", or fit all runs at once (--procedure joint)"


def _ranks(fit: Fit) -> Check:
    name = "Ranks held-out runs"
    found = {t: f.cv_spearman for t, f in fit.targets.items() if np.isfinite(f.cv_spearman)}
    if not found:
        return Check(WARN, name, "The rank correlation is not known.", "Add runs.")
    worst = min(found, key=lambda target: found[target])
    text = f"Worst target {worst}: rank correlation {significant(found[worst], 2)} of predicted and measured."
    if found[worst] >= 0.8:
        return Check(PASS, name, text)
    step = "Use more tokens in each run, or repeat runs: noise, or a law that fits poorly, hides which run is better."
    return Check(WARN if found[worst] >= 0.4 else FAIL, name, text, step)


def _identified(fit: Fit) -> Check:
    name = "Parameters determined"
    open_ = [target for target, fitted in fit.targets.items() if not fitted.identifiable]
    if not open_:
        return Check(PASS, name, "The runs determine the parameters of every target.")
    step = "Add runs in which each domain and the total change independently" + _or_all_at_once(fit) + "."
    return Check(FAIL, name, f"Not determined: {some(open_)}. {fit.targets[open_[0]].message}", step)


def _draws(fit: Fit) -> list[Check]:
    found = {target: fitted.convergence for target, fitted in fit.targets.items() if fitted.convergence is not None}
    if not found:
        return []
    worst = min(found, key=lambda target: found[target].effective)
    rhat = max(convergence.rhat for convergence in found.values())
    text = f"Worst target {worst}: {found[worst].effective:.0f} independent draws; R-hat at most {rhat:.2f}."
    if all(convergence.enough for convergence in found.values()):
        return [Check(PASS, "Draws suffice", text)]
    step = "Intervals and regrets are rough there: fit fewer domains at once, or compare two seeds (--seed)."
    return [Check(WARN, "Draws suffice", text, step)]


def _bounds(fit: Fit) -> Check:
    name = "No parameter at a bound"
    found = [f"{target} ({', '.join(f.at_bound)})" for target, f in fit.targets.items() if f.at_bound]
    if not found:
        return Check(PASS, name, "Every parameter lies inside its bounds.")
    step = "Compare other laws (mixlaw laws), and trust this curve only at sizes like those of the runs."
    return Check(WARN, name, f"At a bound: {some(found)}.", step)


def _noise(fit: Fit, runs: RunTable) -> Check:
    ratios = {}
    for target, fitted in fit.targets.items():
        losses = runs.losses_RJ[:, runs.targets.index(target)]
        spread = float(np.nanstd(losses))
        ratios[target] = spread / fitted.noise_nats if fitted.noise_nats > 0 else np.inf
    worst = min(ratios, key=lambda target: ratios[target])
    noise, unit = significant(fit.targets[worst].noise_nats, 2), differences_in([worst])
    times = significant(ratios[worst], 2)
    noise = f"{noise} {unit}"
    text = f"Worst target {worst}: its losses differ {times} times as much as noise alone ({noise}) would make them."
    if np.isinf(ratios[worst]):
        text = "The losses have no noise."
    if ratios[worst] >= 3:
        return Check(PASS, "Signal above the noise", text)
    return Check(
        WARN if ratios[worst] >= 1.5 else FAIL, "Signal above the noise", text,
        "Use more tokens in each run, more validation rows, or several seeds.",
    )  # fmt: skip


def _gain(fit: Fit, solution: Solution) -> Check:
    changes = total_changes(fit, solution)
    name = "Gain over the baselines"
    texts, worst = [], PASS
    for baseline, change in changes.items():
        ends = "no interval"
        if change.has_interval:
            ends = f"{percent_interval(change.low, change.high, 2, True)}, median {percent(change.median, 2, True)}"
        texts.append(f"{percent(change.mean, 2, True)} against {baseline} ({ends})")
        status = PASS if change.sure and change.mean < 0 else FAIL if change.mean >= 0 else WARN
        worst = max(worst, status, key=(PASS, WARN, FAIL).index)
    text = f"Change of the loss: {'; '.join(texts)}."
    if worst == PASS:
        return Check(PASS, name, text)
    step = "Before you commit, train the baseline, too: the runs do not show that these weights beat it."
    return Check(worst, name, text, step)


def _extrapolation(fit: Fit, solution: Solution, held_out: str) -> Check:
    """Judge how far the budget lies beyond the runs.

    Runs that cost a tenth of the final run are always far smaller than it, so that alone is no failure: it is one where
    the law does not predict the runs that it has either (`held_out` is that check's status).
    """
    factor = solution.extrapolation_factor
    largest = format_tokens(fit.largest_run)
    text = f"The budget is {significant(factor, 2)} times the largest run ({largest} tokens)."
    wide = fit.runs.tokens_RK.max(axis=0)
    beyond = [d for i, d in enumerate(fit.domains) if solution.tokens.get(d, 0) > 1.5 * wide[i] > 0]
    if beyond:
        text += f" More tokens of {some(beyond)} than in any run."
    if factor <= _NEAR:
        return Check(PASS, "Extrapolation", text)
    status = WARN if factor <= 10 or held_out == PASS else FAIL
    step = "Add a few runs with larger totals, or train the recommended and the equal mixture at a budget in between."
    return Check(status, "Extrapolation", text, step)


def _regret(solution: Solution) -> Check:
    mean, p95 = solution.expected_regret.get("mean", np.nan), solution.expected_regret.get("p95", np.nan)
    share = mean / solution.total_loss if solution.total_loss else np.nan
    text = (
        f"Expected {significant(mean, 2)} {solution.unit} ({percent(share, 2)} of the total loss), "
        f"95th percentile {significant(p95, 2)} {solution.unit}."
    )
    if share <= 0.005:
        return Check(PASS, "Expected regret", text)
    return Check(WARN, "Expected regret", text, "The weights are uncertain: add runs near the recommended mixture.")


def _limits(solution: Solution) -> list[Check]:
    """Judge whether the limits of losses hold as surely as the intervals that are shown, and near the runs."""
    chances = [(limit["target"], limit["probability_kept"]) for limit in solution.limits]
    known = [(target, chance) for target, chance in chances if chance is not None]
    if not known:
        return []
    least = min(chance for _, chance in known)
    text = f"Kept with a probability of: {', '.join(f'{target} {probability(chance)}' for target, chance in known)}."
    if least < SURE:
        step = "Set certainty: 90 % in solve, or compare with the reference before you commit."
        return [Check(WARN, "Limits of losses", text, step)]
    if solution.extrapolation_factor <= _NEAR:
        return [Check(PASS, "Limits of losses", text)]
    step = (
        "Compare with the reference before you commit: beyond the runs, limits are kept less often than the law says."
    )
    return [Check(WARN, "Limits of losses", text, step)]


def _certificate(solution: Solution) -> Check:
    residual, gap = solution.certificate.kkt_residual, solution.certificate.gap
    figures = f"(KKT residual {significant(residual, 2)}, gap {significant(gap, 2)} {solution.unit})"
    if solution.status == "optimal" and residual <= 1e-4 and gap <= 1e-6:
        return Check(PASS, "Proof of optimality", f"The solver proved its answer {figures}.")
    text = f"The solver did not prove its answer {figures}."
    step = "Please report this as a bug: the solver should prove every answer."
    return Check(FAIL, "Proof of optimality", text, step)


def _repetition(solution: Solution) -> Check:
    most = max(solution.epochs, key=lambda domain: solution.epochs[domain])
    text = f"At most {significant(solution.epochs[most], 2)} passes over a domain ({most})."
    if solution.epochs[most] <= 4:
        return Check(PASS, "Repetition", text)
    step = "Rows repeated this often may be worth less than predicted: limit them (--max-epochs 4), or collect more."
    return Check(WARN, "Repetition", text, step)
