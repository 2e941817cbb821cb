"""Every key that an export writes was read by the tool's own loader (`bench/exports/loaders.py` runs it)."""

import json
from pathlib import Path

import pytest
import yaml

import mixlaw
from unit.conftest import MARKED, plain_rows

READ = json.loads((Path(__file__).parents[4] / "bench" / "exports" / "loaders.json").read_text(encoding="utf-8"))
FILES = {"axolotl": "axolotl.yaml", "llamafactory": "sft.yaml"}
CHANGED = {"axolotl": {"bf16"}, "llamafactory": {"cutoff_len", "dataset", "report_to"}}
"""What the loaders hold otherwise: auto as this machine's value, a list of names, no tracker, a length less one."""


@pytest.mark.parametrize("tool", FILES)
def test_the_loaders_knew_every_key_and_held_what_was_written(tool):
    assert READ[tool]["exports"]
    for name, found in READ[tool]["exports"].items():
        assert found["unknown"] == [], name
        assert set(found["otherwise"]) <= CHANGED[tool], name
        if "cutoff_len" in found["otherwise"]:
            written, held = found["otherwise"]["cutoff_len"]
            assert held == written - 1 == 256  # the demo's max_length: no token is cut off where rows are packed


@pytest.mark.parametrize("rows", ["conversations", "tokens"])
@pytest.mark.parametrize("tool", FILES)
def test_an_export_writes_no_key_that_the_loaders_have_not_read(study, tool, rows):
    path = study({name: plain_rows(60, name) for name in "ab"}, MARKED)
    made = mixlaw.export(path, tool, weights={"a": 0.5, "b": 0.5}, rows=rows)
    written = yaml.safe_load((made.folder / FILES[tool]).read_text(encoding="utf-8"))
    read = {key for one in READ[tool]["exports"].values() for key in (*one["as_written"], *one["otherwise"])}
    assert set(written) <= read
