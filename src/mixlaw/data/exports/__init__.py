"""Configurations for other trainers: one file a tool, each a function from what is to be trained to a recipe.

Two ways. *Materialised* points at the files of `mixlaw mix`, whose shares are exact: the tool has to read them once.
*By reference* points at the domains' own sources and says the shares in the tool's own unit; the shares then drift,
since tools count rows and not tokens.

| tool | unit | how a domain larger than its source is expressed |
|---|---|---|
| `trl` | rows: `split: train[:n]` | the source listed once more for each pass |
| `axolotl` | rows: `split: train[:n]` | the same |
| `llamafactory` | rows: `num_samples` | all rows, then further ones drawn with replacement |
| `open-instruct` | rows in `dataset_mixer_list` | whole passes, then a remainder without replacement |
| `nemo` | probability of a row: `concat_sampling_probabilities` | rows are drawn until the run ends |
"""

from __future__ import annotations

from collections.abc import Callable

from mixlaw.core.errors import ConfigError
from mixlaw.data.exports import axolotl, llamafactory, nemo, open_instruct, trl
from mixlaw.data.exports.recipe import Recipe, Training

TOOLS: dict[str, Callable[[Training], Recipe]] = {
    "trl": trl.recipe,
    "axolotl": axolotl.recipe,
    "llamafactory": llamafactory.recipe,
    "open-instruct": open_instruct.recipe,
    "nemo": nemo.recipe,
}


def export_recipe(tool: str, training: Training) -> Recipe:
    """Return a tool's configuration for a training.

    Raises:
        ConfigError: there is no such tool, or it cannot express the mixture by reference.
    """
    if tool not in TOOLS:
        raise ConfigError(f"--to: there is no tool '{tool}'.", f"Known: {', '.join(TOOLS)}.")
    return TOOLS[tool](training)
