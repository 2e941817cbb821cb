"""The format of a source, seen past columns without values; and what is said where there is none."""

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import DataError
from mixlaw.data.detection import nearest, source_format
from mixlaw.data.prepare import conversations
from mixlaw.data.reading import Source

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
FULL = {"prompt": "a", "completion": "b"}


def write_parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    ("rows", "form"),
    [
        ([{"messages": None, **FULL, "n": 1}], "prompt_completion"),
        ([{"messages": [], **FULL}], "prompt_completion"),
        ([{"conversations": None, "messages": TURNS}], "messages"),
        ([{"messages": None, "conversations": None, "prompt": None, "instruction": "a", "output": "b"}], "alpaca"),
        ([{"prompt": "", "completion": "b"}], "prompt_completion"),
        ([{"messages": None, "prompt": None, "completion": None}, {"messages": None, **FULL}], "prompt_completion"),
    ],
)
def test_columns_without_values_do_not_tell_the_format(write_lines, tmp_path, rows, form):
    for path in (write_lines("a.jsonl", rows), write_parquet(tmp_path / "a.parquet", rows)):
        domain = Domain("d", str(path))
        assert source_format(domain, Source(domain)) == form


def test_empty_cells_beside_full_ones_do_not_break_a_row(tmp_path):
    (tmp_path / "a.csv").write_text("messages,instruction,input,system,output\n,a,,,b\n,c,d,,e\n")
    found = list(conversations(Domain("d", str(tmp_path / "a.csv"))))
    assert [form for _, _, form in found] == ["alpaca", "alpaca"]
    assert [turn["content"] for turn in found[1][1].messages] == ["c\n\nd", "e"]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"question": "a", "response": "b"}, {"prompt": "question", "completion": "response"}),
        ({"Question": "a", "Final Answer": "b", "n": 1}, {"prompt": "Question", "completion": "Final Answer"}),
        ({"input": "a", "output": "b"}, {"prompt": "input", "completion": "output"}),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "prompt", "completion": "chosen"}),
        (
            {"instruction": "a", "context": "c", "response": "b", "category": "d"},
            {"instruction": "instruction", "output": "response", "input": "context"},
        ),
        (
            {"system_prompt": "s", "question": "a", "response": "b"},
            {"instruction": "question", "output": "response", "system": "system_prompt"},
        ),
        ({"id": 1, "dialogue": TURNS}, {"messages": "dialogue"}),
        ({"rejected": TURNS, "chosen": TURNS}, {"messages": "chosen"}),
        ({"chat": [{"from": "human", "value": "a"}]}, {"conversations": "chat"}),
        ({"chat": '[{"role": "user", "content": "a"}]'}, {"messages": "chat"}),
        ({"instructions": "a", "outputs": "b"}, {"prompt": "instructions", "completion": "outputs"}),
        ({"text": "a"}, {}),
        ({"completion": "a"}, {}),
        ({"a": 1, "b": [1]}, {}),
    ],
)
def test_the_nearest_format_is_found(row, columns):
    assert nearest(row) == columns


def test_the_error_names_columns_and_remedy(write_lines):
    path = write_lines(
        "a.jsonl", [{"question": None, "my answer": "b", "n": 1, "x": [], "ok": True}, {"question": "a"}]
    )
    with pytest.raises(DataError) as caught:
        list(conversations(Domain("d", str(path))))
    assert caught.value.message == (
        f"{path}, line 1: no known format; the columns are 'question' (text), 'my answer' (text), 'n' (number), "
        "'x' (list), 'ok' (true or false)."
    )
    assert caught.value.hint == (
        'It looks like prompt + completion: write columns: {prompt: question, completion: "my answer"} in mix.yaml, or '
        "give init --columns prompt=question --columns 'completion=my answer'."
    )


@pytest.mark.parametrize(
    ("row", "columns", "fact"),
    [
        ({"text": "a"}, {}, "no answers to learn"),
        ({"train": [{"a": 1}], "test": [{"a": 1}]}, {}, "under 'train' and 'test': write them to files of their own"),
        ({"a": "b"}, {"messages": "chat"}, "(`columns` names messages: chat, which is not there)"),
        ({"messages": TURNS}, {"messages": "chat"}, "delete `columns`: without it the rows are read as messages"),
        ({"messages": None}, {}, "No column has a value"),
        ({}, {}, "the columns are none"),
    ],
)
def test_other_errors_say_what_is_there(write_lines, row, columns, fact):
    path = write_lines("a.jsonl", [row])
    with pytest.raises(DataError) as caught:
        list(conversations(Domain("d", str(path), columns=columns)))
    assert fact in str(caught.value)
