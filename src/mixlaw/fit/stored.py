"""What `fit.json` holds, and the parts of a fit from it; `Fit.to_json` and `Fit.from_json` are the way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.runtable import RunTable
from mixlaw.fit.choosing.base_model import without_base
from mixlaw.fit.choosing.repetition import counted
from mixlaw.fit.curve import Belief, Curve, Scatter
from mixlaw.fit.estimating.information import Information
from mixlaw.fit.estimating.inside import inside_law, regressor_of
from mixlaw.fit.estimating.regressor import RegressorLaw
from mixlaw.fit.posterior.convergence import Convergence
from mixlaw.fit.posterior.extrapolation import Beyond, standard_normals
from mixlaw.fit.size import SIZE
from mixlaw.fit.target_fit import CHECKED, TargetFit, number
from mixlaw.laws import LawKind, find


def parts_of(targets: Mapping[str, TargetFit], runs: RunTable) -> dict[str, Any]:
    """Return what the file holds beside the summary: draws, scatter and runs."""
    reported = _curves_json({name: fitted.curve for name, fitted in targets.items()})
    others = {name: fitted.belief.curves[1] for name, fitted in targets.items() if len(fitted.belief.curves) > 1}
    return {
        **{key: part for key, part in reported.items() if key != "law"},
        "laws": {name: fitted.curve.law.name for name, fitted in targets.items()},
        "inside": {name: regressor_of(fitted.curve.law) for name, fitted in targets.items()},
        "alternative_curves": _curves_json(others) if others else None,
        "beyond": {name: asdict(fitted.belief.beyond) for name, fitted in targets.items()},
        "run_names": list(runs.runs),
        "tokens": runs.tokens_RK.tolist(),
        "unique": None if runs.unique_RK is None else runs.unique_RK.tolist(),
        "checkpoint_of": list(runs.checkpoint_of) or None,
        "study": list(runs.study) or None,
        "fidelity": list(runs.fidelity) or None,
        "run_params": None if runs.params_R is None else [number(x) for x in runs.params_R],
        "losses": [[number(x) for x in row] for row in runs.losses_RJ],
    }


def fields_from(value: Mapping[str, Any], law: Any = None) -> dict[str, Any]:
    """Return the fields of a `Fit`; raise DataError where a key is missing or of the wrong kind, or the law unknown.

    ConfigError where the law that is given cannot be found.
    """
    if not isinstance(value, Mapping):
        raise DataError("Not a fit file: it holds no keys.", "Write it with `mixlaw fit`.")
    given = None if law is None else find(law)
    if given is not None:
        _require_law_of(value, given)
    try:
        kind = given or find(value["law"])
        runs, decay = _runs(value), float("inf") if value["repetition"] is None else float(value["repetition"])
        left = _base_left_out(value, runs.targets)
        fitted_runs = without_base(counted(runs, decay), left)
        return {
            "law": value["law"],
            "procedure": str(value["procedure"]),
            "domains": runs.domains,
            "targets": {name: _target(value, kind, fitted_runs, j) for j, name in enumerate(runs.targets)},
            "runs": runs,
            "warnings": tuple(value["warnings"]),
            "choice": str(value["choice"]),
            "decay": decay,
            "params": _float(value["params"]),
            "base_left_out": left,
        }
    except ConfigError:
        raise DataError(
            f"The fit file has law '{value.get('law')}', which is not registered.",
            "Register it with `mixlaw.laws.register`, or name it: --law package.module:Class.",
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"Not a fit file: {type(error).__name__} {error}.", "Write it with `mixlaw fit`.") from None


def _require_law_of(value: Mapping[str, Any], given: LawKind) -> None:
    """Raise DataError where the law that was given is another than the file's, and the file's is known here."""
    try:
        own = find(str(value["law"]))
    except (ConfigError, KeyError):
        return
    if given.name != own.name and (given.law, given.regressor) != (own.law, own.regressor):
        raise DataError(
            f"The fit file has law '{own.name}', not '{given.name}'.",
            f"Leave out --law, or fit the runs with '{given.name}'.",
        )


def _base_left_out(value: Mapping[str, Any], targets: tuple[str, ...]) -> tuple[str, ...]:
    # Files of earlier versions leave it out for all targets or for none.
    if "base_left_out" not in value:
        return () if value.get("fits_base", True) else targets
    return tuple(map(str, value["base_left_out"]))


def _curves_json(curves: Mapping[str, Curve]) -> dict[str, Any]:
    shapes = {
        name: (c.scatter.power, c.scatter.base, c.scatter.span, c.scatter.tilt, c.scatter.middle)
        for name, c in curves.items()
    }
    found = {
        "parameters": {name: curve.parameters for name, curve in curves.items()},
        "draws": {name: {p: v.tolist() for p, v in curve.draws.items()} for name, curve in curves.items()},
        "noise": {name: curve.scatter.sd_nats for name, curve in curves.items()},
        "scatter": {name: list(map(float, shape)) for name, shape in shapes.items()},
    }
    return found | {"law": next(iter(curves.values())).law.name}


def _runs(value: Mapping[str, Any]) -> RunTable:
    domains, targets, names = (tuple(map(str, value[key])) for key in ("domains", "targets", "run_names"))
    R, K, J = len(names), len(domains), len(targets)
    tokens = np.array(value["tokens"], float)
    losses = np.array([[_float(x) for x in row] for row in value["losses"]])
    if not (R and K and J) or tokens.shape != (R, K) or losses.shape != (R, J):
        raise ValueError(f"tokens and losses are not of {R} runs, {K} domains and {J} targets")
    unique = None if value["unique"] is None else np.array(value["unique"], float)
    if unique is not None and unique.shape != (R, K):
        raise ValueError(f"distinct tokens are not of {R} runs and {K} domains")
    params = None if value["run_params"] is None else np.array([_float(x) for x in value["run_params"]])
    if params is not None and params.shape != (R,):
        raise ValueError(f"model sizes are not of {R} runs")
    of = tuple(map(str, value.get("checkpoint_of") or ()))
    if of and len(of) != R:
        raise ValueError(f"checkpoint_of is not of {R} runs")
    studies = tuple(map(str, value.get("study") or ()))
    kinds = tuple(map(str, value.get("fidelity") or ()))
    for what, labels in (("study", studies), ("fidelity", kinds)):
        if labels and len(labels) != R:
            raise ValueError(f"{what} is not of {R} runs")
    shifts = {
        str(study): {target: {key: float(by[target][key]) for key in ("mean", "sd")} for target in targets}
        for study, by in (value.get("shifts") or {}).items()
    }
    parts = {"unique_RK": unique, "params_R": params, "checkpoint_of": of, "fidelity": kinds, "study": studies}
    return RunTable(names, domains, targets, tokens, losses, shifts=shifts, **parts)


def _target(value: Mapping[str, Any], kind: LawKind, runs: RunTable, j: int) -> TargetFit:
    name, diagnostics = runs.targets[j], value["diagnostics"][runs.targets[j]]
    # Files of earlier versions have one law for all targets.
    mine, inside = (value.get(key, {}).get(name, "") for key in ("laws", "inside"))
    kind = kind if mine in ("", value["law"]) else find(mine)
    curves, others = [_curve(value, kind, runs, name, inside)], value["alternative_curves"]
    if others is not None and name in others["parameters"]:
        curves.append(_curve(others, find(others["law"]), runs, name))
    information, convergence = diagnostics["information"], diagnostics["convergence"]
    return TargetFit(
        Belief(tuple(curves), standard_normals(runs.losses_RJ, j, len(curves[0].draws_SP)), _beyond(value, name)),
        str(value["status"][name]),
        str(value["messages"][name]),
        tuple(map(str, diagnostics["at_bound"])),
        *(_float(diagnostics[key]) for key in CHECKED),
        information=None if information is None else Information.from_json(information),
        convergence=None if convergence is None else Convergence.from_json(convergence),
    )


def _beyond(value: Mapping[str, Any], name: str) -> Beyond:
    # Files of earlier versions have none, and so what is believed before any larger run is held out, or none of wholes.
    said = {"whole": 0.0} | (value["beyond"][name] if "beyond" in value else asdict(Beyond()))
    return Beyond(**{key: float(said[key]) for key in asdict(Beyond())})


def _curve(value: Mapping[str, Any], kind: LawKind, runs: RunTable, name: str, inside: str = "") -> Curve:
    power, base, span, *leaning = map(float, value["scatter"][name])  # earlier versions have no tilt
    scatter = Scatter(float(value["noise"][name]), power, base, span, *leaning)
    if kind.law is None:
        return Curve(RegressorLaw.of(kind, runs, name), np.zeros(0), np.zeros((1, 0)), scatter)
    law, parameters = kind.law(runs.domains, name), value["parameters"][name]
    law = inside_law(law, find(inside), runs) if inside else law
    draws = {p: np.array(values, float) for p, values in value["draws"][name].items()}
    shapes = {values.shape for values in draws.values()}
    if set(draws) != set(parameters) or len(shapes) > 1 or any(len(shape) != 1 or not shape[0] for shape in shapes):
        raise ValueError(f"the draws of '{name}' are not of its parameters")
    names = [parameter.name for parameter in law.parameters]
    theta_P, draws_SP = np.array([float(parameters[p]) for p in names]), np.column_stack([draws[p] for p in names])
    if "gamma" not in parameters or "gamma" in names:
        return Curve(law, theta_P, draws_SP, scatter)
    # Files of earlier versions have gamma alone: floors and exponents did not move.
    none_S = np.zeros(len(draws_SP))
    point = np.array([float(parameters.get(p, 0.0)) for p in SIZE])
    return Curve(law, theta_P, draws_SP, scatter, (point, np.column_stack([draws.get(p, none_S) for p in SIZE])))


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
