"""README.md of an export: the one command, what is trained on, and what else must be known."""

from __future__ import annotations

from collections.abc import Mapping

from mixlaw.core.tokens import format_tokens
from mixlaw.data.exports.recipe import Recipe

NAMES = {
    "trl": "TRL",
    "axolotl": "Axolotl",
    "llamafactory": "LLaMA-Factory",
    "open-instruct": "open-instruct",
    "nemo": "NeMo",
}
"""Tool -> what it calls itself."""


def readme(tool: str, recipe: Recipe, budget_tokens: int, weights: Mapping[str, float]) -> str:
    """Return the text of an export's README.md.

    Args:
        tool: a key of `NAMES`; another one is called as it is.
        recipe: the configuration.
        budget_tokens: of the training.
        weights: domain -> share of the tokens.
    """
    lines = [f"# Fine-tuning with {NAMES.get(tool, tool)} on a mixture made by mixlaw", ""]
    lines += ["Run in this folder:", "", *_shell(recipe.command), ""]
    if recipe.gpu_command:
        lines += ["On a GPU with bfloat16:", "", *_shell(recipe.gpu_command), ""]
    lines += [f"It trains on {format_tokens(budget_tokens)} tokens:", "", "| domain | share of tokens |", "|---|---|"]
    lines += [f"| {name.replace('|', chr(92) + '|')} | {100 * share:.2f} % |" for name, share in weights.items()]
    lines += ["", *(f"- {text}" for text in recipe.notes)]
    lines += ["- `export.json` holds these facts for programs, and the checksum of every file here but the model's."]
    lines += ["  `mixlaw verify .` compares them: nothing must have changed on the way to the machine that trains."]
    return "\n".join(lines) + "\n"


def _shell(command: str) -> list[str]:
    return ["```sh", command, "```"]
