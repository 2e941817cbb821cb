"""The count of a collection's values is kept in the study, and made again where what is kept is none."""

import json

from mixlaw.api.collection import census_of
from mixlaw.config.sources import CollectionNode


def test_a_count_that_was_changed_by_hand_is_made_again(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": turns, "source": name} for name in ("x", "y", "x")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    collection = CollectionNode(path=str(tmp_path / "rows.jsonl"), split_by="source")
    first = census_of(collection, tmp_path / "study")
    assert first.rows == {"x": 2, "y": 1} and first.without == 0
    (kept,) = (tmp_path / "study" / "cache" / "collections").glob("*.json")
    kept.write_text('{"rows": 5}', encoding="utf-8")
    assert census_of(collection, tmp_path / "study") == first
    assert json.loads(kept.read_text(encoding="utf-8"))["rows"] == first.rows
