"""Saving a trained model so that transformers loads it: weights, configuration, tokenizer and chat template."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from mixlaw.core.files import read_json, write_json
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.rows import replace_folder


def save_model(network: Any, name_or_path: str, revision: str | None, folder: Path) -> None:
    """Save a network with the tokenizer of the model that it comes from, whole or not at all.

    Weights are saved in the precision of the base model's files. Training keeps float32, of which half precision
    keeps three digits: the loss of the saved model differs a little from the one that was measured.

    The tokens that end an answer, as they were learnt, become those at which generation stops.

    Args:
        network: a transformers model; a PEFT model is merged into its base first (and changed by that).
        name_or_path: the base model's folder or id.
        revision: its commit.
        folder: where to save.
    """
    from transformers import AutoConfig, AutoTokenizer

    if hasattr(network, "merge_and_unload"):
        network = network.merge_and_unload()
    base = AutoConfig.from_pretrained(name_or_path, revision=revision or "main")
    dtype = getattr(base, "dtype", None) or next(network.parameters()).dtype
    converted: dict[int, Any] = {}  # tied tensors stay one, so that they are saved once
    weights = {}
    for name, tensor in network.state_dict().items():
        if tensor.data_ptr() not in converted:
            converted[tensor.data_ptr()] = tensor.detach().to("cpu", dtype)
        weights[name] = converted[tensor.data_ptr()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        network.save_pretrained(temporary, state_dict=weights)
        # It notes the network's own precision; the files are in the base's.
        config = read_json(temporary / "config.json")
        write_json(temporary / "config.json", config | {"dtype": str(dtype).removeprefix("torch.")})
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, revision=revision or "main")
        _stop_as_learnt(tokenizer, temporary)
        tokenizer.save_pretrained(temporary)
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def damaged_weights(name_or_path: str) -> str | None:
    """Return a sentence about the first file of weights in a model's folder that cannot be read; None without one."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(Path(name_or_path).expanduser().glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):
                pass
        except (SafetensorError, OSError, ValueError) as error:
            return f"{path} is no readable safetensors file ({error})."
    return None


def another_end(chat: ChatTokenizer, revision: str | None = None) -> list[str]:
    """Return a sentence if a base model stops at other tokens than those that its chat template ends answers with.

    Args:
        chat: the tokenizer of the base, whose name is the model's folder or id.
        revision: its commit.
    """
    from transformers import GenerationConfig

    stops, tokenizer = chat.masks.frame.stops, chat.tokenizer
    folder = Path(chat.name).expanduser()
    try:
        own = GenerationConfig.from_pretrained(
            str(folder) if folder.is_dir() else chat.name,
            revision=revision or "main",
            local_files_only=folder.is_dir(),
        ).eos_token_id
    except (OSError, ValueError):  # it has no such file, or the hub is out of reach
        own = tokenizer.eos_token_id
    ends = tokenizer.convert_ids_to_tokens(own if isinstance(own, list) else [] if own is None else [own])
    if not stops or set(stops) <= set(ends):
        return []
    before, learnt = " or ".join(map(str, ends)) or "no token", " and ".join(stops)
    return [
        f"'{chat.name}' stops at {before}, but its chat template ends answers with {learnt}. Models that mixlaw saves "
        f"stop at {learnt}."
    ]


def _stop_as_learnt(tokenizer: Any, folder: Path) -> None:
    """Write into a saved model, and set in its tokenizer, the tokens that end an answer by the chat template."""
    if not getattr(tokenizer, "chat_template", None):
        return
    stops = ChatTokenizer(tokenizer, "model").masks.frame.stops
    learnt = [tokenizer.convert_tokens_to_ids(stop) for stop in stops]
    path = folder / "generation_config.json"
    settings = read_json(path) if path.exists() else {}
    before = settings.get("eos_token_id")
    before = before if isinstance(before, list) else [] if before is None else [before]
    # Padding never ends an answer, even where a base model's configuration says so.
    kept = [token for token in before if token not in (tokenizer.pad_token_id, *learnt)]
    if not learnt or set(learnt) <= set(before):
        return
    tokens = [*learnt, *kept]
    write_json(path, settings | {"eos_token_id": tokens[0] if len(tokens) == 1 else tokens})
    if tokenizer.eos_token not in stops and "eos_token" not in tokenizer.get_chat_template():
        tokenizer.eos_token = stops[0]
        config = read_json(folder / "config.json")
        write_json(folder / "config.json", config | {"eos_token_id": learnt[0]})
