"""Verbs on numbers: fit, laws, solve, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
from mixlaw.cli import options as opt
from mixlaw.cli.output import finish, note, print_json, table, warn
from mixlaw.core.tokens import format_tokens
from mixlaw.solve.solution import BASE_COLUMNS


def fit(
    runs: Annotated[
        Path, typer.Argument(help="A run table (CSV, Parquet), a study folder or a mix.yaml.", show_default=False)
    ],
    law: opt.Law = "auto",
    procedure: opt.Procedure = "joint",
    seed: Annotated[int, typer.Option(help="Seed of the posterior draws.")] = 0,
    repetition: opt.Repetition = "auto",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="name=higher or name=lower: also fit the column metric:<name>, where higher (lower) is better."
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            help="Check the intervals: refit this many times to losses drawn again from the fit, and compare the "
            "spread; 40 are usual."
        ),
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="File to write the fit to; without it nothing is written.")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Fit a loss law to runs.

    Examples:
        mixlaw fit runs.csv --out fit.json
        mixlaw fit studies/mix --law pairwise
        mixlaw fit runs.csv --metric accuracy=higher
    """
    from mixlaw.api.numbers import fit as fit_runs
    from mixlaw.api.numbers import spread_ratios

    decay = _decay(repetition)
    metrics = opt.pairs(metric, "--metric", str)
    result = fit_runs(runs, law, procedure, seed, out, repetition=decay, metrics=metrics)
    ratios = spread_ratios(result, bootstrap) if bootstrap else None
    if as_json:
        print_json(result.summary() | ({} if ratios is None else {"bootstrap": ratios}))
        return
    # Parameters of a source, t[math], are too many for a table: --json and fit.json have them.
    names = _curve_names(result)
    rows = []
    for name, target in result.targets.items():
        row: list[Any] = [name, target.status, *(target.parameters[p] for p in names), target.noise_nats]
        rows.append([*row, 100 * target.cv_mre, 100 * target.cv_mre_mean])
    table(
        f"{result.law}, {result.procedure} fit of {len(result)} runs (tokens in millions, losses in nats)",
        ["target", "status", *names, "noise", "held-out error %", "mean's error %"],
        rows,
    )
    if result.choice:
        note(result.choice)
    if ratios is not None:
        shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        note(
            f"Spread of {bootstrap} refits, relative to that of the draws (1: the intervals are right; above 1: they "
            f"are too narrow): {shown}"
        )
    warn(result.warnings)
    where = out or "fit.json"
    finish(
        {"fit": out} if out else {},
        f"mixlaw solve {where} --budget 20M" if out else f"mixlaw fit {runs} --out fit.json",
    )


def _decay(text: str) -> float | str:
    """Return the decay as a number, or the word that was given."""
    try:
        return float(text)
    except ValueError:
        return text


def _curve_names(fit: Any) -> list[str]:
    """Return the parameters that belong to no source."""
    return [p.name for p in next(iter(fit.targets.values())).curve.law.parameters if not p.source]


def laws(
    runs: Annotated[
        Path, typer.Argument(help="A run table (CSV, Parquet), a study folder or a mix.yaml.", show_default=False)
    ],
    names: Annotated[
        str | None,
        typer.Option(
            "--laws",
            help="Only these laws, with commas: transfer,pairwise,gbdt.",
            autocompletion=completion.laws,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Folder for SVG figures of predicted against measured losses.")
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare the laws by how well each predicts held-out mixtures of the same runs.

    Examples:
        mixlaw laws runs.csv
        mixlaw laws studies/mix --laws transfer,pairwise,gbdt --plot figures
    """
    from mixlaw.api.numbers import laws as compare

    chosen = None if names is None else [name.strip() for name in names.split(",") if name.strip()]
    rows = compare(runs, chosen, plot)
    if as_json:
        print_json({"laws": [row.to_json() for row in rows]})
        return
    table(
        "Laws on held-out mixtures, best first",
        ["law", "error %", "rank correlation", "r2", "bias, nats", "seconds", "note"],
        [[r.name, 100 * r.mre, r.spearman, r.r2, r.bias, r.seconds, r.note] for r in rows],
    )
    best = next((row.name for row in rows if row.mre == row.mre), "auto")
    finish({"figures": plot} if plot else {}, f"mixlaw fit {runs} --law {best} --out fit.json")


def solve(
    fit_file: opt.FitFile,
    budget: Annotated[str, typer.Option(help="Training tokens: 20M, 1.5B, 2e7.", show_default=False)],
    objective: opt.Objective = None,
    target_weight: opt.TargetWeight = None,
    floor: opt.Floor = None,
    no_worse: opt.NoWorse = None,
    reference: opt.Reference = None,
    group: opt.Group = None,
    prior: opt.Prior = None,
    prior_strength: opt.PriorStrength = None,
    minimum: opt.Minimum = None,
    maximum: opt.Maximum = None,
    available: opt.Available = None,
    max_epochs: opt.MaxEpochs = None,
    params: opt.Params = None,
    law: opt.LawOfFit = None,
    out: Annotated[Path | None, typer.Option(help="File to write the solution to, as JSON.")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """Find the best weights at a budget.

    Examples:
        mixlaw solve fit.json --budget 20M
        mixlaw solve fit.json --budget 20M --max math=0.4 --available code=3M --max-epochs 4
        mixlaw solve fit.json --budget 20M --target-weight medical=1 --no-worse chat=1
        mixlaw solve runs.csv --budget 20M
    """
    from mixlaw.api.numbers import load_fit, waiting
    from mixlaw.api.numbers import solve as solve_fit
    from mixlaw.core.documents import write_document

    solution = solve_fit(
        load_fit(fit_file, params, law),
        budget,
        objective=objective,
        ceilings=opt.pairs(floor, "--floor", opt.number("--floor")),
        no_worse=opt.pairs(no_worse, "--no-worse", opt.percent("--no-worse")),
        reference=_mixture(reference, "--reference", "base"),
        groups=group or [],
        prior=_mixture(prior, "--prior"),
        prior_strength=prior_strength,
        target_weights=opt.pairs(target_weight, "--target-weight", opt.number("--target-weight")) or None,
        min=opt.pairs(minimum, "--min", opt.number("--min")),
        max=opt.pairs(maximum, "--max", opt.number("--max")),
        available=opt.pairs(available, "--available", opt.tokens("--available")),
        max_epochs=max_epochs,
    )
    if out is not None:
        with waiting(out):
            write_document(out, "solution", solution.to_json())
    if as_json:
        print_json(solution.to_json())
        return
    show_solution(solution)
    finish({"solution": out} if out else {}, _after_solve(solution))


def _after_solve(solution: Any) -> str:
    """Return the command that writes training files with these weights."""
    shares = {name: round(weight, 4) for name, weight in solution.weights.items()}
    largest = max(shares, key=lambda name: shares[name])
    shares[largest] += 1 - sum(shares.values())  # they must sum to 1
    text = ",".join(f"{name}={share:.4g}" for name, share in shares.items())
    return f"mixlaw mix mix.yaml --budget {format_tokens(solution.budget_tokens)} --weights {text}"


def _mixture(texts: list[str] | None, option: str, *more: str) -> str | dict[str, float] | None:
    """Return a mixture given by name, of which an option may know more, or by domain=share."""
    if not texts:
        return None
    if texts in [[name] for name in ("natural", "equal", *more)]:
        return texts[0]
    return opt.pairs(texts, option, opt.number(option))


def show_solution(solution: Any) -> None:
    """Print a solution's weights, predicted losses and promises."""
    rows = []
    for name, weight in solution.weights.items():
        epochs = solution.epochs.get(name, float("nan"))
        row: list[Any] = [name, f"{100 * weight:.1f} %", format_tokens(solution.tokens[name]), epochs]
        value, interval = solution.marginal[name], solution.marginal_interval.get(name)
        if interval is not None:
            row += [value, f"{interval['low']:.2g} to {interval['high']:.2g}", f"{interval['percent']:.3g}"]
        rows.append(row if interval is not None else [*row, value, "", ""])
    table(
        f"Best mixture at {format_tokens(solution.budget_tokens)} tokens",
        ["domain", "weight", "tokens", "epochs", "nats per further million", "90 % interval", "% of the objective"],
        rows,
    )
    names = ["best", *solution.baselines]
    parts = [solution.predicted, *(baseline["predicted"] for baseline in solution.baselines.values())]
    losses = [[target, *(part[target]["mean"] for part in parts)] for target in solution.predicted]
    totals = [solution.total_loss, *(baseline["total_loss"] for baseline in solution.baselines.values())]
    if solution.objective == "max":
        counted = [target for target, weight in solution.target_weights.items() if weight > 0]
        totals = [max(part[target]["mean"] for target in counted) for part in parts]
    rows, columns = [*losses, ["objective", *totals]], ["target", *names]
    if solution.base:
        columns, rows = [*columns, *BASE_COLUMNS], [[*row, *solution.against_base(row[0])] for row in rows]
    table("Predicted loss, nats per supervised token", columns, rows)
    _show_trust(solution)
    warn(solution.warnings)


def _show_trust(solution: Any) -> None:
    rows = [["expected regret, nats", _regret(solution.expected_regret)]]
    for name, baseline in solution.baselines.items():
        if "regret" in baseline:
            better = f"{100 * baseline['probability_better']:.0f} %"
            rows.append([f"expected regret of {name}", _regret(baseline["regret"])])
            rows.append([f"probability of being better than {name}", better])
    table(
        "Trust",
        ["what", "value"],
        [
            *rows,
            ["largest KKT residual", f"{solution.certificate.kkt_residual:.1e}"],
            ["duality gap, nats", f"{solution.certificate.gap:.1e}"],
            ["proof", solution.certificate.kind],
            ["budget / largest run", f"{solution.extrapolation_factor:.1f}"],
        ],
    )


def _regret(regret: Any) -> str:
    return f"{regret['mean']:.4f} (95th percentile {regret['p95']:.4f})"


def predict(
    fit_file: opt.FitFile,
    tokens: Annotated[
        list[str],
        typer.Option(
            help="domain=tokens of one mixture: chat=2M,math=1M,code=1M.",
            show_default=False,
            autocompletion=completion.domains_of_fit,
        ),
    ],
    params: opt.Params = None,
    law: opt.LawOfFit = None,
    as_json: opt.AsJson = False,
) -> None:
    """Predict the losses of a mixture.

    Examples:
        mixlaw predict fit.json --tokens chat=2M,math=1M,code=1M
    """
    from mixlaw.api.numbers import load_fit

    fitted = load_fit(fit_file, params, law)
    mixture = opt.pairs(tokens, "--tokens", opt.tokens("--tokens"))
    found = fitted.predict(mixture)
    predicted = found.of_mixture()
    if as_json:
        print_json({"predicted": predicted, "warnings": list(found.warnings)})
        return
    rows = [[name, p["mean"], p["low"], p["high"]] for name, p in predicted.items()]
    table("Predicted loss, nats per supervised token (90 % interval of a run)", ["target", "mean", "low", "high"], rows)
    if left_out := [name for name in fitted.domains if name not in mixture]:
        warn([f"--tokens does not name {', '.join(left_out)}: predicted for 0 tokens of it."])
    warn(found.warnings)
    finish({}, f"mixlaw solve {fit_file} --budget {format_tokens(sum(mixture.values()))}")
