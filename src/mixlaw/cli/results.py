"""Verbs that use a solution and prove it: compare, final, eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixlaw.cli import completion
from mixlaw.cli import options as opt
from mixlaw.cli.answers import Fact, fitting, named, packed, show_answer, who
from mixlaw.cli.output import here, note, print_json, table, warn
from mixlaw.cli.progress import SweepLine
from mixlaw.core.notebook import shown
from mixlaw.core.percents import probability
from mixlaw.core.plurals import plural
from mixlaw.core.target_units import differences_in, losses_in
from mixlaw.core.tokens import format_tokens
from mixlaw.evaluate.confirmation import SOLUTION

USUAL = ("equal", "equal_rows", "natural", "unimax", "temperature_0.5")


def compare(
    config: opt.ConfigFile,
    budget: opt.Budget = None,
    seeds: Annotated[int, typer.Option(help="How many runs of each mixture, each with its own seed.", min=1)] = 3,
    weights: Annotated[
        list[str] | None, typer.Option(help="domain=share,...: a mixture of your own; may be repeated.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Only these of the usual mixtures, with commas: natural,equal; by default all.",
            autocompletion=completion.several_of(*USUAL),
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid", help="Also train a grid: all mixtures with shares in steps of an eighth, 21 for 3 domains."
        ),
    ] = False,
    keep_models: opt.KeepModels = False,
    workers: opt.Workers = None,
    retry_failed: opt.RetryFailed = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Train the solution and the usual mixtures at the budget, and show the differences.

    These runs are not used in any fit. The other mixtures are equal tokens, equal rows, natural,
    UniMax, temperature 0.5, and those of --weights. Differences are between runs of the same seed;
    intervals are 90 % intervals; with one seed they come from the scatter of the proxy runs. Finished
    runs are not repeated.

    Examples:
        mixlaw compare mix.yaml --seeds 3 --weights code=0.5,math=0.3,chat=0.2
        mixlaw compare mix.yaml --seeds 1 --against natural,equal
    """
    from mixlaw.api.compare import compare as train_and_compare
    from mixlaw.api.project import Project

    own = {
        f"own{f'-{i}' if i > 1 else ''}": opt.pairs([text], "--weights", opt.share("--weights"))
        for i, text in enumerate(weights or [], 1)
    }
    project = Project.open(config, None if as_json else note)
    with SweepLine(as_json) as line:
        result = train_and_compare(
            project,
            budget=budget,
            seeds=seeds,
            weights=own,
            against=None if against is None else [name.strip() for name in against.split(",") if name.strip()],
            with_grid=grid,
            keep_models=keep_models,
            workers=workers,
            retry_failed=retry_failed,
            on_event=line,
        )
    if as_json:
        print_json({**result, "warnings": project.warnings})
    else:
        show_answer(
            _comparison_facts(result),
            f"mixlaw final {here(config)}",
            verbose=verbose,
            details=lambda: _show_comparison(result),
        )
        warn(f"{limit['target']}: {_limit(limit)}." for limit in result["limits"] if limit["kept"] is False)


def _limit(limit: dict[str, Any]) -> str:
    """Return how a measured loss stands to its limit."""
    measured, percent, reference = limit["measured_percent"], limit["limit_percent"], limit["reference"]
    chance = limit["probability_kept"]
    if measured is None:
        return "its limit is not judged, since what it compares with was not trained"
    foretold = "" if chance is None else f" (by the law {probability(chance)} likely to be kept)"
    if reference is None:
        return f"the measured loss is {measured:+.1f} % from its limit in {differences_in([limit['target']])}{foretold}"
    there = "before training" if reference == "base" else f"with {named(reference)} weights"
    return f"the measured loss is {measured:+.1f} % from that {there}, where at most {percent:+g} % was asked{foretold}"


def _comparison_facts(result: dict[str, Any]) -> list[Fact]:
    mixtures, budget = result["mixtures"], format_tokens(result["budget_tokens"])
    ranked = sorted(mixtures, key=lambda name: mixtures[name]["total"]["mean"])
    others = {result["same_as"].get(name, name): name for name in ("equal", "natural")}  # natural, where they are one
    against = next((name for name in reversed(others) if name in mixtures and name != SOLUTION), None)
    seeds = plural(max(entry["seeds"] for entry in mixtures.values()), "seed")
    place = ranked.index(SOLUTION) + 1
    best = "the solution" if place == 1 else f"{named(ranked[0])}; the solution is no. {place}"
    facts = [("measured", f"best: {best} of {plural(len(mixtures), 'mixture')} ({budget} tokens, {seeds})")]
    if against is not None:
        changes = mixtures[against]["minus_solution_by_target"]
        unsure = {t for t, change in changes.items() if not _is_sure(change)}
        facts += who({t: -change["mean"] for t, change in changes.items()}, unsure, others[against])
    gaps = [
        f"{named(name)} {_signed(mixtures[name]['minus_solution'])}"
        for name in sorted((n for n in ranked if n != SOLUTION), key=lambda n: n not in others)
    ]
    return [*facts, ("sure", fitting(gaps, f"{differences_in(result['targets'])} above it: "))]


def _is_sure(change: dict[str, Any]) -> bool:
    return change["low"] is not None and change["low"] * change["high"] > 0


def _show_comparison(result: dict[str, Any]) -> None:
    from mixlaw.report.numbers import decimals

    targets, mixtures = result["targets"], result["mixtures"]
    ranked = sorted(mixtures, key=lambda name: mixtures[name]["total"]["mean"])
    rows = []
    for name in ranked:
        entry = mixtures[name]
        losses = [f"{entry['losses'][t]['mean']:.3f}" for t in targets]
        worse = _signed(entry["minus_solution"]) if "minus_solution" in entry else "–"
        perplexity = decimals(entry["mean_perplexity"]["mean"])
        rows.append([name, *losses, _interval(entry["total"]), worse, perplexity, f"{entry['predicted_total']:.3f}"])
    seeds = plural(max(entry["seeds"] for entry in mixtures.values()), "seed")
    table(
        f"Validation loss at {format_tokens(result['budget_tokens'])} tokens, {losses_in(targets)}, {seeds}",
        ["mixture", *targets, "total (90 %)", "minus solution (90 %)", "mean perplexity", "predicted"],
        rows,
    )
    for name, other in result["same_as"].items():
        note(f"{name} is not trained on its own: it has the same tokens as {other}")
    for limit in result["limits"]:
        if limit["kept"] is not False:
            note(f"{limit['target']}: {_limit(limit)}")
    gap = result["gap_to_best"]
    own = ", ".join(f"{t} {decimals(value)} %" for t, value in gap["own_best_perplexity_percent"].items())
    lowest = decimals(gap["mean_perplexity_percent"])
    rest = f", {lowest} % above the lowest mean perplexity; above each domain's own best perplexity: {own}"
    note(
        f"best here: {result['best']}; the solution is {gap['total_nats']['mean']:.4f} {differences_in(targets)} "
        f"({gap['total_percent']:.2f} %) above it{rest if own else ''}"
    )


def _interval(value: dict[str, Any], sign: str = "") -> str:
    mean = f"{value['mean']:{sign}.3f}"
    return mean if value["low"] is None else f"{mean} ± {value['high'] - value['mean']:.3f}"


def _signed(value: dict[str, Any]) -> str:
    return _interval(value, "+")


def final(
    config: opt.ConfigFile,
    budget: opt.Budget = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="domain=share,...: these weights instead of the solution's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; default models/<id> in the study.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling and training; default plan.seed.")] = None,
    retry_failed: opt.RetryFailed = False,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Train the final model on the solution with the study's trainer, and save it for transformers, with a card.

    Examples:
        mixlaw final mix.yaml --budget 20M --out my-model
    """
    from mixlaw.api.final import final as train_model
    from mixlaw.api.project import Project

    given = opt.pairs(weights, "--weights", opt.share("--weights")) or None
    project = Project.open(config, None if as_json else note)
    with SweepLine(as_json) as line:
        result = train_model(
            project,
            budget=budget,
            weights=given,
            out=out,
            seed=seed,
            retry_failed=retry_failed,
            on_event=line,
        )
    if as_json:
        print_json({"folder": str(result.folder), "new": result.new, **result.facts, "warnings": project.warnings})
        return
    measured, predicted = result.facts["losses"], result.facts["predicted"]
    unit, means = losses_in(measured), {target: float(band["mean"]) for target, band in predicted.items()}
    rows = [[target, loss["loss_nats"], means.get(target, float("nan"))] for target, loss in measured.items()]
    losses = [f"{named(target)} {loss:.3f} ({shown(mean)})" for target, loss, mean in rows]
    if not result.new:
        note("the model already exists; nothing was trained")
    show_answer(
        [("losses", f"measured, in {unit} (predicted)"), *packed("", losses, 2)],
        f"mixlaw eval {here(config)}",
        written={"model": result.folder},
        verbose=verbose,
        details=lambda: table(f"Validation loss, {unit}", ["target", "measured", "predicted"], rows),
    )


Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="Name of a kept model, or its folder; may be repeated; by default all that were kept."
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(help="Names of bundled tasks or paths of task YAML files, with commas; by default all but gsm8k."),
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="task=file: evaluate on the rows of your own JSONL file, with the same fields as the bundled one.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Evaluate on at most this many rows of each task.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Batch size of the evaluation.", min=1)]
RunCode = Annotated[
    bool,
    typer.Option("--run-code", help="Allow humaneval and mbpp: they run code that the model wrote, in a sandbox."),
]
Backend = Annotated[
    str,
    typer.Option(
        help="hf, accelerate (copies of each model share out the rows) or vllm.",
        autocompletion=lambda: ["hf", "accelerate", "vllm"],
    ),
]
Processes = Annotated[int | None, typer.Option(help="For accelerate: copies of each model; default one a GPU.", min=1)]


def evaluate(
    config: opt.ConfigFile,
    model: Models = None,
    tasks: Tasks = None,
    data: Rows = None,
    limit: Limit = None,
    batch_size: BatchSize = 16,
    run_code: RunCode = False,
    backend: Backend = "hf",
    processes: Processes = None,
    workers: opt.Workers = None,
    verbose: opt.Verbose = False,
    as_json: opt.AsJson = False,
) -> None:
    """Evaluate kept models on downstream tasks with lm-evaluation-harness, offline, several at once.

    They run where runs are trained: on this machine, or as Slurm jobs (`executor:` in mix.yaml).

    Models are kept by `mixlaw final`, and by train and compare with --keep-models. The numbers become the columns
    metric:<task> of the run table (`mixlaw fit STUDY --metric openbookqa=higher`). Finished evaluations are not
    repeated.

    Examples:
        mixlaw eval mix.yaml --tasks openbookqa,sql --limit 100
    """
    from mixlaw.api.evaluate import evaluate as evaluate_models
    from mixlaw.evaluate.downstream import DEFAULT_TASKS

    result = evaluate_models(
        config,
        models=model or (),
        tasks=[name.strip() for name in tasks.split(",")] if tasks else DEFAULT_TASKS,
        data=opt.pairs(data, "--data", str),
        limit=limit,
        batch_size=batch_size,
        run_code=run_code,
        backend=backend,
        processes=processes,
        workers=workers,
        note=None if as_json else note,
    )
    if as_json:
        print_json(result)
        return
    models, known = result["models"], _ranked(result)
    names = list(next(iter(models.values())))
    highest = [f"{named(name)} {_with_error(models[best][name])} ({named(best)})" for name, best in _highest(models)]
    follow = [f"{named(name)} {of['spearman_total']:+.2f} ({_ends(of)})" for name, of in known.items()]
    show_answer(
        [
            ("scores", f"{plural(len(models), 'model')}, {plural(len(names), 'task')}; the highest, ± standard error:"),
            *packed("", highest, 2),
            *([("loss", fitting(follow, "rank correlation with "))] if follow else []),
        ],
        f"mixlaw report {here(config)}",
        verbose=verbose,
        details=lambda: _evaluation_tables(models, names, known),
    )


def _ranked(result: dict[str, Any]) -> dict[str, Any]:
    """Return task -> how the models' order agrees with that of their losses, where there are enough of them."""
    return {name: t for name, t in result["agreement"]["tasks"].items() if t["spearman_total"] is not None}


def _highest(models: dict[str, Any]) -> list[tuple[str, str]]:
    """Return each task with the model of its highest score."""
    tasks = next(iter(models.values()))
    return [(task, max(models, key=lambda model: models[model][task]["value"])) for task in tasks]


def _ends(task: dict[str, Any]) -> str:
    return f"{task['spearman_total_low']:+.2f} to {task['spearman_total_high']:+.2f}"


def _evaluation_tables(models: dict[str, Any], names: list[str], known: dict[str, Any]) -> None:
    rows = [[m, *(_with_error(values[name]) for name in names)] for m, values in models.items()]
    table("Downstream, with standard errors", ["model", *names], rows)
    if known:
        table(
            "Which metrics the validation loss predicts (rank correlation; 1: the lower the loss, the better)",
            ["task", "models", "total loss", "90 % interval", "best target"],
            [
                [name, task["models"], f"{task['spearman_total']:+.2f}", _ends(task), task["best_target"] or "–"]
                for name, task in known.items()
            ],
        )


def _with_error(found: dict[str, Any]) -> str:
    error = found.get("stderr")
    return f"{found['value']:.3f}" + ("" if error is None else f" ± {error:.3f}")
