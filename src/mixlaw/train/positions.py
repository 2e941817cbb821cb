"""How long a row a model takes, before its weights are loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixlaw.core.errors import ConfigError


def positions_of(name_or_path: str, revision: str | None = None) -> int | None:
    """Return the tokens of the longest row of a model folder or a Hugging Face model id; None where it does not say."""
    folder = Path(name_or_path).expanduser()
    try:
        if folder.is_dir():
            config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        else:
            from transformers import PretrainedConfig

            config, _ = PretrainedConfig.get_config_dict(name_or_path, revision=revision)
        config = config.get("text_config") or config
        longest = config.get("max_position_embeddings")
    except Exception:  # no such file, no network, no JSON: loading the model says it
        return None
    return longest if isinstance(longest, int) and longest > 0 else None


def check_positions(longest: int | None, max_length: int, name: str) -> None:
    """Raise ConfigError where rows may be longer than a model takes."""
    if isinstance(longest, int) and 0 < longest < max_length:
        raise ConfigError(
            f"train.max_length is {max_length}, but the model {name} has {longest} positions.",
            f"Set train.max_length to at most {longest}.",
        )
