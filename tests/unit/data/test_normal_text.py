import hashlib
import json

import numpy as np
import pytest

from mixlaw.data.conversations import Conversation, as_json
from mixlaw.data.normal_text import content_hashes


def chat(question, answer, *first):
    return [*first, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def system(text, role="system"):
    return {"role": role, "content": text}


def hashes(*conversations):
    return content_hashes([json.dumps(c, ensure_ascii=False).encode() for c in conversations]).tolist()


BASE = chat("What is 2 + 2?", 'It is "four": C:\\new.')

SAME = {
    "case": chat("WHAT is 2 + 2?", 'it is "FOUR": c:\\NEW.'),
    "white space": chat(" What\tis 2\r\n+ 2?\n\n", 'It is\u00a0"four":\u3000C:\\new.\x0b\x0c\u2028\x1c'),
    "no white space": chat("Whatis2+2?", 'Itis"four":C:\\new.'),
    "a system prompt": chat(*(m["content"] for m in BASE), system('Be "brief", }, { \\ ')),
    "a developer's prompt": chat(*(m["content"] for m in BASE), system("Être bref.", "developer")),
    "the row's tools and weights": {"messages": [m | {"weight": 0} for m in BASE], "tools": [{"name": "f"}]},
}
OTHER = {
    "another word": chat("What is 2 + 3?", 'It is "four": C:\\new.'),
    "punctuation": chat("What is 2 + 2", 'It is "four": C:\\new.'),
    "an accent": chat("Whát is 2 + 2?", 'It is "four": C:\\new.'),
    "a line end in place of a backslash and an n": chat("What is 2 + 2?", 'It is "four": C:\new.'),
    "another role": [*BASE[:-1], {"role": "tool", "content": BASE[-1]["content"]}],
    "one more turn": [*BASE, *BASE],
    "text that names a role": chat('"role": "system"', 'It is "four": C:\\new.'),
    "a call": [*BASE[:-1], BASE[-1] | {"tool_calls": [{"name": "f"}]}],
}


@pytest.mark.parametrize("name", SAME)
def test_conversations_are_the_same_whatever_their(name):
    a, b = hashes(BASE, SAME[name])
    assert a == b == hashes(SAME[name])[0]


def test_conversations_differ_in_all_else():
    found = hashes(BASE, *OTHER.values())
    assert len(set(found)) == len(found)


def test_letters_written_in_parts_and_beyond_ascii_have_one_case():
    a, b, c = hashes(chat("École Straße", "x"), chat("E\u0301COLE STRASSE", "X"), chat("ECOLE STRASSE", "x"))
    assert a == b != c


def test_a_hash_does_not_depend_on_the_conversations_beside_it():
    conversations = [BASE, *(c for c in SAME.values() if isinstance(c, list)), *OTHER.values(), chat("Ünï", "cödé")]
    together = hashes(*conversations)
    assert together == [hashes(c)[0] for c in conversations]


def test_the_hash_is_that_of_the_documented_form():
    text = as_json([Conversation(chat("A b\n", "C"))])
    form = b'[{"role":"user","content":"ab"},{"role":"assistant","content":"c"}]'
    assert content_hashes(text)[0] == int.from_bytes(hashlib.sha256(form).digest()[:8], "big")
    assert content_hashes([]).dtype == np.uint64 and len(content_hashes([])) == 0


def test_ids_of_calls_do_not_count_and_calls_do():
    def called(name, call, answers):
        turn = {"role": "assistant", "content": "", "tool_calls": [{"id": call, "function": {"name": name}}]}
        result = {"role": "tool", "content": "3", "tool_call_id": answers}
        return {"messages": [BASE[0], turn, result, BASE[1]]}

    a, b, c = hashes(called("f", "1", "1"), called("f", "call_9x", "call_9x"), called("g", "1", "1"))
    assert a == b != c
