"""Cards: the README.md of a mixture and of a trained model, with the YAML front matter that Hugging Face reads.

They hold no date and no place of this machine, so that the same mixture has the same card everywhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mixlaw.config import Config
from mixlaw.core.commands import written
from mixlaw.core.runtable import RunTable
from mixlaw.core.target_units import is_metric, losses_in
from mixlaw.report.markdown import escaped
from mixlaw.report.numbers import MISSING, nats, percent, perplexity

_NOTICES = ("license", "licence", "notice", "copying")
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def mixture_card(
    manifest: Mapping[str, Any],
    config: Config,
    law: str | None,
    predicted: Mapping[str, Mapping[str, float]],
    given: bool,
    file: str = "mix.yaml",
) -> str:
    """Return the README.md of a mixture's folder.

    Args:
        manifest: of the mixture, its `files` included.
        config: of the study.
        law: that gave the weights or predicts their losses; None without a fit.
        predicted: target -> {mean, low, high}, nats.
        given: whether the weights are the user's and not the solution's.
        file: name of the configuration's file.
    """
    used = {name: entry for name, entry in manifest["domains"].items() if entry["rows"]}
    rows, files = sum(entry["rows"] for entry in used.values()), manifest["files"]
    licences = {name: _licence(config, name) for name in used}
    front: dict[str, Any] = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": [f["name"] for f in files]}]}],
        "task_categories": ["text-generation"],
        "tags": ["mixlaw", "supervised-fine-tuning"],
        "size_categories": [next((text for most, text in _SIZES if rows < most), "n>10M")],
    }
    known = sorted({licence for licence, _ in licences.values() if licence})
    if len(known) == 1 and all(licence for licence, _ in licences.values()):
        front["license"] = known[0]
    else:
        front |= {"license": "other", "license_name": "mixed", "license_link": "#sources"}
    origin = "were given by the user" if given else f"minimise the loss that the law `{law}` predicts"
    lines = [
        _front(front),
        "# A training mixture",
        "",
        f"{manifest['achieved_tokens']:,} training tokens (planned: {manifest['budget_tokens']:,}) of "
        f"{len(used)} domains, {rows:,} conversations in {_files(files)}, shuffled. The shares {origin}. Each row is "
        '`{"messages": [...], "domain": ...}`; tokens are counted by the tokenizer of '
        f"`{escaped(_model(config))}` and its chat template.",
        "",
        "| domain | planned share | share | tokens | rows | epochs |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, entry in manifest["domains"].items():
        shares = " | ".join(percent(entry[f"{kind}_share"], 2) for kind in ("requested", "achieved"))
        numbers = f"{entry['achieved_tokens']:,} | {entry['rows']:,} | {entry['epochs']:.3f}"
        lines.append(f"| {escaped(name)} | {shares} | {numbers} |")
    lines += ["", *_predictions(law, predicted), "## Sources", ""]
    lines += ["| domain | source | rows in it | SHA-256 | licence |", "|---|---|---:|---|---|"]
    for name, entry in used.items():
        for source in entry["sources"]:
            licence, where = licences[name]
            text = f"{licence or 'not known'}{f' ({where})' if where else ''}"
            cells = [name, Path(source["path"]).name if _local(source["path"]) else source["path"]]
            if "split_by" in source:
                cells[1] += f", {source['split_by']}: {', '.join(source['values'])}"
            digest = source["sha256"][:16]
            lines.append(f"| {' | '.join(map(escaped, cells))} | {source['rows']:,} | `{digest}` | {escaped(text)} |")
    lines += ["", "Validation conversations and all copies of them were held out.", "", "## How to make it again", ""]
    lines += ["```console", f"$ {mix_command(manifest, file)}", "```", ""]
    lines += ["With the same mix.yaml, model and sources, the files are the same to the byte (`manifest.json`).", ""]
    return "\n".join(lines)


def mix_command(manifest: Mapping[str, Any], config: str = "mix.yaml") -> str:
    """Return the command that writes a mixture again."""
    weights = written({name: repr(entry["requested_share"]) for name, entry in manifest["domains"].items()})
    files = manifest["files"]
    shape = " --format parquet" if files[0]["name"].endswith(".parquet") else ""
    shape += f" --shards {len(files)}" if len(files) > 1 else ""
    return f"mixlaw mix {shlex.quote(config)} --budget {manifest['budget_tokens']} --weights {weights}{shape}"


def model_card(
    config: Config,
    tokens: Mapping[str, int],
    losses: Mapping[str, float],
    predicted: Mapping[str, Mapping[str, float]],
    law: str | None,
    command: str,
) -> str:
    """Return the README.md of a model that was trained at a mixture.

    Args:
        config: of the study.
        tokens: domain -> training tokens that it has seen.
        losses: target -> measured validation loss, nats.
        predicted: target -> {mean, low, high}, nats; empty without a fit.
        law: that predicted them.
        command: that trains it again.
    """
    total = sum(tokens.values())
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["mixlaw"]}
    if not Path(config.model.name_or_path).expanduser().is_dir():
        front["base_model"] = config.model.name_or_path
    train = config.train.settings
    lines = [
        _front(front),
        f"# {escaped(_model(config))}, fine-tuned",
        "",
        f"Trained on {total:,} tokens with the trainer `{config.train.trainer}` (learning rate "
        f"{train.learning_rate:g}, {train.num_train_epochs} epochs, rows of {train.max_length} tokens).",
        "",
        "| domain | tokens | share |",
        "|---|---:|---:|",
        *(f"| {escaped(name)} | {n:,} | {percent(n / total, 2)} |" for name, n in tokens.items()),
        "",
        f"Validation loss, {losses_in(losses)}"
        + (f", and what the law `{law}` predicted (90 % interval of a run)" if predicted else "")
        + ":",
        "",
        "| target | measured | perplexity | predicted |",
        "|---|---:|---:|---:|",
    ]
    for target, loss in losses.items():
        p = predicted.get(target)
        band = f"{nats(p['mean'])} ({nats(p['low'])} to {nats(p['high'])})" if p else "–"
        lines.append(f"| {escaped(target)} | {nats(loss)} | {perplexity(loss)} | {band} |")
    lines += ["", "Made with mixlaw:", "", "```console", f"$ {command}", "```", ""]
    return "\n".join(lines)


def _predictions(law: str | None, predicted: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not predicted:
        return []
    heading = f"Losses after training that the law `{law}` predicts, {losses_in(predicted)} (90 % interval of a run):"
    lines = [heading, ""]
    lines += ["| target | loss | low | high | perplexity |", "|---|---:|---:|---:|---:|"]
    for target, p in predicted.items():
        cells = [
            nats(p["mean"]),
            nats(p["low"]),
            nats(p["high"]),
            MISSING if is_metric(target) else perplexity(p["mean"]),
        ]
        lines.append(f"| {escaped(target)} | {' | '.join(cells)} |")
    return [*lines, ""]


def study_card(config: Config, table: RunTable, name: str) -> str:
    """Return the README.md of a published study.

    Args:
        config: of the study.
        table: its finished runs.
        name: of the study.
    """
    front = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "runs.csv"}]}],
        "tags": ["mixlaw", "data-mixing", "supervised-fine-tuning"],
    }
    low, high = (f"{x:,.0f}" for x in (table.totals_R.min(), table.totals_R.max()))
    trained = int((~table.point_R).sum())
    lines = [
        _front(front),
        f"# Which mixture to fine-tune on: {escaped(name)}",
        "",
        f"{trained} training runs of `{escaped(_model(config))}` on {low} to {high} tokens of the domains "
        f"{', '.join(map(escaped, table.domains))}, each with its validation losses, and the mixture that a law fitted "
        f"to them recommends for {config.budget_tokens:,} tokens.",
        "",
        "| file | what it holds |",
        "|---|---|",
        "| `runs.csv` | a run a row: `tokens:DOMAIN`, `loss:TARGET` (nats per supervised token), `count:TARGET` "
        "(tokens that it was measured on), `unique:DOMAIN` (distinct tokens), `params` |",
        "| `fit.json`, `solution.json` | the law, and the recommended mixture |",
        "| `report/report.html`, `report/report.md` | why, with pictures |",
        "| `mix.yaml` | model, domains, plan and training; files of the data are named, not included |",
        "",
        "Fit the runs yourself, or take them over into a study with the same plan:",
        "",
        "```console",
        "$ mixlaw fit hf:USER/NAME",
        "$ mixlaw adopt mix.yaml hf:USER/NAME",
        "```",
        "",
    ]
    return "\n".join(lines)


def _licence(config: Config, name: str) -> tuple[str | None, str]:
    """Return a domain's licence, where mix.yaml says it, and the notice that lies beside its file."""
    found = notices(config, name)
    return config.domains[name].license, f"see {found[0].name} beside the source" if found else ""


def notices(config: Config, name: str) -> list[Path]:
    """Return the files with licences and notices that lie beside a domain's data."""
    path = Path(config.domains[name].path)
    folder = path if path.is_dir() else path.parent
    if not _local(config.domains[name].path) or not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.name.lower().startswith(_NOTICES))


def _local(path: str) -> bool:
    return Path(path).is_absolute()


def _model(config: Config) -> str:
    name = config.model.name_or_path
    return Path(name).name if _local(name) else name


def _files(files: list[Mapping[str, Any]]) -> str:
    return f"`{files[0]['name']}`" if len(files) == 1 else f"{len(files)} files"


def _front(value: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)}---\n"
