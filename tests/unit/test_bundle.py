"""The archive of a remediation: readable, the same for the same record, and harmless to whoever opens it."""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.api.bundle import MOST_ENTRIES, bundle
from bridge.model.plan import Change, Field, Plan
from bridge.model.remediation import Entry, Outcome, RemediationView, State
from bridge.model.target import ObjectRef
from tests.support.api_fakes import NOW, view

SECRET = "hunter2hunter2"
TEMPLATE = [{"name": "web", "image": "web:1", "env": [{"name": "DB_PASSWORD", "value": SECRET}]}]


def plan() -> dict[str, Any]:
    change = Change(
        ref=ObjectRef("apps/v1", "Deployment", "shop", "web", "u1"),
        fields=(
            Field("/spec/replicas", 1, 3),
            Field("/spec/template/spec/containers", TEMPLATE, [{**TEMPLATE[0], "image": "web:2"}]),
        ),
        summary="web gets its older image",
    )
    made = Plan(action="rollout_undo", summary="back to revision 2", changes=(change,))
    found: dict[str, Any] = msgspec.to_builtins(made)
    return found


def finished() -> RemediationView:
    found = view(
        "r7", State.DONE, outcome=Outcome.FAILED, reason="not_fixed", detail="still down", finished_at=NOW + 90
    )
    book = {"name": "netweave/all-pods-down", "summary": "s", "scenarios": [{"name": "bad version"}]}
    made = msgspec.structs.replace(
        found.remediation, runbook_doc=book, labels={"alertname": "Down", "x": "<b>|`[a](javascript:1)\n# no"}
    )
    return msgspec.structs.replace(found, remediation=made, escalated=True, detail="still down")


LOGS = {
    "previous": True,
    "text": "panic",
    "items": [
        {"pod": "web-1", "container": "main", "text": f"password={SECRET}\npanic", "lines": 2, "error": ""},
        {"pod": "../../etc/passwd", "container": "x", "text": "sneaky", "lines": 1, "error": ""},
    ],
}
KEPT = {
    "at": NOW + 60,
    "evidence": {"pods": {"total": 3, "ready": 0, "items": []}},
    "missing": {},
    "first": {
        "at": NOW + 1,
        "evidence": {"pods": {"total": 3, "ready": 0, "crashlooping": 3, "items": []}, "logs": LOGS},
        "missing": {"top": "metrics-server does not answer here"},
        "cut": {"logs.text": "99999 characters, of which the last 512 are kept"},
    },
    "proof": {"at": NOW + 80, "evidence": {"health": {"status": 503, "ok": False}}, "missing": {}},
}
ENTRIES = [
    Entry(kind="started", at=NOW, text="taken up"),
    Entry(kind="planned", at=NOW + 2, text="back to revision 2", data={"plan": plan()}),
    Entry(kind="finished", at=NOW + 90, reason="not_fixed", text=f"token={SECRET}"),
]


def opened(blob: bytes) -> dict[str, str]:
    """The files of an archive, the folder around them left out."""
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
        found = {}
        for member in archive.getmembers():
            assert member.isfile()
            folder, _, name = member.name.partition("/")
            assert folder.startswith("alertbridge-")
            file = archive.extractfile(member)
            assert file is not None
            found[name] = file.read().decode()
        return found


def test_everything_that_is_known_is_in_it_in_files_that_a_person_finds() -> None:
    files = opened(bundle(finished(), ENTRIES, KEPT))
    assert set(files) == {
        "index.md",
        "remediation.json",
        "runbook.yml",
        "journal.json",
        "plans/01-rollout_undo.diff",
        "evidence/pods.json",
        "evidence-before-the-first-write/pods.json",
        "evidence-before-the-first-write/logs.json",
        "evidence-before-the-first-write/logs/web-1-main.log",
        "evidence-before-the-first-write/logs/etc-passwd-x.log",
        "evidence-of-the-proof/health.json",
    }
    assert json.loads(files["evidence-of-the-proof/health.json"])["status"] == 503
    assert "panic" in files["evidence-before-the-first-write/logs/web-1-main.log"]
    assert "name: bad version" in files["runbook.yml"]
    diff = files["plans/01-rollout_undo.diff"].splitlines()
    assert "--- deployment/shop/web" in diff
    assert {"-  replicas: 1", "+  replicas: 3"} <= set(diff)
    assert [entry["kind"] for entry in json.loads(files["journal.json"])] == ["started", "planned", "finished"]


def test_the_index_says_what_was_gathered_what_is_missing_and_why_and_what_happened() -> None:
    index = opened(bundle(finished(), ENTRIES, KEPT))["index.md"]
    assert index.startswith("# r7: netweave/all-pods-down")
    assert "failed, escalated" in index
    assert "crashlooping 3" in index
    assert "top: metrics-server does not answer here" in index
    assert "logs.text: 99999 characters" in index
    assert "still down" in index
    before, proof = index.index("before the first write"), index.index("the proof saw")
    assert before < proof < index.index("What happened")
    for name in ("journal.json", "plans/01-rollout_undo.diff"):
        assert f"]({name})" in index


def test_the_index_reads_as_plain_text_as_well() -> None:
    """Conditions and names are not littered with backslashes."""
    text = "bad: evidence.rollout.age_seconds > 3 && !evidence.rollout.went_back"
    index = opened(bundle(finished(), [Entry(kind="scenario", text=text, at=9.0)], KEPT))["index.md"]
    assert text in index


def test_no_credential_is_in_it() -> None:
    blob = bundle(finished(), ENTRIES, KEPT)
    assert SECRET not in "".join(opened(blob).values())


def test_a_label_is_text_in_the_index_and_nothing_more() -> None:
    files = opened(bundle(finished(), ENTRIES, KEPT))
    index = files["index.md"]
    assert not re.search(r"(?<!\\)<b>", index)
    assert set(re.findall(r"(?<!\\)\]\(([^)]*)\)", index)) == files.keys() - {"index.md"}
    assert "\n# no" not in index


def test_the_same_record_gives_the_same_bytes() -> None:
    assert bundle(finished(), ENTRIES, KEPT) == bundle(finished(), list(ENTRIES), dict(KEPT))


def test_a_run_of_which_no_evidence_is_kept_still_tells_what_happened() -> None:
    files = opened(bundle(view("r1"), [], {}))
    assert "No evidence is kept" in files["index.md"]
    assert json.loads(files["journal.json"]) == []


def test_an_endless_journal_is_bounded_and_says_so() -> None:
    entries = [Entry(kind="round", at=NOW, text=str(number)) for number in range(MOST_ENTRIES + 500)]
    files = opened(bundle(finished(), entries, {}))
    told = json.loads(files["journal.json"])
    assert len(told) == MOST_ENTRIES
    assert (told[0]["text"], told[-1]["text"]) == ("0", str(MOST_ENTRIES + 499))
    assert "500 entries" in files["index.md"]


@pytest.mark.parametrize("kept", [{"evidence": None}, {"first": 3, "evidence": {"a": [1, "x"]}, "missing": {"b": 7}}])
def test_what_an_older_version_kept_is_read_all_the_same(kept: dict[str, Any]) -> None:
    assert "index.md" in opened(bundle(finished(), ENTRIES, kept))


NAMES = st.text(max_size=40)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, NAMES | st.integers() | st.none(), max_size=3), max_size=5))
def test_no_name_leads_out_of_the_archives_folder(evidence: dict[str, Any]) -> None:
    logs = {"items": [{"pod": name, "container": name, "text": "x"} for name in evidence], "text": ""}
    blob = bundle(
        finished(), [], {"evidence": {**evidence, "logs ": logs}, "missing": {name: name for name in evidence}}
    )
    for name in opened(blob):
        assert ".." not in name.split("/")
        assert not name.startswith("/")
        assert name.isascii()
        assert all(len(part) < 100 for part in name.split("/"))
