"""The methods of the controlled experiment: what each recommends at a budget, and what its runs cost.

Costs are shares of the final run's training, evaluations included. A method is a function of the experiment, a budget
and a seed; its proxy runs are trained natively with that seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from experiments.controlled.setting import Experiment
from experiments.swarm.known import take_known

import mixlaw
from mixlaw.api.merged import trained
from mixlaw.api.project import Project
from mixlaw.config.plan import MERGE_SCALE
from mixlaw.core.errors import DesignError
from mixlaw.core.mixture import Mixture
from mixlaw.core.run import EXPERT, Merge, RunSpec
from mixlaw.core.runtable import RunTable
from mixlaw.core.tokens import parse_tokens
from mixlaw.design.affordable import LEAST_RUN_TOKENS, fewest_runs
from mixlaw.evaluate.baselines import baselines
from mixlaw.study.executor_local import run_pending
from mixlaw.study.store import Study

MANY, BEST = 20_000, 100
SMALLEST = 512
"""Tokens a domain: a row."""
SMALLEST_RUN = 2_048
"""Tokens of a typical run: a step."""
PART = 0.20
"""What the methods that choose no cost themselves and evaluate on all held-out rows may cost."""
EVALUATED = 1 / 3
"""Of a limit, what the evaluations of a sized plan may take: it decides on how many held-out rows. No data."""
FEWEST_ROWS = 6
"""Held-out rows a domain, at least. No data."""
POINTS, MERGES = [0.25, 0.5], 12


Sized = tuple[Project, dict[str, Any], dict[str, Any]]
Method = Callable[[Experiment, str, int], dict[str, Any]]


def by_mixlaw(percent: int) -> Method:
    """Return mixlaw's default within a limit.

    An evaluation reads as many held-out tokens as a run trains, what `mixlaw init` writes where these are 32 rows.
    """

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        plan, name = {"max_cost": f"{percent}%", "seed": seed}, f"auto-{percent}-{budget}-{seed}"
        most, runs = experiment.mix["validation"]["rows"], fewest_runs(len(experiment.mix["domains"]))
        row = experiment.project(f"{name}-settings", budget, plan=plan).spending.evaluation_tokens / most
        run = max(0.75 * percent / 100 * parse_tokens(budget) / runs, LEAST_RUN_TOKENS)
        train = {"eval_rows": int(np.clip(run / (3 * row), FEWEST_ROWS, most))}
        return answered(experiment, budget, experiment.project(name, budget, plan=plan, train=train))

    return method


def by_design(design: str) -> Method:
    """Return a design of usual size, whatever it costs."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        project = experiment.project(f"{design}-{budget}-{seed}", budget, plan={"design": design, "seed": seed})
        return answered(experiment, budget, project)

    return method


def by_publication(part: float | None, procedure: str = "published") -> Method:
    """Return the published design and law.

    Args:
        part: what its runs may cost, of the final run; None for the published part of the budget a domain.
        procedure: how its law is fitted to them: the paper's two steps, or another of mixlaw's. The runs are the same.
    """

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        name = f"published-{'full' if part is None else round(100 * part)}-{budget}-{seed}"
        base = parse_tokens(budget) / experiment.published_part
        plan = {"design": "perturbation", "seed": seed, "max_cost": "1000%", "base_model": False}
        if part is not None:
            project = experiment.project(name, budget, plan=plan | {"base_tokens": round(base)})
            spending = project.spending
            amounts = sum(sum(spec.tokens.values()) for spec in project.planned[0])
            left = part * spending.final_tokens - len(project.planned[0]) * spending.evaluation_tokens
            base *= left / amounts
            if base < SMALLEST:
                raise DesignError(f"Runs of {base:.0f} tokens a domain are too small.", "Allow more.")
        plan, fit = plan | {"base_tokens": round(base)}, {"law": "transfer", "procedure": procedure}
        return answered(experiment, budget, experiment.project(name, budget, plan=plan, fit=fit))

    return method


def by_size(percent: int, *, points: bool = False, merges: bool = False, together: bool = False) -> Method:
    """Return one batch of K + 4 runs, at least nine, as large as a limit allows, with points, merges or both.

    Its evaluations take `EVALUATED` of the limit: they read as many held-out rows as that buys.

    Args:
        percent: the limit, % of the final run.
        points: whether runs are evaluated on their way.
        merges: whether `MERGES` merged models are evaluated beside those of the runs' shares.
        together: points, merges where there is enough for their evaluations, and further batches by what the fit
            leaves open, where the limit allows the smallest plan that mixlaw holds for useful; else one batch.
    """

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        kind = "together" if together else "+".join(("sized", *["points"] * points, *["merged"] * merges))
        name = f"{kind}-{percent}-{budget}-{seed}"
        plan: dict[str, Any] = {"seed": seed, "max_cost": "10000%", "design": "space_filling"}
        plan |= {"points": POINTS} if points or together else {}
        plan |= {"merges": MERGES} if merges or together else {}
        try:
            project, plan, train = sized(experiment, (name, budget), plan, percent / 100)
        except DesignError:
            if not together:
                raise
            plan.pop("merges")
            project, plan, train = sized(experiment, (name, budget), plan, percent / 100)
        if together:
            wish = {key: plan[key] for key in ("seed", "points", "merges") if key in plan}
            further = experiment.project(name, budget, plan=wish | {"max_cost": f"{percent}%"}, train=train)
            try:
                further.planned  # noqa: B018
                project = further
            except DesignError:
                project = experiment.project(name, budget, plan=plan, train=train)
        found = answered(experiment, budget, project)
        return found | {
            "evaluated_rows": train["eval_rows"],
            "plan": project.config.plan.model_dump(exclude_unset=True),
        }

    return method


def sized(experiment: Experiment, named: tuple[str, str], plan: dict[str, Any], part: float) -> Sized:
    """Return a project, its plan and its training, with runs and evaluations as large as a part of the final run buys.

    Raises:
        DesignError: a typical run would have less than a step, or evaluations would take more than half.
    """
    K, most_rows = len(experiment.mix["domains"]), experiment.mix["validation"]["rows"]
    limit, runs, rows = part * parse_tokens(named[1]), max(9, K + 4), most_rows
    base = (1 - EVALUATED) * limit / runs / K
    for _ in range(3):  # points are left out of runs that are too small for them, so their number follows the size
        plan = plan | {"runs": runs, "base_tokens": max(1, round(base))}
        project = experiment.project(*named, plan=plan, train={"eval_rows": rows})
        specs, row = project.planned[0], project.spending.evaluation_tokens / rows
        count = sum(spec.evaluations for spec in specs)
        rows = int(np.clip(EVALUATED * limit / count / row, FEWEST_ROWS, most_rows))
        left = 0.98 * limit - count * rows * row
        base *= left / sum(spec.trained_tokens for spec in specs)
        if K * base < SMALLEST_RUN or left < limit / 2:
            raise DesignError(f"{left:.0f} tokens for runs: less than a step of each, or half of all.", "Allow more.")
    plan, train = plan | {"base_tokens": round(base)}, {"eval_rows": rows}
    project = experiment.project(*named, plan=plan, train=train)
    over = project.prices.runs(project.planned[0]).share / part
    if over > 1:  # few rows are not as long as all
        plan |= {"base_tokens": round(base * (1 - 2 * (over - 1)))}
        project = experiment.project(*named, plan=plan, train=train)
    return project, plan, train


def by_search(law: str, part: float = PART, *, few_rows: bool = False) -> Method:
    """Return RegMix, or another law of its runs: 4 K + 1 runs, or fewer, half of the cost at most for evaluations.

    With `few_rows` evaluations read as many held-out rows as `EVALUATED` of the cost buys, and all runs are kept.
    """

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        project, name = experiment.project("grid", budget), f"dirichlet-{budget}-{seed}"
        K, most = len(project.config.domains), part * project.spending.final_tokens
        if few_rows:
            rows, name = experiment.mix["validation"]["rows"], f"dirichlet-{round(100 * part)}-{budget}-{seed}"
            bought = EVALUATED * most / (4 * K + 1) / project.spending.evaluation_tokens * rows
            train = {"eval_rows": int(np.clip(bought, FEWEST_ROWS, rows))}
            project = experiment.project(f"{name}-settings", budget, train=train)
        spending, domains = project.spending, list(project.config.domains)
        rows = max(3, int(min(4 * K + 1, most / 2 / spending.evaluation_tokens)))
        each = max(most / rows - spending.evaluation_tokens, 1024)
        natural = np.array([project.available_tokens[name] for name in domains], dtype=float)
        rng = np.random.default_rng([seed, 20])
        shares_RK = rng.dirichlet(K * natural / natural.sum(), rows)
        mixtures = [dict(zip(domains, map(float, row), strict=True)) for row in shares_RK]
        study = Study(experiment.folder / name)
        specs = [
            RunSpec(f"dirichlet-{i}", Mixture(weights, round(each)).tokens, seed, project.trainer_config.inputs)
            for i, weights in enumerate(mixtures)
        ]
        study.save_plan(specs)
        take_over(experiment, study, specs)
        run_pending(study, project.trainer_config, workers=experiment.workers)
        fit = mixlaw.fit(RunTable.from_records(study.records(specs), domains, domains), law=law)
        asked_CK = rng.dirichlet(np.ones(K), MANY)
        predicted_C = fit.predict(each * asked_CK).mean.sum(axis=1)
        best_K = asked_CK[np.argsort(predicted_C, kind="stable")[:BEST]].mean(axis=0)
        weights = dict(zip(domains, map(float, best_K), strict=True))
        done = [record.tokens for record in study.records(specs)]
        return {"weights": weights, "cost": spending.cost(done) / parse_tokens(budget), "runs": len(done)}

    return method


def by_merges(percent: int) -> Method:
    """Return the grid mixture whose merged model has the lowest mean loss: one expert a domain, no run of a mixture.

    As DeMix (arXiv 2602.00747) and MergeMix (arXiv 2601.17858) rank mixtures; the weights of the experts' differences
    are stretched by mixlaw's usual scale. Evaluations take `EVALUATED` of the limit.
    """

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        name, plan = f"merge-{percent}-{budget}-{seed}", {"seed": seed}
        limit, most_rows = percent / 100 * parse_tokens(budget), experiment.mix["validation"]["rows"]
        project = experiment.project(f"{name}-settings", budget, plan=plan)
        row, domains = project.spending.evaluation_tokens / most_rows, list(project.config.domains)
        mixtures = experiment.grid(domains)
        count = len(domains) + len(mixtures)
        rows = int(np.clip(EVALUATED * limit / count / row, FEWEST_ROWS, most_rows))
        each = round((limit - count * rows * row) / len(domains))
        if each < SMALLEST_RUN:
            raise DesignError(f"Experts of {each} tokens have less than a step.", "Allow more.")
        project = experiment.project(name, budget, plan=plan, train={"eval_rows": rows})
        inputs = project.trainer_config.inputs
        experts = [RunSpec(f"expert-{domain}", {domain: each}, seed, inputs, EXPERT) for domain in domains]
        ids = {domain: expert.id for domain, expert in zip(domains, experts, strict=True)}
        merges = [
            RunSpec(
                f"merge-{mixture}", Mixture(shares, each).tokens, seed, inputs, merge=Merge(ids, shares, MERGE_SCALE)
            )
            for mixture, shares in mixtures.items()
        ]
        study = Study(experiment.folder / name)
        study.save_plan([*experts, *merges])
        run_pending(study, project.trainer_config, workers=experiment.workers)
        totals = [sum(loss.loss_nats for loss in record.losses.values()) for record in study.records(merges)]
        weights = list(mixtures.values())[int(np.argmin(totals))]
        cost = (len(domains) * each + count * rows * row) / parse_tokens(budget)
        return {"weights": weights, "cost": cost, "runs": len(domains), "evaluations": count, "evaluated_rows": rows}

    return method


def by_rule(name: str) -> Method:
    """Return a mixture that needs no runs."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        project = experiment.project("grid", budget)
        rows = {domain: len(tokens.train) for domain, tokens in project.prepared.items()}
        weights = baselines(project.available_tokens, rows, parse_tokens(budget), None)[name]
        return {"weights": weights, "cost": 0.0, "runs": 0}

    return method


def by_domain(name: str) -> Method:
    """Return one domain alone; with no name none, which is the base model."""

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        weights = {other: float(other == name) for other in experiment.mix["domains"]} if name else {}
        return {"weights": weights, "cost": 0.0, "runs": 0}

    return method


def by_other(name: str) -> Method:
    """Return a mixture that the methods.json of another experiment holds: `given: {NAME: [FILE, KEY]}` of the YAML.

    Nothing is trained for it, so it costs nothing here.
    """

    def method(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        file, key = experiment.said["given"][name]
        found = json.loads((experiment.results / file).read_text(encoding="utf-8"))[key]
        return {"weights": found["weights"], "cost": 0.0, "runs": 0, "found_by": key}

    return method


def with_goal(method: Method, goal: str) -> Method:
    """Return a method with another goal of the YAML's `goals`, a part `solve` of mix.yaml; its proxy runs stay."""

    def found(experiment: Experiment, budget: str, seed: int) -> dict[str, Any]:
        solve = experiment.said["goals"][goal]
        return method(replace(experiment, mix={**experiment.mix, "solve": solve}), budget, seed)

    return found


def keep_proxies(experiment: Experiment, study: str, runs: RunTable) -> None:
    """Add a study's runs to proxies.csv; a run is named RUN@STUDY."""
    path = experiment.results / "proxies.csv"
    rows = {row["run"]: row for row in RunTable.from_csv(path).to_rows()} if path.exists() else {}
    rows = {run: row | {"study": run.rpartition("@")[2]} for run, row in rows.items()}  # of one study none is told
    for row in runs.take(~(runs.point_R | runs.merged_R)).to_rows():
        plain = {key: value for key, value in row.items() if key not in ("checkpoint_of", "fidelity")}
        name = f"{row['run']}@{study}"
        rows[name] = {**plain, "run": name, "study": study}
    columns = list(next(iter(rows.values())))
    mixlaw.load_runs({name: [row[name] for row in rows.values()] for name in columns}).to_csv(path)


def take_over(experiment: Experiment, study: Study, specs: Sequence[RunSpec]) -> None:
    """Take the records of small runs that are known, unless all are to be trained."""
    if not experiment.said.get("fresh"):
        take_known(study, specs)


def answered(experiment: Experiment, budget: str, project: Project) -> dict[str, Any]:
    """Train and solve a project; return its mixture, what its runs cost, and what its law says of the grid.

    `predicted` is of the grid at this budget; `inside` of those grid mixtures of every budget whose domains' tokens all
    lie between the least and the most of the project's runs.
    """
    take_over(experiment, project.study, project.planned[0])
    result = mixlaw.run(project, workers=experiment.workers)
    specs = project.planned[0]
    out = {
        "weights": dict(result.solution.weights),
        "cost": project.prices.runs(specs).share,
        "runs": len(trained(specs)),
        "evaluations": sum(spec.evaluations for spec in specs),
        "warnings": list(dict.fromkeys([*result.fit.warnings, *result.solution.warnings])),
    }
    runs = project.run_table()
    if experiment.said.get("proxies"):
        keep_proxies(experiment, project.study.name, runs)
    names = [domain for domain in project.config.domains]
    place = [runs.domains.index(name) for name in names]
    done_RK = runs.take(~(runs.point_R | runs.merged_R) & (runs.totals_R > 0)).tokens_RK[:, place]
    low_K, high_K = done_RK.min(axis=0), done_RK.max(axis=0)

    def told(wanted: str) -> Iterator[tuple[str, np.ndarray, dict[str, list[float]]]]:
        mixtures = experiment.grid(names)
        asked = np.array([list(shares.values()) for shares in mixtures.values()]) * parse_tokens(wanted)
        said = result.fit.predict(asked, interval="run")
        for name, row_K, mean, low, high in zip(mixtures, asked, said.mean, said.low, said.high, strict=True):
            yield name, row_K, {"mean": mean.tolist(), "low": low.tolist(), "high": high.tolist()}

    natural_K = np.array([project.available_tokens[name] for name in names], float)
    shares = {
        "solution": [result.solution.weights[name] for name in names],
        "equal": [1 / len(names)] * len(names),
        "natural": natural_K / natural_K.sum(),
    }
    said = result.fit.predict(np.array(list(shares.values())) * parse_tokens(budget), interval="run")
    out["predicted_of"] = {
        name: {"mean": said.mean[i].tolist(), "low": said.low[i].tolist(), "high": said.high[i].tolist()}
        for i, name in enumerate(shares)
    }
    if experiment.drawn == 0:
        return out
    out["predicted"] = {name: said for name, _, said in told(budget)}
    out["inside"] = {
        wanted: found
        for wanted in experiment.budgets
        if (found := {n: said for n, row_K, said in told(wanted) if ((low_K <= row_K) & (row_K <= high_K)).all()})
    }
    return out


def method_of(name: str) -> Method:
    """Return a method of `METHODS` or `RULES`, or one of a kind in `LIMITED` within a limit: `together-25`.

    `all-math` is one domain alone, `given-NAME` what another experiment found, `full+guarded` a method with a goal of
    that name.
    """
    method, _, goal = name.partition("+")
    kind, _, percent = method.rpartition("-")
    if goal:
        return with_goal(method_of(method), goal)
    if kind == "all":
        return by_domain(percent)
    if kind == "given":
        return by_other(percent)
    known = RULES | METHODS
    return known[name] if name in known else LIMITED[kind](int(percent))


def has_law(name: str) -> bool:
    """Return whether a method finds its mixture by a law of proxy runs."""
    return not (name in RULES or name.startswith(("all-", "merge-")))


LIMITED: dict[str, Callable[[int], Method]] = {
    "auto": by_mixlaw,
    "sized": by_size,
    "points": lambda percent: by_size(percent, points=True),
    "merged": lambda percent: by_size(percent, merges=True),
    "together": lambda percent: by_size(percent, together=True),
    "merge": by_merges,
    "regmix": lambda percent: by_search("gbdt", percent / 100, few_rows=True),
}

METHODS: dict[str, Method] = {
    **{
        f"{kind}-{percent}": LIMITED[kind](percent)
        for kind, percent in (
            ("auto", 10),
            ("auto", 20),
            ("together", 15),
            ("together", 8),
            ("sized", 15),
            ("sized", 8),
            ("points", 15),
            ("merged", 15),
        )
    },
    "full": by_design("space_filling"),
    "sequential": by_design("sequential"),
    "published-20": by_publication(PART),
    "published": by_publication(None),
    "published_alone": by_publication(None, "own_curve"),
    "published_joint": by_publication(None, "joint"),
    "merge-15": LIMITED["merge"](15),
    "regmix-15": LIMITED["regmix"](15),
    "regmix-20": by_search("gbdt"),
    "exponential-20": by_search("exponential"),
    **{name: by_rule(name) for name in ("equal", "natural", "unimax", "temperature_0.5")},
}

RULES: dict[str, Method] = {
    **{name: by_rule(name) for name in ("equal", "natural", "unimax", "temperature_0.5", "equal_rows")},
    "base": by_domain(""),
}
"""Mixtures that need no runs; `base` is no mixture, but the model as it was."""
