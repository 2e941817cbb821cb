import dataclasses
import random

import numpy as np
import pytest

from mixlaw.core.domain import Domain
from mixlaw.data import near_copies, reading
from mixlaw.data.near_copies import Likeness, count_likeness
from mixlaw.data.prepare import prepare_domains
from mixlaw.data.word_grams import signatures, words_of

WORDS = [f"word{i}" for i in range(5_000)]


def text(seed, count=80):
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def changed(words, places, seed=0):
    """The text with other words at some places."""
    words = words.split()
    for place in random.Random(seed).sample(range(len(words)), places):
        words[place] = f"other{place}"
    return " ".join(words)


def row(answer, question="Please tell me."):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def likeness(write_lines, unmarked, tmp_path):
    def run(workers=1, validation_rows=10, **rows):
        domains = {name: Domain(name, str(write_lines(f"{name}.jsonl", some))) for name, some in rows.items()}
        prepared = prepare_domains(
            domains.values(), unmarked, validation_rows=validation_rows, max_length=4_000, cache_dir=tmp_path / "cache"
        )
        return count_likeness(domains, prepared, workers), prepared

    return run


def held_out(prepared, rows, name="a"):
    return [rows[name][int(n)] for n in prepared[name].validation.source_rows]


def test_rows_with_a_few_other_words_are_near_copies_and_others_are_not(likeness):
    rows = [row(text(i)) for i in range(200)]
    rows += [row(changed(text(i), 1)) for i in range(40)] + [row(changed(text(i), 30)) for i in range(40, 60)]
    found, prepared = likeness(a=rows)
    held = {int(n) for n in prepared["a"].validation.source_rows}
    pairs = [{i, 200 + i} for i in range(40)]
    assert found["a"].near_copies == sum(not pair & held for pair in pairs)
    assert found["a"].near_validation == sum(len(pair & held) == 1 for pair in pairs)


def test_near_copies_and_phrases_of_held_out_rows_are_found_in_other_domains(likeness):
    a = [row(text(i)) for i in range(100)]
    _, prepared = likeness(a=a)
    held = [r["messages"][1]["content"] for r in held_out(prepared, {"a": a})]
    near = [row(changed(t, 1)) for t in held[:4]]
    phrase = [row(f"{text(900 + i)} {' '.join(t.split()[20:33])} {text(800 + i)}") for i, t in enumerate(held[4:6])]
    short = [row(f"{text(700 + i)} {' '.join(t.split()[20:32])} {text(600 + i)}") for i, t in enumerate(held[6:8])]
    b = [*near, *phrase, *short, *(row(text(1_000 + i)) for i in range(60))]
    found, prepared = likeness(a=a, b=b)
    mine = {r["messages"][1]["content"] for r in held_out(prepared, {"b": b}, "b")}
    trains = [r["messages"][1]["content"] not in mine for r in b]
    assert found["b"].near_validation == sum(trains[:4])
    assert found["a"].phrases == sum(trains[:6]) and found["a"].mostly_known == sum(trains[:4])
    assert found["a"].near_copies == found["b"].near_copies == 0


def test_nothing_alike_is_nothing_found_and_short_rows_are_none(likeness):
    found, _ = likeness(a=[row(f"answer {i}", f"{i}") for i in range(50)], b=[row(text(i)) for i in range(50)])
    assert found == {"a": Likeness(0, 0, 0, 0), "b": Likeness(0, 0, 0, 0)}


def test_pieces_processes_and_the_order_of_domains_change_nothing(likeness, monkeypatch):
    a = [row(text(i % 150) if i % 3 else changed(text(i % 150), 1, i)) for i in range(300)]
    b = [row(changed(text(i), 2, 5)) for i in range(100)]
    (found, _), (turned, _) = likeness(a=a, b=b), likeness(b=b, a=a)
    monkeypatch.setattr(reading, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(reading.Source.pieces, "__defaults__", (20_000,))
    monkeypatch.setattr(near_copies, "_PAIRS_AT_ONCE", 7)
    (cut, _), (many, _) = likeness(a=a, b=b), likeness(workers=2, a=a, b=b)
    assert found == turned == cut == many
    assert all(min(dataclasses.astuple(found["a"])[:2]) > 0 for _ in "a") and found["b"].near_validation > 0


def test_the_share_of_equal_least_hashes_is_the_share_of_common_runs():
    base = text(0, 400)
    for places in (2, 10, 40, 120):
        words = words_of("\n".join([base, changed(base, places)]).encode())
        grams, rows = words.grams(5)
        a, b = (set(grams[rows == r].tolist()) for r in (0, 1))
        (_, (one, other)), exact = signatures(grams, rows), len(a & b) / len(a | b)
        assert abs((one == other).mean() - exact) < 4 * np.sqrt(exact * (1 - exact) / 128)


def test_words_are_runs_of_letters_and_single_characters_of_chinese():
    lines = "don't stop, 2nd naïve\n\n你好,世界 ok\nstop don't".encode()
    words = words_of(lines)
    assert words.count == 4 and np.bincount(words.rows, minlength=4).tolist() == [5, 0, 5, 3]
    first, last = words.hashes[:3].tolist(), words.hashes[-3:].tolist()
    assert first == [last[1], last[2], last[0]] and len(set(words.hashes.tolist())) == 10
    grams, rows = words.grams(2)
    assert rows.tolist() == [0] * 4 + [2] * 4 + [3] * 2 and grams[0] == grams[-1] and len(set(grams.tolist())) == 9
