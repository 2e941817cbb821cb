"""What is too much is one error that names the place, the limit and how to raise it; nothing is read without end."""

import copy
import gzip
import json
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mixlaw.core.domain import Domain
from mixlaw.core.errors import ConfigError, DataError
from mixlaw.core.limits import LIMITS, limit, variable
from mixlaw.data import streams
from mixlaw.data.chat import ChatTokenizer, load_tokenizer
from mixlaw.data.conversations import Conversation
from mixlaw.data.prepare import prepare_domain
from mixlaw.data.reading import read_rows
from mixlaw.data.template_probe import require_harmless, template_time

LONG = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b" * 5000}]}
SHORT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_raised_by_its_variable_and_a_value_that_cannot_be_is_one_error(name, monkeypatch):
    assert limit(name) == LIMITS[name].default
    monkeypatch.setenv(variable(name), "7")
    assert limit(name) == 7
    for text in ("0", "-1", "x", "", "1e9", "9" * 30):
        monkeypatch.setenv(variable(name), text)
        with pytest.raises(ConfigError, match=f"{variable(name)} is .* whole number from 1"):
            limit(name)


def test_the_documentation_has_every_limit_with_its_value():
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in page.splitlines() if "MIXLAW_MAX_" in line]
    assert rows == [[variable(name), f"{found.default:,}", found.what] for name, found in LIMITS.items()]


def write(path, rows):
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.table({"messages": [row["messages"] for row in rows]}), path)
    elif path.suffix == ".csv":
        cells = [row["messages"][1]["content"] for row in rows]
        path.write_text("instruction,output\n" + "".join(f'"{cell}",x\n' for cell in cells))
    elif path.name == "array.json":
        path.write_text(json.dumps(rows))
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "array.json", "a.csv", "a.parquet"])
def test_a_row_beyond_the_limit_is_named_in_every_format(name, tmp_path, monkeypatch):
    path = write(tmp_path / name, [SHORT, LONG, SHORT])
    assert len(list(read_rows(Domain("d", str(path)), None))) == 3
    monkeypatch.setenv("MIXLAW_MAX_ROW_BYTES", "2000")
    with pytest.raises(DataError, match=rf"{path.name}, (line|element|row) \d.*: longer than 2,000 bytes") as caught:
        list(read_rows(Domain("d", str(path)), None))
    assert "MIXLAW_MAX_ROW_BYTES" in caught.value.hint


READ = (
    "import resource, sys\nfrom pathlib import Path\nfrom mixlaw.core.domain import Domain\n"
    "from mixlaw.core.errors import DataError\nfrom mixlaw.data.reading import read_rows\n"
    "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "try:\n    list(read_rows(Domain('d', sys.argv[1]), None))\n"
    "except DataError as error:\n    assert 'longer than' in str(error), error\n"
    "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
)


def test_a_row_of_100_megabytes_in_a_small_file_takes_no_gigabytes(tmp_path):
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"text": "')
        for _ in range(100):
            file.write(bytes(1 << 20).replace(b"\0", b"a"))
        file.write(b'"}\n')
    assert path.stat().st_size < 1 << 20
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400_000  # kB


def test_a_small_compressed_file_that_holds_too_much_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl.gz", [SHORT] * 20_000)
    assert len(list(read_rows(Domain("d", str(path)), None))) == 20_000
    monkeypatch.setattr(streams, "_SMALL_BYTES", 1000)
    monkeypatch.setenv("MIXLAW_MAX_EXPANSION", "5")
    with pytest.raises(DataError, match=r"compressed bytes hold more than .* bytes of text") as caught:
        list(read_rows(Domain("d", str(path)), None))
    assert "MIXLAW_MAX_EXPANSION" in caught.value.hint


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "takes more than 1 s"),
        ("{{ 'a' * 10000000000 }}", "bytes of memory"),
        ("{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}", "characters of a conversation of two turns"),
    ],
)
def test_a_template_that_loops_or_multiplies_is_refused_before_it_runs_here(template, said, monkeypatch):
    monkeypatch.setenv("MIXLAW_MAX_TEMPLATE_SECONDS", "1")
    with pytest.raises(DataError, match=said) as caught:
        require_harmless(template, "model")
    assert "MIXLAW_MAX_TEMPLATE" in caught.value.hint


def test_the_bundled_template_is_harmless_and_a_broken_one_is_for_others_to_name(tokenizer):
    require_harmless(tokenizer.template.text, "model")
    require_harmless("{% if %}", "model")
    require_harmless("{{ raise_exception('no') }}{% generation %}a{% endgeneration %}", "model")


def with_template(tokenizer, text):
    other = copy.deepcopy(tokenizer.tokenizer)
    other.chat_template = text
    return ChatTokenizer(other, "model")


TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def test_a_row_for_which_the_template_takes_too_long_is_named(tokenizer, tmp_path, monkeypatch):
    slow = (
        "{% if 'slow' in messages[0]['content'] %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
        "{% endfor %}{% endif %}"
    )
    rows = [{"messages": [{"role": "user", "content": text}, *SHORT["messages"][1:]]} for text in ("a", "slow", "b")]
    path = write(tmp_path / "a.jsonl", rows)
    monkeypatch.setenv("MIXLAW_MAX_TEMPLATE_SECONDS", "1")
    began = time.monotonic()
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the chat template of 'model' takes more than 1 s"):
        prepare_domain(
            Domain("d", str(path)),
            with_template(tokenizer, slow + TURNS),
            validation_rows=1,
            max_length=64,
            cache_dir=tmp_path / "cache",
        )
    assert time.monotonic() - began < 30


def test_a_row_of_which_the_template_writes_too_much_is_named(tokenizer, monkeypatch):
    chat = with_template(tokenizer, TURNS)
    monkeypatch.setenv("MIXLAW_MAX_TEMPLATE_CHARACTERS", "1000")
    with pytest.raises(DataError, match=r"place 3: the chat template of 'model' writes 5,\d+ characters"):
        chat.render_together([(Conversation.of(LONG["messages"]), "place 3")])


def test_the_time_has_no_end_outside_of_the_main_thread_and_leaves_no_timer():
    found = []

    def elsewhere():
        with template_time("model") as begin:
            begin("row 1")
            found.append(signal.getitimer(signal.ITIMER_VIRTUAL))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with template_time("model") as begin:
        begin("row 1")
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0
    assert found == [(0.0, 0.0)] and signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def greedy():
    return len(bytearray(3 << 30))


def test_a_process_that_reads_data_has_an_end_of_memory(monkeypatch):
    from mixlaw.data.pool import run_tasks

    monkeypatch.setenv("MIXLAW_MAX_WORKER_BYTES", str(2 << 30))
    with pytest.raises(DataError, match="needs more than 2,147,483,648 bytes of memory"):
        run_tasks([(greedy, ()), (resource.getpagesize, ())], 2)


def test_a_damaged_file_of_weights_is_named_by_its_path(tmp_path):
    from mixlaw.train.causal_lm import CausalLM
    from mixlaw.train.settings import ModelSettings
    from tiny_training import SETTINGS, save_tiny_llama

    save_tiny_llama(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match=r"model/model\.safetensors is no readable safetensors file"):
        CausalLM(ModelSettings(str(tmp_path / "model")), SETTINGS, "cpu")


def test_a_template_that_multiplies_is_refused_when_its_tokenizer_is_loaded(tokenizer, tmp_path):
    other = copy.deepcopy(tokenizer.tokenizer)
    other.chat_template = "{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}"
    other.save_pretrained(tmp_path / "model")
    with pytest.raises(DataError, match="characters of a conversation of two turns"):
        load_tokenizer(str(tmp_path / "model"))
