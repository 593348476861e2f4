"""Commands that speak to the running server: what they print, for people and programs, and their exit status."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.model.audit import Happened, Note
from bridge.model.intake import Seen
from bridge.model.plan import Change, Disruption, Field, Plan
from bridge.model.remediation import Decision, Entry
from bridge.model.target import ObjectRef
from tests.support.api_fakes import NOW, PRINT, Memory
from tests.support.api_server import serving


class Server:
    def __init__(self, memory: Memory, url: str) -> None:
        self.memory = memory
        self.url = url

    def __call__(self, *args: str, token: str = "op-token", **env: str) -> Result:
        return CliRunner(env={"ALERTBRIDGE_URL": self.url, "ALERTBRIDGE_TOKEN": token, **env}).invoke(main, args)

    def json(self, *args: str) -> Any:
        result = self(*args, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def run() -> Iterator[Server]:
    memory = Memory()
    with serving(memory) as url:
        yield Server(memory, url)


def test_list_is_a_table_for_people(run) -> None:
    result = run("list")
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["ID", "RUNBOOK", "TARGET", "ASKED", "BY", "MODE", "STATE", "OUTCOME", "REASON", "AGE"]
    assert [row.split()[0] for row in rows] == ["r2", "r1", "r0"]
    assert "default:deployment/o2ims-system/gateway" in rows[0]
    assert "\x1b" not in result.stdout


def test_list_is_the_apis_answer_for_programs(run) -> None:
    assert [item["id"] for item in run.json("list", "--state", "done")["remediations"]] == ["r0"]


def test_show_tells_the_plan_as_a_diff(run) -> None:
    change = Change(
        ref=ObjectRef("apps/v1", "Deployment", "o2ims-system", "gateway"),
        fields=(
            Field("/spec/template", {"image": "gw:2", "name": "gw"}, {"image": "gw:1", "name": "gw"}),
            Field("/status/unchanged", 1, 1, change=False),
        ),
        summary="undo to revision 1",
        disruption=Disruption(ready_pods=2, percent=66.7, nodes=1),
    )
    plan = msgspec.to_builtins(Plan(action="rollout_undo", summary="undo", changes=(change,)))
    run.memory.entries.insert(1, Entry(kind="planned", at=NOW + 1.25, text="undo", data={"step": 0, "plan": plan}))
    text = run("show", "r0").stdout
    assert "--- deployment/o2ims-system/gateway" in text
    assert "-    image: gw:2" in text
    assert "+    image: gw:1" in text
    assert "     name: gw" in text
    assert "unchanged" not in text
    assert "disrupts 2 ready pods (66.7 % of its workload) and 1 node; undo: exact" in text
    assert "1.2s  planned" in text
    assert run.json("show", "r0")["journal"][1]["data"]["plan"]["action"] == "rollout_undo"


def test_no_label_steers_the_terminal(run) -> None:
    run.memory.entries[0] = Entry(kind="started", at=NOW, text="\x1b[2Jgone\r\nforged line")
    text = run("show", "r0").stdout
    assert "\x1b" not in text
    assert "\\x1b[2Jgone\\r\\nforged line" in text


def test_follow_ends_with_the_run_and_its_outcome(run) -> None:
    result = run("show", "r0", "--follow")
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["started", "finished"]


def test_cancel_says_no_with_status_1(run) -> None:
    assert "r1 is cancelled" in run("cancel", "r1").stdout
    refused = run("cancel", "r2")
    assert refused.exit_code == 1
    assert "409" in refused.stderr


def test_people_answer_by_command(run) -> None:
    assert "r1: 1 of 2 agree" in run("approve", "r1", "--plan", "0123456789abcdef", "--why", "go on").stdout
    assert "r1 is denied" in run("deny", "r1").stdout
    first, second = run.memory.answered
    assert (first.agree, first.digest, first.why, second.agree) == (True, "0123456789abcdef", "go on", False)
    refused = run("undo", "r2")
    assert refused.exit_code == 1
    assert "only what is over can be undone" in refused.stderr


def test_what_does_not_exist_is_status_1(run) -> None:
    result = run("show", "../pause")
    assert result.exit_code == 1
    assert "404" in result.stderr


def test_trigger_takes_an_alert_or_a_runbook(run) -> None:
    assert run("trigger", "GatewayDown", "namespace=shop", "--why", "drill").exit_code == 0
    assert run("trigger", "netweave/all-pods-down", "namespace=shop").exit_code == 0
    first, second = run.memory.accepted
    assert (first.name, first.labels["namespace"], first.why) == ("GatewayDown", "shop", "drill")
    assert second.runbook == "netweave/all-pods-down"


def test_trigger_follow_stays_until_its_remediation_is_over(run, monkeypatch) -> None:
    async def explain(fingerprint: str) -> list[Decision]:
        (alert,) = run.memory.accepted
        return [Decision(at=NOW, reason="created", incident=alert.incident_id, remediation="r0")]

    monkeypatch.setattr(run.memory, "explain", explain)
    result = run("trigger", "GatewayDown", "--follow")
    assert result.exit_code == 0, result.output
    assert "finished" in result.stdout


def test_trigger_follow_says_why_there_is_no_remediation(run, monkeypatch) -> None:
    async def explain(fingerprint: str) -> list[Decision]:
        (alert,) = run.memory.accepted
        return [Decision(at=NOW, reason="no_route", detail="no route", incident=alert.incident_id)]

    monkeypatch.setattr(run.memory, "explain", explain)
    result = run("trigger", "Nothing", "--follow")
    assert result.exit_code == 1
    assert "no_route" in result.stderr


@pytest.mark.parametrize("label", ["namespace", "=x"])
def test_a_label_that_is_none_is_wrong_usage(run, label) -> None:
    assert run("trigger", "GatewayDown", label).exit_code == 2
    assert run.memory.accepted == []


@pytest.mark.usefixtures("quiet_log")
def test_a_plan_is_made_by_the_server_where_one_is_named(run) -> None:
    planned = run("plan", "shop/web", "namespace=books")
    assert planned.exit_code == 0, planned.output
    assert planned.stdout.startswith("shop/web for deployment/books/web")
    assert run.json("plan", "shop/web")["reason"] == "observe_only"
    assert "there is no runbook" in run("plan", "no/such").stderr
    assert "operator" in run("plan", "shop/web", token="view-token").stderr


def test_a_configuration_that_is_named_is_planned_with_here(run, tmp_path) -> None:
    config = str(tmp_path / "bridge.yml")
    assert "there is no such file" in run("plan", "shop/web", "-c", config).stderr
    assert run("plan", "shop/web", "-c", config, "--url", run.url).exit_code == 2


def test_pause_needs_a_reason_and_resume_ends_it(run) -> None:
    assert run("pause").exit_code == 2
    assert run("pause", "--why", "upgrade", "--for", "1h30m").exit_code == 0
    listed = run("pause", "--list").stdout
    assert "upgrade" in listed
    assert "olga" in listed
    assert run.json("pause", "--list")["pauses"][0]["until"] == "2023-11-14T23:43:20Z"
    assert "3 open incidents" in run("resume").stdout
    assert run("resume").exit_code == 1
    assert run("pause", "--list").stdout == "Nothing is paused.\n"


def test_guards_show_what_is_held_back(run) -> None:
    run("pause", "--why", "upgrade", "--scope", "namespace:shop")
    told = run("guards").stdout
    lines = [line.split() for line in told.splitlines()]
    assert "HALTED" not in told
    assert ["cluster:prod", "2/20", "0/1", "150/-", "1", "1"] in lines
    assert ["netweave/all-pods-down", "-", "stopped", *["the", "last", "5", "runs", "did", "not", "help"]] in [
        line[:-1] for line in lines
    ]
    assert "GatewayDown" in told
    assert "7 targets were to be disturbed in the last 10m, everything halts above 50." in lines_of(told)
    assert any(line[:4] == ["3", "budget", "budget_spent", "the"] for line in lines)
    assert "namespace:shop" in told
    assert run.json("guards")["stopped"][0]["runbook"] == "netweave/all-pods-down"
    assert run("guards", token="send-token").exit_code == 1


def lines_of(text: str) -> list[str]:
    return text.splitlines()


def test_explain_takes_a_fingerprint_or_labels(run) -> None:
    assert "nothing was done: no route of the routing table" in run("explain", PRINT).stdout
    assert run.json("explain", PRINT)["decisions"][0]["reason"] == "no_route"
    assert "nothing is kept" in run("explain", "alertname=Other").stderr


def test_without_the_right_credential_it_says_which_is_needed(run) -> None:
    nobody = run("list", token="")
    assert nobody.exit_code == 1
    assert "ALERTBRIDGE_TOKEN" in nobody.stderr
    viewer = run("pause", "--why", "x", token="view-token")
    assert viewer.exit_code == 1
    assert "operator" in viewer.stderr


def test_the_token_comes_from_a_file_too(run, tmp_path) -> None:
    (tmp_path / "token").write_text("op-token\n")
    assert run("list", "--token-file", str(tmp_path / "token"), token="wrong").exit_code == 0


def test_a_store_that_is_down_is_status_1(run) -> None:
    run.memory.down = True
    result = run("list")
    assert result.exit_code == 1
    assert "503" in result.stderr


def test_no_server_is_status_1_with_what_to_do() -> None:
    result = CliRunner().invoke(main, ["list", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "alertbridge serve" in result.stderr


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:9877", "http://", "http://[::1", "http://h:99999"])
def test_a_wrong_url_is_wrong_usage(url) -> None:
    assert CliRunner().invoke(main, ["list", "--url", url]).exit_code == 2


def test_a_known_alert_is_told_as_it_was_seen(run, monkeypatch) -> None:
    async def accept(alerts: Any) -> list[Seen]:
        return [Seen.DUPLICATE]

    monkeypatch.setattr(run.memory, "accept", accept)
    assert "duplicate" in run("trigger", "GatewayDown").stdout


def test_show_writes_the_evidence_into_a_file(run, tmp_path) -> None:
    result = run("show", "r0", "--evidence", str(tmp_path))
    assert result.exit_code == 0, result.output
    with tarfile.open(tmp_path / "alertbridge-r0.tar.gz") as archive:
        assert "alertbridge-r0/index.md" in archive.getnames()
    assert run.json("show", "r0", "--evidence", str(tmp_path / "x.tgz"))["file"] == str(tmp_path / "x.tgz")
    assert run("show", "r0", "--evidence", str(tmp_path / "no" / "x.tgz")).exit_code == 1
    assert run("show", "nothing", "--evidence", str(tmp_path)).exit_code == 1


def test_the_trail_is_printed_a_line_each_and_for_programs_as_json_lines(run) -> None:
    run.memory.notes.append(Happened(at=NOW, note=Note(what="pause", who="olga", why="upgrade", about="all")))
    (line,) = run("audit").stdout.splitlines()
    assert "olga" in line
    assert "upgrade" in line
    (record,) = [json.loads(each) for each in run("audit", "-o", "json").stdout.splitlines()]
    assert (record["kind"], record["who"], record["why"]) == ("pause", "olga", "upgrade")
    assert run("audit", "--since", "2023-11-14T22:13:21Z").stdout == ""
    assert run("audit", "--since", "1h").exit_code == 0
    assert run("audit", "--since", "yesterday").exit_code == 2


def test_a_report_is_markdown_for_people_and_json_for_programs(run) -> None:
    assert run("report", "r0").stdout.startswith("# Incident: ")
    assert run.json("report", "r0")["outcome"] == "succeeded"
    assert run("report", "none").exit_code == 1


def test_figures_are_told(run) -> None:
    told = run("stats").stdout
    assert told.startswith("3 remediations")
    assert "netweave/all-pods-down" in told
    assert run.json("stats")["stats"]["remediations"] == 3
