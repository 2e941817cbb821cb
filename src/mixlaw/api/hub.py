"""The Hugging Face Hub: repositories that are written to, and published run tables that are read.

`HF_ENDPOINT`, `HF_TOKEN` and `hf auth login` work as for every program that uses huggingface_hub.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from mixlaw.core.errors import ConfigError, HubError, MissingExtra

T = TypeVar("T")
Kind = Literal["dataset", "model"]

RUNS = "runs.csv"
"""The run table in a published study."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w")
_PUBLISHED = "hf:"
_LONGEST_REASON = 300


def is_published(source: object) -> bool:
    """Whether a source names a study on the Hub: `hf:USER/NAME`, or `hf:USER/NAME@REVISION`."""
    return str(source).startswith(_PUBLISHED)


def published_runs(source: str) -> Path:
    """Return the run table of a published study, as a file of this machine.

    Raises:
        ConfigError: the source is not written as `hf:USER/NAME` or `hf:USER/NAME@REVISION`.
        HubError: the Hub cannot be reached, or has no such study.
        MissingExtra: huggingface_hub is not installed.
    """
    name, _, revision = str(source).removeprefix(_PUBLISHED).partition("@")
    require_name(name)
    found = _ask(
        lambda hub: hub.hf_hub_download(name, RUNS, repo_type="dataset", revision=revision or None),
        f"{source} has no readable run table",
    )
    return Path(found)


def require_name(name: str) -> None:
    """Raise ConfigError unless a repository's name has its owner before it."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is no repository of the Hub; it is written USER/NAME, with letters, digits, - _ and .",
            "For example: my-team/chat-math-code.",
        )


def upload(files: Mapping[str, Path], name: str, kind: Kind, *, public: bool) -> str:
    """Write files into a repository in one commit, and return the repository's address.

    A repository that is missing is made; one that is there keeps its visibility, and files that are not given.

    Args:
        files: path in the repository -> file.
        name: of the repository.
        kind: of the repository.
        public: whether a new repository can be read by all.

    Raises:
        HubError: the Hub cannot be reached or refuses.
        MissingExtra: huggingface_hub is not installed.
    """

    def write(hub: Any) -> str:
        api = hub.HfApi(library_name="mixlaw")
        place = api.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
        added = [hub.CommitOperationAdd(path, source) for path, source in files.items()]
        api.create_commit(name, added, repo_type=kind, commit_message="Upload with mixlaw")
        return str(place)

    return _ask(write, f"{name} could not be written")


def is_public(name: str, kind: Kind) -> bool | None:
    """Return whether a repository can be read by all; None where there is none.

    Raises:
        HubError: the Hub cannot be reached or refuses.
    """

    def look(hub: Any) -> bool | None:
        api = hub.HfApi(library_name="mixlaw")
        return not api.repo_info(name, repo_type=kind).private if api.repo_exists(name, repo_type=kind) else None

    return _ask(look, f"{name} could not be looked at")


def _ask(do: Callable[[Any], T], failed: str) -> T:
    try:
        import huggingface_hub as hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise MissingExtra("huggingface_hub", "train", "The Hugging Face Hub") from None
    client_error: Any = HfHubHTTPError.__bases__[0]  # of whatever HTTP client this version uses
    try:
        return do(hub)
    except (client_error, OSError, HFValidationError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON].rstrip(".") or type(error).__name__
        raise HubError(
            f"{failed}: {reason}.",
            "Check the name and the network, and log in with a token that may do this: hf auth login.",
        ) from error
