"""The leak test: domains that share rows by construction; what one holds out must train in none."""

import itertools
import json

import numpy as np
import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.core.mixture import Mixture
from mixlaw.data.conversations import Conversation, as_json
from mixlaw.data.materialise import materialise
from mixlaw.data.near_copies import count_likeness
from mixlaw.data.normal_text import content_hashes
from mixlaw.data.prepare import conversations, prepare_domains
from mixlaw.data.texts import TextRows, write_texts


@pytest.fixture
def prepare_all(unmarked, tmp_path):
    def run(*domains, validation_rows=12, cache="cache"):
        return prepare_domains(
            domains, unmarked, validation_rows=validation_rows, max_length=512, cache_dir=tmp_path / cache
        )

    return run


def numbered(domain):
    """The hash of every row's normal form, by its number in the source."""
    found = {row.number: messages for row, messages, _ in conversations(domain)}
    return dict(zip(found, content_hashes(as_json(list(found.values()))).tolist(), strict=True))


def sides(domains, prepared):
    """Domain -> (hashes of its training rows, of its validation rows)."""
    found = {}
    for domain in domains:
        hashes, d = numbered(domain), prepared[domain.name]
        found[domain.name] = tuple({hashes[int(n)] for n in rows.source_rows} for rows in (d.train, d.validation))
    return found


def require_no_leak(domains, prepared):
    found = sides(domains, prepared)
    held = set().union(*(validation for _, validation in found.values()))
    assert held and all(not train & held for train, _ in found.values())
    return found


def shouted(rows):
    """The same conversations with other white space, other case and a system prompt."""
    system = {"role": "system", "content": "You are loud."}
    return [
        {"messages": [system, *({**turn, "content": f"\t{turn['content'].upper()}\n"} for turn in row["messages"])]}
        for row in rows
    ]


SHARED = {
    "b contains a": lambda chats: (chats(60), chats(660)),
    "two equal domains": lambda chats: (chats(60), chats(60)),
    "equal but for case, white space and setting": lambda chats: (chats(60), shouted(chats(60))),
    "each has half of the other": lambda chats: (chats(120)[:80], chats(120)[40:]),
    "copies in both": lambda chats: (chats(60) * 2, chats(90) * 3),
}


@pytest.mark.parametrize("case", SHARED)
def test_what_one_domain_holds_out_trains_in_none(case, write_lines, chats, prepare_all):
    a, b = SHARED[case](chats)
    domains = [Domain("a", str(write_lines("a.jsonl", a))), Domain("b", str(write_lines("b.jsonl", b)))]
    prepared = prepare_all(*domains)
    require_no_leak(domains, prepared)
    for d in prepared.values():
        assert len(d.validation) == 12
        assert d.read == len(d.train) + 12 + d.copies + d.duplicates + sum(d.held_out_elsewhere.values())


def test_the_rows_left_out_are_counted_by_the_domain_that_holds_them_out(write_lines, chats, prepare_all):
    a, b = Domain("a", str(write_lines("a.jsonl", chats(60)))), Domain("b", str(write_lines("b.jsonl", chats(660))))
    c = Domain("c", str(write_lines("c.jsonl", chats(90, "other "))))
    alone, prepared = prepare_all(b)["b"], prepare_all(a, b, c)
    (_, held), (train, _) = sides([a], prepared)["a"], sides([b], {"b": alone})["b"]
    assert prepared["b"].held_out_elsewhere == {"a": len(held & train)} and held & train
    assert prepared["c"].held_out_elsewhere == {}
    assert prepared["b"].validation.fingerprint == alone.validation.fingerprint


def test_a_collections_domains_keep_out_what_another_domain_holds_out(write_lines, chats, prepare_all):
    rows = [r | {"source": "xyz"[i % 3]} for i, r in enumerate([*chats(150), *shouted(chats(100))])]
    path = str(write_lines("all.jsonl", rows))
    split = [Domain(v, path, split_by="source", values=(v,)) for v in "xyz"]
    domains = [*split, Domain("own", str(write_lines("own.jsonl", chats(200)[50:])))]
    require_no_leak(domains, prepare_all(*domains))


def test_domains_of_one_source_that_want_the_same_rows_have_them_all_and_leak_none(
    write_lines, chats, prepare_all, tmp_path
):
    path = str(write_lines("all.jsonl", [r | {"source": "xyz"[i % 3]} for i, r in enumerate(chats(300))]))
    domains = [Domain(v, path, split_by="source", values=tuple(v)) for v in ("xy", "y", "yz")]
    prepared = prepare_all(*domains)
    assert [prepared[d.name].read for d in domains] == [200, 100, 200]
    require_no_leak(domains, prepared)
    mixture = Mixture(dict.fromkeys(prepared, 1 / 3), sum(d.train.tokens for d in prepared.values()))
    manifest = materialise({d.name: d for d in domains}, prepared, mixture, tmp_path / "mix")
    lines = [json.loads(line) for line in (tmp_path / "mix" / "train.jsonl").read_bytes().splitlines()]
    assert len(lines) == sum(entry["rows"] for entry in manifest["domains"].values())
    assert set(count_likeness({d.name: d for d in domains}, prepared)) == {"xy", "y", "yz"}


def test_domains_without_shared_rows_keep_their_entries(write_lines, chats, prepare_all):
    a, b = Domain("a", str(write_lines("a.jsonl", chats(60)))), Domain("b", str(write_lines("b.jsonl", chats(60, "o"))))
    together = prepare_all(a, b)
    for domain in (a, b):
        alone = prepare_all(domain, cache="alone")[domain.name]
        assert together[domain.name].train.fingerprint == alone.train.fingerprint
        assert together[domain.name].train.folder.parent == together[domain.name].entry


def test_order_and_names_of_the_domains_change_nothing(write_lines, chats, prepare_all, tmp_path):
    rows = {"a": chats(90)[:60], "b": chats(90)[30:], "c": chats(400)}
    paths = {name: str(write_lines(f"{name}.jsonl", r)) for name, r in rows.items()}
    found = []
    for k, order in enumerate(itertools.permutations(paths)):
        prepared = prepare_all(*(Domain(name, paths[name]) for name in order), cache=f"cache{k % 2}")
        found.append([(prepared[n].train.fingerprint, prepared[n].held_out_elsewhere) for n in paths])
    assert all(f == found[0] for f in found) and any(counts for _, counts in found[0])
    renamed = prepare_all(*(Domain(f"new {name}", path) for name, path in paths.items()))
    assert [renamed[f"new {n}"].train.fingerprint for n in paths] == [fingerprint for fingerprint, _ in found[0]]
    # The entries of each domain alone, and those without the rows of others: the same in every order.
    (first, second) = (sorted(p.name for p in (tmp_path / f"cache{k}").iterdir()) for k in (0, 1))
    assert first == second


def test_texts_and_mixtures_hold_no_held_out_conversation(write_lines, chats, prepare_all, tmp_path):
    a, b = Domain("a", str(write_lines("a.jsonl", chats(60)))), Domain("b", str(write_lines("b.jsonl", chats(660))))
    prepared = prepare_all(a, b)
    held = set().union(*(validation for _, validation in sides([a, b], prepared).values()))

    def leaked(lines):
        return (
            set(content_hashes(as_json([Conversation(json.loads(line)["messages"]) for line in lines])).tolist()) & held
        )

    for domain in (a, b):
        rows = prepared[domain.name].train
        write_texts(domain, prepared[domain.name])
        assert not leaked(TextRows.open(rows).lines(range(len(rows))))
    mixture = Mixture({"a": 0.2, "b": 0.8}, 2 * sum(d.train.tokens for d in prepared.values()))
    manifest = materialise({"a": a, "b": b}, prepared, mixture, tmp_path / "mix")
    assert not leaked((tmp_path / "mix" / "train.jsonl").read_bytes().splitlines())
    entry = manifest["domains"]["b"]
    assert entry["available_tokens"] == prepared["b"].train.tokens and entry["distinct_rows"] == len(
        prepared["b"].train
    )
    assert entry["epochs"] == entry["achieved_tokens"] / prepared["b"].train.tokens


def test_a_second_time_the_entries_are_found(write_lines, chats, prepare_all, tmp_path):
    domains = [Domain(n, str(write_lines(f"{n}.jsonl", chats(k)))) for n, k in (("a", 60), ("b", 660))]
    first = prepare_all(*domains)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    again = prepare_all(*domains)
    assert {n: d.to_json() for n, d in again.items()} == {n: d.to_json() for n, d in first.items()}
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()}
    rows = again["b"].train
    assert np.array_equal(rows.row_tokens, np.diff(rows.offsets)) and rows.supervised_tokens == rows.supervised.sum()


def test_a_domain_that_others_hold_out_as_a_whole_is_one_error(write_lines, chats, prepare_all, unmarked):
    big = Domain("big", str(write_lines("big.jsonl", chats(100))))
    hashes = numbered(big)
    held = {hashes[int(n)] for n in prepare_all(big, validation_rows=20)["big"].validation.source_rows}
    inside = [r for r, h in zip(chats(100), hashes.values(), strict=True) if h in held]
    small = Domain("small", str(write_lines("small.jsonl", inside)))
    with pytest.raises(DataError, match=r"'small': each of its .* training rows is a validation row") as caught:
        prepare_all(big, small, validation_rows=20)
    assert "'big' (" in caught.value.message and "Remove 'small'" in caught.value.hint
