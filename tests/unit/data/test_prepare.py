import errno
import json
import multiprocessing
import os
import random
import shutil

import numpy as np
import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data import prepare as prepare_module
from mixlaw.data.chat import ChatTokenizer
from mixlaw.data.prepare import conversations, example, prepare_domain
from mixlaw.data.rows import TokenRows


def texts(tokenizer, rows):
    """The rows of a folder, decoded."""
    bounds = zip(rows.offsets[:-1], rows.offsets[1:], strict=True)
    return [tokenizer.tokenizer.decode(rows.ids[a:b]) for a, b in bounds]


@pytest.fixture
def held(unmarked):
    return lambda prepared: set(texts(unmarked, prepared.validation))


def test_rows_and_tokens_are_counted_and_split(write_lines, chats, prepare, unmarked):
    path = write_lines("a.jsonl", chats(100))
    d = prepare(path, "chats", validation_rows=12)
    assert (d.name, d.format, len(d.train), len(d.validation)) == ("chats", "messages", 88, 12)
    assert (d.dropped, d.truncated, d.duplicates) == (0, 0, 0)
    every = [unmarked.render(m, "")[0] for _, m, _ in conversations(Domain("chats", str(path)))]
    assert sorted(texts(unmarked, d.train) + texts(unmarked, d.validation)) == sorted(every)
    assert d.train.tokens + d.validation.tokens == sum(len(unmarked.tokenizer.tokenize(text)) for text in every)


def test_the_json_form_has_the_counts_and_hashes(write_lines, chats, prepare):
    path = write_lines("a.jsonl.gz", chats(50))
    d = prepare(path)
    value = json.loads(json.dumps(d.to_json()))
    assert value["format"] == "messages" and (value["dropped"], value["truncated"], value["duplicates"]) == (0, 0, 0)
    assert value["sources"][0]["path"] == str(path) and value["sources"][0]["rows"] == 50
    assert len(value["sources"][0]["sha256"]) == 64
    for part, rows in (("train", d.train), ("validation", d.validation)):
        assert value[part] == {
            "rows": len(rows),
            "tokens": rows.tokens,
            "supervised_tokens": int(rows.supervised.sum()),
            "fingerprint": rows.fingerprint,
        }
    assert value["tokens_per_row"] == pytest.approx(d.train.tokens / 45)


def test_source_rows_point_at_the_text_over_all_files(write_lines, chats, prepare, unmarked):
    write_lines("data/a.jsonl", chats(30, "a "))
    write_lines("data/b.jsonl.gz", chats(20, "b "))
    domain = Domain("d", str(write_lines("data/c.jsonl", chats(10, "c ")).parent))
    d = prepare(domain)
    assert [source["rows"] for source in d.sources] == [30, 20, 10]
    by_number = {row.number: unmarked.render(talk, "")[0] for row, talk, _ in conversations(domain)}
    for rows in (d.train, d.validation):
        assert texts(unmarked, rows) == [by_number[int(n)] for n in rows.source_rows]


def test_the_held_out_rows_do_not_depend_on_the_order_of_the_rows(write_lines, chats, prepare, held):
    rows = chats(200)
    shuffled = random.Random(0).sample(rows, len(rows))
    a, b = (prepare(write_lines(f"{i}.jsonl", r), validation_rows=20) for i, r in enumerate([rows, shuffled]))
    assert held(a) == held(b) and len(held(a)) == 20
    assert sorted(a.train.row_tokens) == sorted(b.train.row_tokens)


def test_rows_added_push_out_at_most_as_many_held_out_rows(write_lines, chats, prepare, held):
    a = prepare(write_lines("a.jsonl", chats(200)), validation_rows=20)
    b = prepare(write_lines("b.jsonl", chats(210)), validation_rows=20)
    assert len(held(a) - held(b)) <= 10 and held(a) & held(b)


def test_fewer_validation_rows_are_a_subset_of_more(write_lines, chats, prepare, held):
    path = write_lines("a.jsonl", chats(200))
    assert held(prepare(path, validation_rows=5)) < held(prepare(path, validation_rows=20))


def test_no_copy_of_a_held_out_row_is_trained_on_and_copies_in_training_are_one_row(
    write_lines, chats, prepare, held, unmarked
):
    rows = chats(50)
    once = prepare(write_lines("a.jsonl", rows), validation_rows=10)
    d = prepare(write_lines("b.jsonl", [*rows, *reversed(rows), *rows[:7]]), validation_rows=10)
    assert len(d.validation) == 10 and held(d) == held(once)
    assert texts(unmarked, d.train) == texts(unmarked, once.train) and d.train.tokens == once.train.tokens
    assert d.copies + d.duplicates == 57 and d.read == 107 == len(d.train) + len(d.validation) + 57


def test_what_is_alike_to_a_held_out_row_but_for_case_white_space_and_setting_does_not_train(
    write_lines, chats, prepare, unmarked
):
    rows = chats(60)
    rows = [{"messages": [turn | {"content": turn["content"] + " Café"} for turn in r["messages"]]} for r in rows]
    once = prepare(write_lines("a.jsonl", rows), validation_rows=12)
    held_rows = [rows[n]["messages"] for n in once.validation.source_rows]
    others = [
        [{"role": "system", "content": f"Be brief. {k}"}]
        + [m | {"content": f" {m['content'].upper()}\u00a0\n" + "\t" * k} for m in messages]
        for messages in held_rows
        for k in range(5)
    ]
    d = prepare(write_lines("b.jsonl", [*rows, *({"messages": m} for m in others)]), validation_rows=12)
    assert len(d.validation) == 12 and d.duplicates > 0
    trained, kept_out = (
        {"".join(text.casefold().split()).rpartition("user")[2] for text in texts(unmarked, part)}
        for part in (d.train, d.validation)
    )
    assert not trained & kept_out


def test_the_same_conversation_in_another_format_is_a_copy(write_lines, chats, prepare, held):
    rows = chats(60)
    other = [{"prompt": r["messages"][0]["content"], "completion": r["messages"][1]["content"]} for r in rows]
    a, b = prepare(write_lines("a.jsonl", rows)), prepare(write_lines("b.jsonl", other))
    assert (a.format, b.format) == ("messages", "prompt_completion") and held(a) == held(b)
    assert a.train.fingerprint == b.train.fingerprint


@pytest.mark.parametrize(("rows", "expected"), [(2, 1), (4, 1), (10, 2), (100, 20), (1000, 50)])
def test_small_domains_hold_out_at_most_a_fifth_and_at_least_one(write_lines, chats, prepare, rows, expected):
    d = prepare(write_lines("a.jsonl", chats(rows)), validation_rows=50)
    assert (len(d.train), len(d.validation)) == (rows - expected, expected)


def test_rows_are_cut_at_max_length_and_those_without_an_answer_left_are_dropped(write_lines, prepare):
    def row(question, answer):
        return {"prompt": "q" * question, "completion": "a" * answer}

    rows = (
        [row(10 + i, 10) for i in range(20)]
        + [row(10 + i, 300) for i in range(20)]
        + [row(200 + i, 9) for i in range(5)]
    )
    path = write_lines("a.jsonl", rows)
    d, whole = (prepare(path, validation_rows=1, max_length=length) for length in (100, 1_000))
    assert d.dropped == 5 and d.truncated == 25
    kept = d.train.tokens + d.validation.tokens + 5 * 100
    assert d.lost_tokens == whole.train.tokens + whole.validation.tokens - kept and whole.lost_tokens == 0
    assert len(d.train) + len(d.validation) == 40
    assert max(d.train.row_tokens) == 100 and (d.train.row_supervised > 0).all()
    assert d.train.row_supervised.sum() == d.train.supervised_tokens


def test_bytes_are_kept_for_every_row(write_lines, prepare):
    rows = [{"prompt": "q", "completion": "ä" * (i + 1)} for i in range(20)]
    d = prepare(write_lines("a.jsonl", rows), validation_rows=1)
    assert len(d.train.supervised_bytes) == len(d.train)
    # With one token a byte: the answer's bytes and the end of the turn, one token that is written in seven.
    assert (d.train.supervised_bytes == d.train.row_supervised - 1 + len("<|end|>")).all()


def fails(prepare, path, **changes):
    with pytest.raises(DataError) as caught:
        prepare(path, **changes)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("lines", [[], [b""], [b"", b"  "]])
def test_an_empty_domain_is_an_error_with_its_name(write_lines, prepare, lines):
    assert "'law' is empty" in fails(prepare, write_lines("a.jsonl", lines), name="law")


def test_nothing_left_to_train_on_is_an_error(write_lines, chats, prepare):
    assert "none is left" in fails(prepare, write_lines("a.jsonl", chats(1)))
    assert "none is left" in fails(prepare, write_lines("b.jsonl", chats(1) * 10))
    assert "max_length=10" in fails(prepare, write_lines("c.jsonl", chats(10)), max_length=10)


def test_an_unknown_format_is_an_error_that_lists_the_known_ones(write_lines, chats, prepare):
    path = write_lines("a.jsonl", chats(5))
    assert "sharegpt" in fails(prepare, Domain("d", str(path), format="chatty"))


def test_a_row_of_another_format_further_down_is_an_error_with_its_line(write_lines, chats, prepare):
    path = write_lines("a.jsonl", [*chats(700), {"prompt": "a", "completion": "b"}])
    assert f"{path}, line 701: no 'messages'" in fails(prepare, path)


def test_after_an_error_nothing_is_left_in_the_cache(write_lines, chats, prepare, tmp_path):
    path = write_lines("a.jsonl", [*chats(700), b"{"])
    assert "line 701" in fails(prepare, path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_second_time_comes_from_the_cache(write_lines, chats, prepare, monkeypatch):
    path = write_lines("a.jsonl", chats(50))
    first = prepare(path)
    monkeypatch.setattr(prepare_module, "_tokenise", lambda *_: pytest.fail("tokenised again"))
    again = prepare(path)
    assert again.to_json() == first.to_json() and np.array_equal(again.train.ids, first.train.ids)
    # The content counts, not the file's or the domain's name.
    moved = prepare(shutil.copy(path, path.with_name("b.jsonl")), "other")
    assert moved.name == "other" and moved.train.fingerprint == first.train.fingerprint
    assert moved.sources[0]["path"].endswith("b.jsonl")


def test_whatever_changes_the_tokens_makes_a_new_entry(write_lines, chats, prepare, make_tokenizer, tmp_path):
    path = write_lines("a.jsonl", chats(50))
    prepare(path)
    prepare(path, max_length=511)
    prepare(path, validation_rows=6)
    other = make_tokenizer()
    other.chat_template = " " + other.chat_template
    prepare(path, tokenizer=ChatTokenizer(other, "other"))
    prepare(Domain("d", str(path), format="messages"))
    prepare(write_lines("a.jsonl", chats(51)))
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_an_entry_without_its_summary_is_made_again(write_lines, chats, prepare, tmp_path):
    path = write_lines("a.jsonl", chats(50))
    first = prepare(path)
    (entry,) = (tmp_path / "cache").iterdir()
    (entry / "summary.json").unlink()
    shutil.rmtree(entry / "validation")
    assert prepare(path).to_json() == first.to_json()
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [entry.name]


def test_an_entry_that_another_process_finished_meanwhile_is_left_alone(
    write_lines, chats, prepare, tmp_path, monkeypatch
):
    path = write_lines("a.jsonl", chats(50))
    tokenise, inodes = prepare_module._tokenise, []

    def overtaken(*args):
        monkeypatch.setattr(prepare_module, "_tokenise", tokenise)
        prepare(path)
        (entry,) = (p for p in (tmp_path / "cache").iterdir() if not p.name.startswith("."))
        inodes.append(entry.stat().st_ino)
        return tokenise(*args)

    monkeypatch.setattr(prepare_module, "_tokenise", overtaken)
    prepare(path)
    (entry,) = (tmp_path / "cache").iterdir()
    assert inodes == [entry.stat().st_ino]


def _prepare_in_a_process(arguments):
    path, cache, tokenizer = arguments
    domain = Domain("d", path)
    d = prepare_module.prepare_domain(domain, tokenizer, validation_rows=5, max_length=512, cache_dir=cache)
    return d.train.fingerprint, int(d.train.ids.sum())


def test_processes_that_prepare_the_same_domain_at_once_agree(write_lines, chats, unmarked, tmp_path):
    path = write_lines("a.jsonl", chats(300))
    with multiprocessing.get_context("fork").Pool(4) as pool:
        results = pool.map(_prepare_in_a_process, [(str(path), str(tmp_path / "cache"), unmarked)] * 8, chunksize=1)
    assert len(set(results)) == 1 and len(list((tmp_path / "cache").iterdir())) == 1


def test_rows_open_in_any_process_from_their_folder_alone(write_lines, chats, prepare):
    d = prepare(write_lines("a.jsonl", chats(50)))
    assert TokenRows.open(d.train.folder).fingerprint == d.train.fingerprint
    assert d.train.folder.name == "train" and d.validation.folder.name == "validation"


def hub(monkeypatch, loads):
    import datasets

    def load_dataset(path, subset, split, revision):
        loads.append(revision)
        return datasets.Dataset.from_list([{"prompt": f"q{i}", "completion": f"a{i}"} for i in range(20 + len(loads))])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


def test_a_dataset_at_a_commit_is_loaded_once(prepare, monkeypatch):
    loads = []
    hub(monkeypatch, loads)
    domain = Domain("d", "org/chats", revision="0123456789" * 4)
    d, again = prepare(domain), prepare(domain)
    assert len(loads) == 1 and again.to_json() == d.to_json()
    assert d.sources[0]["path"] == f"org/chats/:train@{domain.revision}" and d.sources[0]["rows"] == 21


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_a_dataset_whose_revision_can_move_is_hashed_by_its_rows(prepare, monkeypatch, revision):
    loads = []
    hub(monkeypatch, loads)
    domain = Domain("d", "org/chats", revision=revision)
    assert prepare(domain).sources[0]["sha256"] != prepare(domain).sources[0]["sha256"]


def test_the_example_is_the_rendered_row_in_parts(write_lines, chats, unmarked):
    parts = example(Domain("d", str(write_lines("a.jsonl", chats(3)))), unmarked)
    assert parts == [
        ("<bos><|start|>user\nquestion 0<|end|>\n<|start|>assistant\n", False),
        ("answer 0 <|end|>", True),
        ("\n", False),
    ]


def test_the_example_of_an_empty_domain_is_an_error(write_lines, unmarked):
    with pytest.raises(DataError, match="is empty"):
        example(Domain("d", str(write_lines("a.jsonl", []))), unmarked)


def test_a_disk_that_fills_up_meanwhile_is_said_with_its_place(write_lines, chats, prepare, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write does: without a path

    monkeypatch.setattr(prepare_module, "_tokenise", full)
    with pytest.raises(OSError) as caught:
        prepare(write_lines("a.jsonl", chats(20)))
    assert str(tmp_path) in str(caught.value.filename)


def test_reasoning_that_a_template_leaves_out_of_earlier_answers_is_counted(make_tokenizer, tmp_path):
    """Many templates write only the last answer's reasoning: what is not learnt of the others is said."""
    template = (
        "{% for m in messages %}<|start|>{{ m.role }}\n"
        "{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}"
        "{{ m.content.split('</think>')[-1] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    )

    def row(i):
        first = {"role": "assistant", "content": f"a {i}", "reasoning_content": f"since {i}"}
        second = {"role": "assistant", "content": f"<think>hm {i}</think>b {i}"}
        third = {"role": "assistant", "content": f"c {i}", "reasoning_content": f"thus {i}"}
        turns = [first, second, third]
        return {"messages": [t for turn in turns for t in ({"role": "user", "content": f"q {i}"}, turn)]}

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(20)))
    found = prepare_domain(
        Domain("d", str(path)),
        ChatTokenizer(make_tokenizer(template), "t"),
        validation_rows=4,
        max_length=1000,
        cache_dir=tmp_path / "cache",
    )
    assert found.unused == {"reasoning of earlier answers, which the template leaves out": 40}
