"""What the actions on peers plan, refuse and believe. The peers answer as a test tells them; real ones: contract."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bridge.actions.calls import shown
from bridge.actions.http_call import refuse_odd_paths
from bridge.actions.registry import actions
from bridge.engine.context import RunContext
from bridge.errors import (
    InvalidInput,
    OutcomeUnknown,
    PermanentError,
    PlanError,
    PlanStale,
    TargetReplaced,
    TemporaryError,
    Unreachable,
)
from bridge.model.outside import ExecReply, HttpReply, HttpRequest, Message
from bridge.model.plan import Plan, Repeat, Undo
from bridge.model.target import Target
from bridge.model.verification import Answer, Verification
from bridge.outside.options import Channel, CommandPeer, HttpSecret, OutsideSettings, RedisPeer, SqlPeer
from bridge.outside.reach import Outside, Reach
from tests.support.acting import pod, web
from tests.support.clock import START, FakeClock
from tests.support.fake_cluster import FakeCluster

URL = "http://search:9200/admin/rebuild-index"
SETTINGS = OutsideSettings(
    allowed=("http://search:9200", "http://status:80"),
    http_secrets={"token": HttpSecret(value="Bearer s3cret")},
    sql={"db": SqlPeer(host="db")},
    redis={"cache": RedisPeer(sentinels=("s:26379",))},
    commands={"flush": CommandPeer(run=("/bin/flush",), arguments=("[a-z]+",))},
    exec_allow=(("redis-cli", "INFO", "..."), ("kill", "-USR1", "1")),
    channels={"on-call": Channel(url="json://localhost")},
)


class Peers(Reach):
    """Checks as the real ones do, and answers what it is told. `sent` is what was asked."""

    def __init__(self, cluster: FakeCluster | None = None) -> None:
        super().__init__(cluster or FakeCluster(), FakeClock(), Outside(SETTINGS))
        self.sent: list[Any] = []
        self.reply: HttpReply | Exception = HttpReply(200, "{}")
        self.samples: list[float] = []
        self.answers: dict[str, Any] = {}
        self.broken: Exception | None = None

    async def http(self, request: HttpRequest) -> HttpReply:
        self.sent.append(request)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def promql(self, query: str) -> Any:
        return [({}, value) for value in self.samples]

    async def redis(self, connection: str, command: Any, *, address: str = "") -> Any:
        self.sent.append(list(command))
        found = self.answers[" ".join(command[:2])]
        return found() if callable(found) else found

    async def notify(self, channel: str, message: Message) -> None:
        self.sent.append(message)
        if self.broken is not None:
            raise self.broken


def context(reach: Peers, kind: str = "Deployment", name: str = "web", **more: Any) -> RunContext:
    return RunContext(
        remediation="rem-1", planned_at=START, target=Target("test", kind, "shop", name), reach=reach, **more
    )


async def plan(action: str, reach: Peers, **params: Any) -> Plan:
    one = actions()[action]
    return await one.plan(context(reach), one.params.model_validate(params))


async def perform(action: str, reach: Peers, **params: Any) -> dict[str, Any]:
    planned = await plan(action, reach, **params)
    return await actions()[action].perform(context(reach), planned.changes[0])


async def verify(action: str, reach: Peers, *results: dict[str, Any], **params: Any) -> Verification:
    one = actions()[action]
    typed = one.params.model_validate(params)
    planned = await one.plan(context(reach), typed)
    return await one.verify(context(reach, results=results), planned, typed)


# -- SQL


STATEMENT = {"connection": "db", "statement": "UPDATE t SET n = $1", "arguments": [1]}


async def test_a_statement_is_fixed_text() -> None:
    """Fault 43."""
    for params in (
        {**STATEMENT, "statement": "UPDATE t SET n = ${labels.n}"},
        {**STATEMENT, "undo_statement": "DELETE FROM ${params.table}"},
    ):
        with pytest.raises(ValidationError, match="fixed text"):
            actions()["sql"].params.model_validate(params)


async def test_a_statement_is_repeated_only_where_its_author_vouches_for_it() -> None:
    assert (await plan("sql", Peers(), **STATEMENT)).repeat is Repeat.NEVER
    assert (await plan("sql", Peers(), **STATEMENT, repeat="safe")).repeat is Repeat.SAFE


async def test_a_statement_with_an_undo_makes_up_for_itself() -> None:
    alone = await plan("sql", Peers(), **STATEMENT)
    assert (alone.undo, alone.undo_failed, alone.inverses) == (Undo.NONE, False, ())
    both = await plan("sql", Peers(), **STATEMENT, undo_statement="UPDATE t SET n = $1", undo_arguments=[0])
    assert (both.undo, both.undo_failed) == (Undo.COMPENSATING, True)
    assert both.inverses[0].call["arguments"] == [0]


@pytest.mark.parametrize(
    ("wanted", "count", "answer"),
    [
        ({}, 0, Answer.FIXED),
        ({"expect_rows": 3}, 3, Answer.FIXED),
        ({"expect_rows": 3}, 2, Answer.NOT_FIXED),
        ({"at_least_rows": 1}, 5, Answer.FIXED),
        ({"at_least_rows": 1}, 0, Answer.NOT_FIXED),
    ],
)
async def test_a_statement_has_to_meet_as_many_rows_as_it_says(
    wanted: dict[str, int], count: int, answer: Answer
) -> None:
    result = {"row_count": count, "status": f"UPDATE {count}"}
    assert (await verify("sql", Peers(), result, **STATEMENT, **wanted)).answer is answer


async def test_a_result_that_is_not_known_is_no_success() -> None:
    for action, params in (
        ("sql", STATEMENT),
        ("http_call", {"url": URL}),
        ("command", {"command": "flush", "arguments": ["a"]}),
    ):
        assert (await verify(action, Peers(), **params)).answer is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("action", "params", "setting"),
    [
        ("sql", {"connection": "other", "statement": "SELECT 1"}, "`sql`"),
        ("sentinel_failover", {"connection": "other"}, "`redis_peers`"),
        ("http_call", {"url": "http://other/"}, "`http.hosts`"),
        ("http_call", {"url": URL, "secret_headers": {"A": "other"}}, "`http.secrets`"),
        ("http_check", {"url": "http://other/"}, "`http.hosts`"),
        ("status_page", {"url": "http://other/", "title": "x"}, "`http.hosts`"),
        ("command", {"command": "other"}, "`commands`"),
        ("command", {"command": "flush", "arguments": [";rm -rf"]}, "`commands.flush.arguments`"),
        ("notify", {"channel": "other", "title": "x"}, "`notify.channels`"),
        ("exec", {"command": ["rm", "-rf", "/"]}, "`exec.allow`"),
        ("exec", {"command": ["sh", "-c", "redis-cli INFO"]}, "`exec.allow`"),
        ("exec", {"command": ["redis-cli", "INFO"], "undo": ["sh"]}, "`exec.allow`"),
    ],
)
async def test_what_the_settings_do_not_allow_is_not_planned_and_the_setting_is_named(
    action: str, params: dict[str, Any], setting: str
) -> None:
    """Faults 43, 45."""
    with pytest.raises((InvalidInput, PermanentError)) as caught:
        await plan(action, Peers(FakeCluster(web(), pod("web-a"))), **params)
    assert setting in str(caught.value)


# -- HTTP


async def test_a_request_is_marked_with_the_remediation_and_with_itself() -> None:
    reach = Peers()
    await perform("http_call", reach, url=URL)
    await perform("http_call", reach, url=URL)
    await perform("http_call", reach, url=URL, json={"index": "b"})
    keys = [request.headers["Idempotency-Key"] for request in reach.sent]
    assert keys[0] == keys[1] != keys[2]
    assert all(key.startswith("rem-1-") for key in keys)


@pytest.mark.parametrize("part", ["..", "%2e%2E", "%252e%252e", "..;x=1", "%2e%2e%3bx", "a%2fb", "a%252fb", "a%5cb"])
def test_a_value_from_an_alert_leads_to_no_other_path(part: str) -> None:
    """Faults 41 and 46."""
    with pytest.raises(InvalidInput, match="another place"):
        refuse_odd_paths(f"http://search:9200/indices/{part}/rebuild")


@pytest.mark.parametrize("part", ["a.b", "...", "orders;v=2", "100%25", "a%20b", "caf%C3%A9"])
def test_a_plain_path_is_let_through(part: str) -> None:
    refuse_odd_paths(f"http://search:9200/indices/{part}/rebuild")


def test_what_is_said_of_an_answer_or_a_statement_holds_no_credentials() -> None:
    """Summaries and refusals are logged and sent to people."""
    for text in ("ALTER ROLE app PASSWORD 'hunter2'", "http://h/x?token=hunter2", "login failed: password=hunter2"):
        assert "hunter2" not in shown(text)
    assert shown("SELECT 1\n  FROM t") == "SELECT 1 FROM t"


async def test_secrets_are_named_and_never_planned() -> None:
    planned = await plan("http_call", Peers(), url=URL, secret_headers={"Authorization": "token"})
    assert "s3cret" not in msgspec.json.encode(planned).decode()
    assert planned.changes[0].call["secret_headers"] == {"Authorization": "token"}


@pytest.mark.parametrize(
    ("method", "declared", "repeat"),
    [
        ("GET", None, Repeat.SAFE),
        ("PUT", None, Repeat.SAFE),
        ("DELETE", None, Repeat.SAFE),
        ("DELETE", "never", Repeat.NEVER),
        ("PATCH", None, Repeat.NEVER),
        ("PATCH", "safe", Repeat.SAFE),
        ("POST", None, Repeat.NEVER),
        ("POST", "never", Repeat.NEVER),
    ],
)
async def test_only_what_is_idempotent_is_repeated(method: str, declared: str | None, repeat: Repeat) -> None:
    """Fault 4."""
    assert (await plan("http_call", Peers(), url=URL, method=method, repeat=declared)).repeat is repeat


def test_a_post_is_never_called_safe() -> None:
    """Fault 4."""
    with pytest.raises(ValidationError, match="not safe to repeat"):
        actions()["http_call"].params.model_validate({"url": URL, "method": "POST", "repeat": "safe"})


@pytest.mark.parametrize(
    "path", ["/../admin", "/a/..", "/%2e%2e/x", "/a%2fb", "/.", "/a%2F..%2Fb", "/x#y", "/a/%2E%2e/b"]
)
async def test_a_value_cannot_lead_an_address_elsewhere(path: str) -> None:
    """Fault 41: `.`, `..` and hidden slashes in what a template put into an address."""
    for action in ("http_call", "http_check"):
        with pytest.raises(InvalidInput, match="another place"):
            await plan(action, Peers(), url=f"http://search:9200{path}")


@pytest.mark.parametrize(
    ("method", "status", "error"),
    [
        ("POST", 500, OutcomeUnknown),
        ("POST", 503, OutcomeUnknown),
        ("POST", 429, TemporaryError),
        ("PUT", 503, TemporaryError),
        ("GET", 502, TemporaryError),
    ],
)
async def test_a_server_that_fails_is_waited_for_or_leaves_the_outcome_unknown(
    method: str, status: int, error: type[Exception]
) -> None:
    reach = Peers()
    reach.reply = HttpReply(status, "busy")
    with pytest.raises(error):
        await perform("http_call", reach, url=URL, method=method)


async def test_an_answer_has_to_be_as_it_was_expected() -> None:
    good = {"status": 200, "body": '{"state": "green"}'}
    assert (await verify("http_call", Peers(), good, url=URL, expect_body="green")).answer is Answer.FIXED
    assert (await verify("http_call", Peers(), good, url=URL, expect_body="red")).answer is Answer.NOT_FIXED
    assert (await verify("http_call", Peers(), {"status": 404, "body": ""}, url=URL)).answer is Answer.NOT_FIXED


async def test_an_undo_that_is_refused_is_told() -> None:
    reach = Peers()
    planned = await plan(
        "http_call", reach, url=URL, method="PUT", body="on", undo={"method": "DELETE", "url": f"{URL}/x"}
    )
    reach.reply = HttpReply(404, "no such flag")
    with pytest.raises(PermanentError, match="no such flag"):
        await actions()["http_call"].perform(context(reach), planned.inverses[0])


# -- status page


PAGE = "http://status/api/incidents"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"id": "i-7"}', "i-7"),
        ('{"id": 7}', "7"),
        ('{"incident": {"id": "i-7"}}', "i-7"),
        ('{"data": {"uuid": "i-7"}}', "i-7"),
        ("[]", ""),
        ("ok", ""),
        ('{"id": {"x": 1}}', ""),
    ],
)
async def test_the_id_of_a_new_incident_is_kept(body: str, found: str) -> None:
    reach = Peers()
    reach.reply = HttpReply(201, body)
    result = await perform("status_page", reach, url=PAGE, title="API issues", message="We are looking into it.")
    assert result["id"] == found
    sent: HttpRequest = reach.sent[0]
    assert (sent.method, sent.url) == ("POST", PAGE)
    wanted = {"name": "API issues", "status": "investigating", "message": "We are looking into it."}
    assert json.loads(sent.body or "") == wanted


async def test_an_incident_is_brought_up_to_date_by_its_id() -> None:
    reach = Peers()
    result = await perform("status_page", reach, url=f"{PAGE}/", id="i-7", status="resolved", message="Done.")
    assert (reach.sent[0].method, reach.sent[0].url) == ("PATCH", f"{PAGE}/i-7")
    assert result["id"] == "i-7"


@pytest.mark.parametrize("wrong", ["../x", "a/b", "", "..", "x?y", "x y"])
async def test_an_id_is_one_part_of_the_address(wrong: str) -> None:
    """Fault 41."""
    with pytest.raises(InvalidInput):
        await plan("status_page", Peers(), url=PAGE, id=wrong)


# -- containers


async def test_a_command_runs_in_the_first_ready_pod_which_is_pinned() -> None:
    pods = [pod("web-b"), pod("web-a", ready=False), pod("web-0", leaving=True), pod("web-c")]
    for each in pods:
        each["spec"] = {"containers": [{"name": "main"}, {"name": "proxy"}]}
        each["status"]["containerStatuses"][0]["state"] = {"running": {}}
    planned = await plan("exec", Peers(FakeCluster(web(), *pods)), command=["redis-cli", "INFO"])
    [change] = planned.changes
    assert (change.ref.name, change.ref.uid, change.call["container"]) == ("web-b", "uid-web-b", "main")
    assert not change.external


async def test_without_a_running_container_nothing_is_planned() -> None:
    one = pod("web-a", state={"waiting": {}})
    one["spec"] = {"containers": [{"name": "main"}]}
    reach = Peers(FakeCluster(web(), one))
    with pytest.raises(PlanError, match="does not run"):
        await plan("exec", reach, command=["redis-cli", "INFO"])
    with pytest.raises(PlanError, match="no container 'db'"):
        await plan("exec", reach, command=["redis-cli", "INFO"], container="db")
    with pytest.raises(PlanError, match="no pod of"):
        await plan("exec", Peers(FakeCluster(web())), command=["redis-cli", "INFO"])


async def test_a_pod_that_was_made_again_runs_nothing() -> None:
    """Fault 27."""
    one = pod("web-a", state={"running": {}})
    one["spec"] = {"containers": [{"name": "main"}]}
    cluster = FakeCluster(web(), one)
    reach = Peers(cluster)
    planned = await plan("exec", reach, command=["redis-cli", "INFO"])
    cluster.put({**one, "metadata": {**one["metadata"], "uid": "other"}})
    with pytest.raises(TargetReplaced):
        await actions()["exec"].perform(context(reach), planned.changes[0])
    assert cluster.executed == []


async def test_a_command_keeps_its_exit_code_and_output() -> None:
    one = pod("web-a", state={"running": {}})
    one["spec"] = {"containers": [{"name": "main"}]}
    cluster = FakeCluster(web(), one)
    cluster.commands["kill", "-USR1", "1"] = ExecReply(3, "out", "no such process")
    reach = Peers(cluster)
    result = await perform("exec", reach, command=["kill", "-USR1", "1"])
    assert (result["exit_code"], result["stdout"], result["pod"]) == (3, "out", "web-a")
    answer = await verify("exec", reach, result, command=["kill", "-USR1", "1"])
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)
    assert "no such process" in answer.detail
    again = await verify("exec", reach, result, command=["kill", "-USR1", "1"], expect_exit_codes=[0, 3])
    assert again.answer is Answer.FIXED


# -- Sentinels


def master(address: str = "10.0.0.1:6379", flags: str = "master", epoch: int = 1) -> list[str]:
    ip, port = address.split(":")
    fields = {
        "name": "mymaster",
        "ip": ip,
        "port": port,
        "flags": flags,
        "config-epoch": str(epoch),
        "num-other-sentinels": "2",
        "quorum": "2",
    }
    return [part for pair in fields.items() for part in pair]


def replica(number: int, flags: str = "slave", link: str = "ok", priority: int = 100) -> list[str]:
    fields = {
        "ip": f"10.0.0.{number}",
        "port": "6379",
        "flags": flags,
        "master-link-status": link,
        "slave-priority": str(priority),
    }
    return [part for pair in fields.items() for part in pair]


def sentinels(*replicas: list[str], **more: Any) -> Peers:
    reach = Peers()
    reach.answers = {
        "SENTINEL MASTERS": [master(**more)],
        "SENTINEL MASTER": master(**more),
        "SENTINEL REPLICAS": list(replicas),
        "SENTINEL FAILOVER": "OK",
    }
    return reach


@pytest.mark.parametrize(
    "bad",
    [
        replica(2, flags="s_down,slave"),
        replica(2, flags="slave,disconnected"),
        replica(2, link="err"),
        replica(2, priority=0),
    ],
)
async def test_without_a_good_replica_there_is_no_failover(bad: list[str]) -> None:
    with pytest.raises(PlanError, match="could be promoted"):
        await plan("sentinel_failover", sentinels(bad), connection="cache")
    with pytest.raises(PlanError, match="none"):
        await plan("sentinel_failover", sentinels(), connection="cache")


async def test_a_broken_link_to_a_dead_primary_keeps_no_replica_back() -> None:
    reach = sentinels(replica(2, link="err"), flags="master,s_down,o_down")
    planned = await plan("sentinel_failover", reach, connection="cache")
    assert planned.changes[0].call["replicas"] == 0


async def test_a_failover_that_is_under_way_is_waited_for() -> None:
    reach = sentinels(replica(2), flags="master,o_down,failover_in_progress")
    with pytest.raises(TemporaryError, match="under way"):
        await plan("sentinel_failover", reach, connection="cache")
    assert not any(sent[1] == "FAILOVER" for sent in reach.sent)


async def test_a_failover_that_happened_meanwhile_is_not_made_again() -> None:
    reach = sentinels(replica(2), replica(3))
    planned = await plan("sentinel_failover", reach, connection="cache")
    assert planned.changes[0].call["replicas"] == 2
    reach.answers["SENTINEL MASTER"] = master("10.0.0.2:6379", epoch=2)
    action = actions()["sentinel_failover"]
    with pytest.raises(PlanStale, match=r"10\.0\.0\.2"):
        await action.perform(context(reach), planned.changes[0])
    assert not any(sent[1] == "FAILOVER" for sent in reach.sent)
    assert await action.done(context(reach), planned.changes[0])


@pytest.mark.parametrize(
    ("state", "info", "answer"),
    [
        (master(), "", Answer.NOT_FIXED),
        (master("10.0.0.2:6379", "master,failover_in_progress", 2), "", Answer.NOT_FIXED),
        (master("10.0.0.2:6379", "master,s_down", 2), "", Answer.NOT_FIXED),
        (master("10.0.0.2:6379", epoch=2), "role:slave\r\n", Answer.NOT_FIXED),
        (
            master("10.0.0.2:6379", epoch=2),
            "role:master\r\nslave0:ip=a,state=online\r\nslave1:ip=b,state=wait_bgsave\r\n",
            Answer.NOT_FIXED,
        ),
        (
            master("10.0.0.2:6379", epoch=2),
            "role:master\r\nslave0:ip=a,state=online\r\nslave1:ip=b,state=online\r\n",
            Answer.FIXED,
        ),
    ],
)
async def test_a_failover_is_done_when_the_new_primary_has_its_replicas(
    state: list[str], info: str, answer: Answer
) -> None:
    reach = sentinels(replica(2), replica(3))
    action = actions()["sentinel_failover"]
    typed = action.params.model_validate({"connection": "cache"})
    planned = await action.plan(context(reach), typed)
    reach.answers |= {"SENTINEL MASTER": state, "INFO replication": info}
    assert (await action.verify(context(reach), planned, typed)).answer is answer


async def test_which_of_several_masters_has_to_be_said() -> None:
    reach = sentinels(replica(2))
    other = [part if part != "mymaster" else "other" for part in master()]
    reach.answers["SENTINEL MASTERS"] = [master(), other]
    with pytest.raises(PlanError, match="mymaster, other"):
        await plan("sentinel_failover", reach, connection="cache")
    assert not (await plan("sentinel_failover", reach, connection="cache", master="mymaster")).empty


# -- checks


@pytest.mark.parametrize(
    ("samples", "params", "answer"),
    [
        ([0.005], {}, Answer.FIXED),
        ([0.05], {}, Answer.NOT_FIXED),
        ([0.005, 0.05], {}, Answer.NOT_FIXED),
        ([0.005, 0.05], {"of": "any"}, Answer.FIXED),
        ([0.05], {"is": ">="}, Answer.FIXED),
        ([], {}, Answer.UNKNOWN),
        ([float("nan")], {}, Answer.UNKNOWN),
        ([float("nan"), 0.0], {"of": "any"}, Answer.UNKNOWN),
        ([float("inf")], {}, Answer.NOT_FIXED),
    ],
)
async def test_a_number_is_compared_and_no_data_is_never_fixed(
    samples: list[float], params: dict[str, Any], answer: Answer
) -> None:
    reach = Peers()
    reach.samples = samples
    assert (await verify("promql_check", reach, query="x", threshold=0.01, **params)).answer is answer


async def test_a_check_changes_nothing_and_is_waited_for() -> None:
    for action, params in (("promql_check", {"query": "x", "threshold": 1}), ("http_check", {"url": URL})):
        planned = await plan(action, Peers(), **params)
        assert (planned.changes, planned.waits) == ((), True)


async def test_a_refused_connection_is_not_fixed_and_a_hung_one_is_not_known() -> None:
    """Fault 23."""
    reach = Peers()
    assert (await verify("http_check", reach, url=URL)).answer is Answer.FIXED
    assert (await verify("http_check", reach, url=URL, expect_body="green")).answer is Answer.NOT_FIXED
    reach.reply = HttpReply(503)
    assert (await verify("http_check", reach, url=URL)).answer is Answer.NOT_FIXED
    reach.reply = Unreachable("refused")
    assert (await verify("http_check", reach, url=URL)).answer is Answer.NOT_FIXED
    reach.reply = TemporaryError("no answer")
    with pytest.raises(TemporaryError):
        await verify("http_check", reach, url=URL)


# -- messages


async def test_a_message_that_is_not_sent_fails_nothing_and_is_told() -> None:
    reach = Peers()
    params = {"channel": "on-call", "title": "${7*7} {{7*7}}"}
    assert await perform("notify", reach, **params) == {"sent": True, "error": ""}
    assert reach.sent[0].title == "${7*7} {{7*7}}"
    reach.broken = TemporaryError("the service did not take the message")
    result = await perform("notify", reach, **params)
    assert result == {"sent": False, "error": "the service did not take the message"}
    answer = await verify("notify", reach, result, **params)
    assert answer.answer is Answer.FIXED
    assert "did not take" in answer.detail


async def test_messages_and_questions_need_nobodys_leave_and_block_nobody() -> None:
    message = await plan("notify", Peers(), channel="on-call", title="x")
    page = await plan("status_page", Peers(), url=PAGE, title="x")
    question = await plan("http_call", Peers(), url=URL, method="GET")
    order = await plan("http_call", Peers(), url=URL)
    assert [each.harmless for each in (message, page, question, order)] == [True, True, True, False]
    one = actions()["notify"]
    other = msgspec.structs.replace(context(Peers()), remediation="rem-2")
    second = await one.plan(other, one.params.model_validate({"channel": "on-call", "title": "x"}))
    assert set(message.lock_keys).isdisjoint(second.lock_keys)


@pytest.mark.parametrize(
    "name", ["exec", "sql", "sentinel_failover", "http_call", "status_page", "command", "notify"]
)
def test_examples_are_valid_and_every_parameter_is_described(name: str) -> None:
    action = actions()[name]
    action.params.model_validate(action.example)
    for field in action.params.model_fields.values():
        assert field.description
