"""Read exported configurations with the whole loaders of Axolotl and LLaMA-Factory. Writes loaders.json.

    python -m bench.exports.loaders prepare FOLDER            in mixlaw's environment: exports of every form
    python bench/exports/loaders.py axolotl FOLDER            in an environment with the tool
    python bench/exports/loaders.py llamafactory FOLDER

What is called is what the tools' commands call before they train: `load_cfg` of `axolotl train`, which checks, fills in
and normalises, and `get_train_args` of `llamafactory-cli train`. Said of each export: which keys the loader holds with
the value that was written, which with another, and which it does not know. A copy with a misspelt key is read, too:
what the tool does with it shows whether an unknown key would have been noticed.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

WEIGHTS = {"sql": 0.8, "shell": 0.1, "translation": 0.1}
BUDGET = 20_000
RESULTS = Path(__file__).parent / "loaders.json"
FILES = {"axolotl": "axolotl.yaml", "llamafactory": "sft.yaml"}
FORMS = {
    "conversations": {"rows": "conversations"},
    "tokens": {"rows": "tokens"},
    "by reference": {"by_reference": True},
}
METHODS = {"packed": "packing: true", "not packed": "packing: false"}
MISSPELT = "learning_rat"


def prepare(folder: Path) -> None:
    """Write the demo's study once for each method, and the exports of each form."""
    import mixlaw

    demo = Path(mixlaw.__file__).parent / "demo"
    for method, line in METHODS.items():
        root = folder / method.replace(" ", "-")
        shutil.copytree(demo, root)
        config = root / "mix.yaml"
        text = config.read_text(encoding="utf-8")
        assert text.count("\ntrain:\n") == 1
        text = text.replace("\ntrain:\n", f"\ntrain:\n  {line}\n").replace(".jsonl.gz}", ".jsonl}")
        config.write_text(text, encoding="utf-8")
        for path in (root / "data").glob("*.jsonl.gz"):  # LLaMA-Factory reads nothing that is compressed
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        for tool in FILES:
            for form, options in FORMS.items():
                out = root / f"{tool}-{form.replace(' ', '-')}"
                mixlaw.export(config, tool, weights=WEIGHTS, budget=BUDGET, out=out, **options)


def axolotl(path: Path) -> dict[str, Any]:
    """Return what Axolotl's loader makes of a file."""
    from axolotl.cli.config import load_cfg

    return dict(load_cfg(str(path)))


def llamafactory(path: Path) -> dict[str, Any]:
    """Return what LLaMA-Factory's loader makes of a file, after its loader of data has found the files."""
    import llamafactory
    import yaml
    from llamafactory.hparams import get_train_args

    bare = types.ModuleType("llamafactory.data")  # its own also loads libraries of sound, whose builds fit few torch
    bare.__path__ = [str(Path(llamafactory.__path__[0], "data"))]
    sys.modules["llamafactory.data"] = bare
    from llamafactory.data.parser import get_dataset_list

    model, data, training, tuning, generating = get_train_args(yaml.safe_load(path.read_text(encoding="utf-8")))
    for found in get_dataset_list(data.dataset, data.dataset_dir):
        file = Path(data.dataset_dir, found.dataset_name)
        assert found.load_from != "file" or file.exists(), file
    parts = (vars(part) for part in (generating, tuning, data, model, training))
    return {key: value for part in parts for key, value in part.items()}


def compare(written: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """Return which keys the loader holds as written (it may fill in more), which otherwise, and which not at all."""
    known = {key for key in written if key in held}
    same = {key for key in known if _holds(_plain(held[key]), _plain(written[key]))}
    return {
        "as_written": sorted(same),
        "otherwise": {key: [_plain(written[key]), _plain(held[key])] for key in sorted(known - same)},
        "unknown": sorted(set(written) - known),
    }


def _holds(held: Any, written: Any) -> bool:
    """Tell whether a value holds what was written."""
    if isinstance(written, dict) and isinstance(held, dict):
        return all(_holds(held.get(key), value) for key, value in written.items())
    if isinstance(written, list) and isinstance(held, list):
        return len(written) == len(held) and all(map(_holds, held, written))
    return held == written


def _plain(value: Any) -> Any:
    """Return a value without the tool's classes, paths without the machine's folders, and no keys left empty."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(getattr(value, "value", value))
    return os.path.relpath(text) if os.path.isabs(text) else text


def check(tool: str, folder: Path) -> None:
    """Read every export, and one with a misspelt key."""
    import yaml

    load = {"axolotl": axolotl, "llamafactory": llamafactory}[tool]
    found: dict[str, Any] = {
        "versions": {name: version(name) for name in (tool, "transformers", "torch")},
        "exports": {},
    }
    for place in sorted(folder.resolve().glob(f"*/{tool}-*")):
        name = f"{place.parent.name}: {place.name.removeprefix(f'{tool}-')}"
        os.chdir(place)  # paths in a configuration are relative, and the command is run there
        written = yaml.safe_load(Path(FILES[tool]).read_text(encoding="utf-8"))
        found["exports"][name] = compare(written, load(Path(FILES[tool])))
    wrong = written | {MISSPELT: 0.001}
    Path("wrong.yaml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    try:
        found["misspelt"] = {"accepted, key held": MISSPELT in load(Path("wrong.yaml"))}
    except Exception as error:  # each tool has its own
        found["misspelt"] = {"refused": type(error).__name__}
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(results | {tool: found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name, one in found["exports"].items():
        print(name, {key: value for key, value in one.items() if key != "as_written"})
    print(found["misspelt"])


if __name__ == "__main__":
    os.environ |= {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}  # nothing is sent
    what, where = sys.argv[1], Path(sys.argv[2])
    prepare(where) if what == "prepare" else check(what, where)
