"""Verbs on numbers: fit, laws, solve, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
from mixlaw.cli import options as opt
from mixlaw.cli.answers import config_of, mixture_facts, show_answer
from mixlaw.cli.figures import fit_details, fit_facts, laws_facts, predicted_facts, solution_details
from mixlaw.cli.output import here, note, print_json, table
from mixlaw.core.commands import written
from mixlaw.core.target_units import METRIC, differences_in, losses_in
from mixlaw.core.tokens import format_tokens


def fit(
    runs: opt.Runs,
    law: opt.Law = "auto",
    procedure: opt.Procedure = "joint",
    seed: Annotated[int, typer.Option(help="Seed of the posterior draws.")] = 0,
    repetition: opt.Repetition = "auto",
    metric: opt.Metric = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            help="Check the intervals: refit this many times to losses drawn again from the fit, and compare the "
            "spread; 40 are usual."
        ),
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="File to write the fit to; without it nothing is written.")] = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Fit a loss law to runs; several studies of one base model and the same data are fitted together.

    Between studies training settings may differ: each study but the first has a shift of its own, one number
    for each target, and losses are predicted as the first study would have them.

    Examples:
        mixlaw fit runs.csv --out fit.json
        mixlaw fit studies/mix --law pairwise
        mixlaw fit runs.csv --metric accuracy=higher
        mixlaw fit studies/lr-1e-4 studies/lr-3e-4 --out fit.json
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
    _say(result.runs)
    own = law if ":" in law else None  # a file never names a module
    usual = {
        "law": (law, "auto"),
        "procedure": (procedure, "joint"),
        "seed": (seed, 0),
        "repetition": (repetition, "auto"),
    }
    more = opt.again(**{name: value for name, (value, default) in usual.items() if value != default}, metric=metric)
    following = f"mixlaw fit {here(*runs)}{more} --out fit.json"
    show_answer(
        fit_facts(result, ratios),
        f"mixlaw solve {here(out)} --budget 20M{opt.again(law=own)}" if out else following,
        written={"fit": out} if out else {},
        warnings=result.warnings,
        verbose=verbose,
        details=lambda: fit_details(result),
    )


def _say(runs: Any) -> None:
    """Say which columns of a run table no fit reads."""
    for text in runs.notes:
        note(text)


def _decay(text: str) -> float | str:
    """Return the decay as a number, or the word that was given."""
    try:
        return float(text)
    except ValueError:
        return text


def laws(
    runs: opt.Runs,
    names: Annotated[
        str | None,
        typer.Option(
            "--laws",
            help="Only these laws, with commas: transfer,pairwise,gbdt.",
            autocompletion=completion.laws,
        ),
    ] = None,
    metric: opt.Metric = None,
    plot: Annotated[
        Path | None, typer.Option(help="Folder for SVG figures of predicted against measured losses.")
    ] = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Compare the laws by how well each predicts held-out mixtures of the same runs.

    Examples:
        mixlaw laws runs.csv
        mixlaw laws studies/mix --laws transfer,pairwise,gbdt --plot figures
        mixlaw laws runs.csv --metric accuracy=higher
    """
    from mixlaw.api.numbers import laws as compare
    from mixlaw.api.numbers import load_runs

    chosen = None if names is None else [name.strip() for name in names.split(",") if name.strip()]
    given = load_runs(runs)
    metrics = opt.pairs(metric, "--metric", str)
    rows = compare(given, chosen, plot, metrics=metrics)
    if as_json:
        print_json({"laws": [row.to_json() for row in rows]})
        return
    _say(given)
    best = next((row.name for row in rows if row.mre == row.mre and row.name != "mean"), "auto")
    unit = differences_in([*given.targets, *(METRIC + name for name in metrics)])
    also = opt.again(law=_as_given(best, chosen), metric=metric)
    show_answer(
        laws_facts(rows),
        f"mixlaw fit {here(*runs)}{also} --out fit.json",
        written={"figures": plot} if plot else {},
        verbose=verbose,
        details=lambda: table(
            "Laws on held-out mixtures, best first",
            ["law", "error %", "rank correlation", "r2", f"bias, {unit}", "seconds", "note"],
            [[r.name, 100 * r.mre, r.spearman, r.r2, r.bias, r.seconds, r.note] for r in rows],
        ),
    )


def _as_given(name: str, laws: list[str] | None) -> str:
    """Return a law as it was asked for: `module:Class` where it is the user's own."""
    from mixlaw.laws import find

    return next((law for law in laws or [] if ":" in law and find(law).name == name), name)


def solve(
    fit_file: opt.FitFile,
    budget: Annotated[str, typer.Option(help="Training tokens: 20M, 1.5B, 2e7.", show_default=False)],
    objective: opt.Objective = None,
    target_weight: opt.TargetWeight = None,
    floor: opt.Floor = None,
    no_worse: opt.NoWorse = None,
    reference: opt.Reference = None,
    certainty: opt.Certainty = None,
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
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Find the best weights at a budget.

    Of a mix.yaml, its part solve and the tokens of its domains count, where the options do not say otherwise.

    Examples:
        mixlaw solve fit.json --budget 20M
        mixlaw solve fit.json --budget 20M --max math=0.4 --available code=3M --max-epochs 4
        mixlaw solve fit.json --budget 20M --target-weight math=1 --no-worse chat=1 --certainty 90%
        mixlaw solve runs.csv --budget 20M
        mixlaw solve mix.yaml --budget 20M
    """
    from mixlaw.api.numbers import asked_in, load_fit
    from mixlaw.api.numbers import solve as solve_fit
    from mixlaw.core.files import require_other_file

    if out is not None:
        require_other_file(out, fit_file)
    fitted = load_fit(fit_file, params, law)
    given: dict[str, Any] = dict(
        objective=objective,
        floor=opt.pairs(floor, "--floor", opt.number("--floor")),
        no_worse=opt.pairs(no_worse, "--no-worse", opt.percent("--no-worse")),
        reference=_mixture(reference, "--reference", "base"),
        certainty=None if certainty is None else opt.percent("--certainty")(certainty),
        groups=group or [],
        prior=_mixture(prior, "--prior"),
        prior_strength=prior_strength,
        target_weight=opt.pairs(target_weight, "--target-weight", opt.number("--target-weight")) or None,
        min=opt.pairs(minimum, "--min", opt.share("--min")),
        max=opt.pairs(maximum, "--max", opt.share("--max")),
        available=opt.pairs(available, "--available", opt.tokens("--available")),
        max_epochs=max_epochs,
    )
    wishes = asked_in(fit_file) | {name: value for name, value in given.items() if value not in (None, {}, [])}
    solution = solve_fit(fitted, budget, **wishes)
    _keep(solution, out)
    if as_json:
        print_json(solution.to_json())
        return
    _say(fitted.runs)
    show_answer(
        mixture_facts(fitted, solution),
        _after_solve(solution, fit_file, opt.again(params=params, law=law)),
        written={"solution": out} if out else {},
        warnings=solution.warnings,
        verbose=verbose,
        details=lambda: solution_details(solution),
    )


def _keep(solution: Any, out: Path | None) -> None:
    from mixlaw.api.numbers import waiting
    from mixlaw.core.documents import write_document

    if out is not None:
        with waiting(out):
            write_document(out, "solution", solution.to_json())


def _after_solve(solution: Any, source: Path, more: str) -> str:
    """Return the command that writes training files with these weights, or where no mix.yaml is known, that predicts
    their losses; `more` are options about the fit."""
    config, budget = config_of(source), format_tokens(solution.budget_tokens)
    if not config:
        return f"mixlaw predict {here(source)} --tokens {written(solution.tokens)}{more}"
    shares = {name: round(weight, 4) for name, weight in solution.weights.items()}
    largest = max(shares, key=lambda name: shares[name])
    shares[largest] += 1 - sum(shares.values())  # they must sum to 1
    text = written({name: f"{share:.4g}" for name, share in shares.items()})
    return f"mixlaw mix {here(config)} --budget {budget} --weights {text}"


def _mixture(texts: list[str] | None, option: str, *more: str) -> str | dict[str, float] | None:
    """Return a mixture given by name, of which an option may know more, or by domain=share."""
    if not texts:
        return None
    if texts in [[name] for name in ("natural", "equal", *more)]:
        return texts[0]
    return opt.pairs(texts, option, opt.share(option))


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
    verbose: opt.Verbose = False,
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
    _say(fitted.runs)
    left_out = [name for name in fitted.domains if name not in mixture]
    said = [f"--tokens does not name {', '.join(left_out)}: predicted for 0 tokens of it."] if left_out else []
    total, more = sum(mixture.values()), opt.again(params=params, law=law)
    show_answer(
        predicted_facts(predicted),
        f"mixlaw solve {here(fit_file)} --budget {format_tokens(total)}{more}" if total else "",
        warnings=[*said, *found.warnings],
        verbose=verbose,
        details=lambda: table(
            f"Predicted loss, {losses_in(predicted)} (90 % interval of a run)",
            ["target", "mean", "low", "high"],
            [[name, p["mean"], p["low"], p["high"]] for name, p in predicted.items()],
        ),
    )
