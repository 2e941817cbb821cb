"""What `check`, `status` and the report say of domains that share rows by construction."""

import json
import re

import pytest

from mixlaw.api.data_health import checks_of_study
from mixlaw.api.facts import study_facts
from mixlaw.api.project import Project


def chats(count, turn=str):
    return [
        {"messages": [{"role": r, "content": turn(f"shared {r} {i}")} for r in ("user", "assistant")]}
        for i in range(count)
    ]


@pytest.fixture
def leaky(mix_yaml):
    """`math` holds all of `chat`, in capital letters; both hold out 12 rows."""

    def write(**rows):
        for name, some in rows.items():
            lines = "".join(json.dumps(row) + "\n" for row in some)
            (mix_yaml.parent / "data" / f"{name}.jsonl").write_text(lines)
        text = re.sub(r"validation: .*", "validation: {rows: 12}", mix_yaml.read_text())
        mix_yaml.write_text(text)
        return mix_yaml

    return write


def test_check_tells_of_a_leak_and_what_domains_share(mixlaw, leaky):
    path = leaky(chat=chats(60), math=chats(300, str.upper))
    value = mixlaw("check", path, "--json").json
    left_out = value["domains"]["math"]["held_out_elsewhere"]
    assert set(left_out) == {"chat"} and 0 < left_out["chat"] <= 12
    shares = {"domains": ["chat", "math"], "conversations": 60}
    assert value["overlap"] == {"distinct": {"chat": 60, "math": 300}, "shared": [shares]}
    said = {check["name"]: check for check in value["checks"]}
    assert said["Held out elsewhere"]["status"] == "WARN" and said["Domains share conversations"]["status"] == "WARN"
    assert all(check["next_step"] for check in value["checks"] if check["status"] != "PASS")
    shown = mixlaw("check", path, "--verbose").stdout
    assert "Rows not trained on because another domain holds them out: " in shown
    assert f"{left_out['chat']} of math (chat)" in shown
    assert "Conversations of each domain that are also in another, %" in shown and "100" in shown
    tables = shown[shown.index("Rows read") :].splitlines()
    assert not [
        line
        for line in tables
        if len(line) > 80 and not line.startswith(("WARN", "FAIL", "     ", "rows", "cost", "next"))
    ]


def test_status_and_the_report_know_the_checks(mixlaw, leaky):
    path = leaky(chat=chats(60), math=chats(60))
    mixlaw("plan", path)
    value = mixlaw("status", path, "--json").json
    assert value["data_checks"][0]["status"] == "FAIL" and "chat and math" in value["data_checks"][0]["finding"]
    assert (
        "FAIL Domains share conversations: The same conversations under two names"
        in mixlaw("status", path, "--verbose").stdout
    )
    assert "FAIL Domains share conversations" in mixlaw("status", path).stdout
    project = Project.open(path)
    assert [check.name for check in checks_of_study(project.study)] == [c["name"] for c in value["data_checks"]]
    assert study_facts(project)["data_checks"] == value["data_checks"]


def test_near_copies_are_counted_once_and_then_known(mixlaw, leaky):
    path = leaky(chat=chats(60), math=chats(90))
    assert "looking for near copies" in mixlaw("check", path).stderr
    again = mixlaw("check", path)
    assert "looking for near copies" not in again.stderr and again.code == 0
    mixlaw("plan", path)
    names = {check["name"] for check in mixlaw("status", path, "--json").json["data_checks"]}
    assert {"Near copies", "Phrases known from training"} <= names


def test_check_and_status_judge_the_rows_that_are_evaluated(mixlaw, leaky):
    path = leaky(chat=chats(60), math=chats(90, str.upper))
    path.write_text(path.read_text().replace("train: {", "train: {eval_rows: 4, "))
    mixlaw("plan", path)
    for verb, key in (("check", "checks"), ("status", "data_checks")):
        found = mixlaw(verb, path, "--json").json[key]
        said = next(check for check in found if check["name"] == "Validation rows")
        assert said["finding"].startswith("Smallest: 4 rows") and said["next_step"].startswith("Raise train.eval_rows")


@pytest.mark.parametrize("peft", ["{r: 0}", "{rank: 8}", "{target_modules: [foo]}"])
def test_check_and_plan_refuse_an_adapter_that_cannot_be_trained(mixlaw, mix_yaml, peft):
    pytest.importorskip("peft")
    mix_yaml.write_text(mix_yaml.read_text().replace("train: {", f"train: {{peft: {peft}, "))
    for verb in ("check", "plan"):
        result = mixlaw(verb, mix_yaml)
        assert result.code == 1 and "peft" in result.stderr and not (mix_yaml.parent / "study" / "plan.json").exists()
