"""A tokenizer that is loaded when it is needed: a study whose rows are tokenised needs no more than its fingerprint.

Loading imports transformers and torch, which takes most of a command that has nothing to do.
"""

from __future__ import annotations

import contextlib
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mixlaw.core.documents import read_document, write_document
from mixlaw.core.errors import DataError
from mixlaw.core.fingerprints import file_fingerprint, fingerprint
from mixlaw.data.chat import ChatTokenizer, load_tokenizer

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".npz")
_LARGEST_BYTES = 64 << 20
"""Of a file that is read for the key; vocabularies are smaller."""
_READ_BY = ("mixlaw", "transformers", "tokenizers")


class KnownTokenizer:
    """The tokenizer of a model, whose fingerprint is kept for a folder that has not changed.

    Args:
        name_or_path: a model folder, or a Hugging Face model id, whose fingerprint is not kept.
        revision: of the id.
        cache: folder of what is kept.
    """

    def __init__(self, name_or_path: str, revision: str | None, cache: Path) -> None:
        self._name, self._revision, self._cache = name_or_path, revision, cache

    @cached_property
    def loaded(self) -> ChatTokenizer:
        """The tokenizer; raises what `load_tokenizer` raises."""
        return load_tokenizer(self._name, self._revision)

    @cached_property
    def fingerprint(self) -> str:
        """What `ChatTokenizer.fingerprint` is; raises what `load_tokenizer` raises where it is not kept."""
        key = _key(Path(self._name).expanduser())
        if key is None:
            return self.loaded.fingerprint
        path = self._cache / f"{key}.json"
        with contextlib.suppress(DataError):
            return read_document(path, "tokenizer")["fingerprint"]
        found = self.loaded.fingerprint
        with contextlib.suppress(OSError):  # a full disk is told by what cannot do without
            write_document(path, "tokenizer", {"fingerprint": found})
        return found


def _key(folder: Path) -> str | None:
    """Return the hash of all that a folder's tokenizer may depend on; None where that is not known for sure."""
    if not (folder / "tokenizer.json").is_file():
        return None
    there = [*folder.iterdir(), *folder.glob("additional_chat_templates/*")]
    files = sorted(p for p in there if p.is_file() and p.suffix not in _WEIGHTS)
    if any(path.stat().st_size > _LARGEST_BYTES for path in files):
        return None
    try:
        versions = [version(package) for package in _READ_BY]
    except PackageNotFoundError:
        return None
    return fingerprint([versions, {str(path.relative_to(folder)): file_fingerprint(path) for path in files}])[:24]
