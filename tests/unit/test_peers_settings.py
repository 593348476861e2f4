"""What `bridge.yml` says of databases, Redis, HTTP, commands and channels: checked in place, secrets by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.actions.registry import parameters
from bridge.configuration import load
from bridge.configuration.runbook_checks import parameter_problems
from bridge.wiring import needs_restart, outside_settings
from tests.support.configuration import RUNBOOK, Folder

SHIPPED = Path(__file__).parents[2] / "config" / "bridge.yml"

ALL = """\
alerts: {A: shop/web}
http:
  hosts: [status.example, "search:9200"]
  secrets:
    page: {secret_file: secrets/page, prefix: "Bearer ", hosts: [status.example]}
sql:
  orders: {host: orders-db, database: orders, user: bridge, password_env: ORDERS, tls: {ca_file: ca.crt}}
  kyc: {dsn_env: KYC}
redis_peers:
  cache: {address: cache, username: bridge, password_file: secrets/cache}
  gateway: {sentinel: {addresses: [s1, "s2:5000"], master: mine, password_env: WATCH}, password_env: CACHE}
commands:
  flush: {run: [/bin/flush, --zone], arguments: ["[a-z]+"], timeout: 5s}
exec:
  allow: [[redis-cli, INFO, ...]]
notify:
  channels:
    on-call: {url_env: HOOK, timeout: 3s}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    folder.write("secrets/page", "page-s3cret\n")
    folder.write("secrets/cache", "cache-s3cret\n")
    folder.env = {
        "ORDERS": "orders-s3cret",
        "KYC": "postgresql://u:kyc-s3cret@db/kyc",
        "WATCH": "watch-s3cret",
        "CACHE": "gateway-s3cret",
        "HOOK": "slack://hook-s3cret/BBBBBBBBBBBB/CCCCCCCCCCCC",
    }
    return folder


def test_peers_get_their_secrets_and_their_defaults(folder: Folder) -> None:
    folder.write("bridge.yml", ALL)
    made = outside_settings(folder.load())
    assert made.http_secrets["page"].value == "Bearer page-s3cret"
    assert made.http_secrets["page"].origins == ("http://status.example:80", "https://status.example:443")
    assert made.sql["orders"].password == "orders-s3cret"
    assert made.sql["orders"].tls is not None
    assert made.sql["orders"].tls.ca_file == str(folder.path / "ca.crt")
    assert made.sql["kyc"].dsn == "postgresql://u:kyc-s3cret@db/kyc"
    assert (made.redis["cache"].address, made.redis["cache"].password) == ("cache:6379", "cache-s3cret")
    gateway = made.redis["gateway"]
    assert (gateway.sentinels, gateway.master) == (("s1:26379", "s2:5000"), "mine")
    assert (gateway.password, gateway.sentinel_password) == ("gateway-s3cret", "watch-s3cret")
    assert made.commands["flush"].run == ("/bin/flush", "--zone")
    assert made.exec_allow == (("redis-cli", "INFO", "..."),)
    assert (made.channels["on-call"].url, made.channels["on-call"].deadline) == (folder.env["HOOK"], 3.0)


def test_secrets_of_peers_are_shown_nowhere(folder: Folder) -> None:
    folder.write("bridge.yml", ALL)
    configuration = folder.load()
    assert "s3cret" not in repr(configuration)
    assert "s3cret" not in repr(outside_settings(configuration))
    hidden = configuration.secrets.every()
    # Also the parts of an address that let somebody in: a log may hold one without the rest.
    assert {"kyc-s3cret", "hook-s3cret", "CCCCCCCCCCCC", "page-s3cret", "watch-s3cret"} <= set(hidden)
    assert not {"db", "localhost", "kyc"} & set(hidden)


def test_nothing_is_reached_by_default(folder: Folder) -> None:
    folder.write("bridge.yml", "alerts: {A: shop/web}\n")
    made = outside_settings(folder.load())
    every = (made.allowed, made.sql, made.redis, made.commands, made.exec_allow, made.channels, made.http_secrets)
    assert not any(every)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sql: {a: {host: h}}", "1:7: sql.a: with `host` it needs `database` and `user`"),
        ("sql: {a: {dsn_env: KYC, host: h}}", "sql.a: expected one of `dsn_file`, `dsn_env` and `host`"),
        ("sql: {a: {dsn_env: KYC, password_env: X}}", "with a DSN everything is in the DSN"),
        ("sql: {a: {dsn_env: HOOK}}", "its DSN has to begin with postgresql://"),
        ("sql: {a: {dsn_env: NONE}}", "sql.a.dsn_env: the environment variable NONE is not set"),
        ("sql: {a: {dsn_file: none}}", "sql.a.dsn_file: "),
        ("sql: {a: {host: h, database: d, user: u, password: geheim}}", "a secret is never written"),
        ("sql: {'a b': {dsn_env: KYC}}", "sql"),
        ("redis_peers: {a: {}}", "redis_peers.a: expected one of `address` and `sentinel`"),
        ("redis_peers: {a: {address: 'redis://h:1'}}", "expected host:port"),
        ("redis_peers: {a: {address: 'h:port'}}", "expected host:port"),
        ("redis_peers: {a: {sentinel: {addresses: []}}}", "redis_peers.a.sentinel.addresses"),
        ("http: {hosts: ['http://a']}", "expected host or host:port, got 'http://a'"),
        ("http: {hosts: ['u:p@a']}", "expected host or host:port"),
        ("http: {hosts: ['a/b']}", "expected host or host:port"),
        ("http: {secrets: {a: {}}}", "expected one of `secret_file` and `secret_env`"),
        ("commands: {a: {run: [flush]}}", "expected the program's absolute path, got 'flush'"),
        ("commands: {a: {run: []}}", "commands.a.run"),
        ("commands: {a: {run: [/bin/a], arguments: ['[']}}", "commands.a.arguments[0]: regular expression"),
        ("exec: {allow: [[]]}", "exec.allow[0]"),
        ("exec: {allow: [[a, ..., b]]}", "it can only be the last"),
        ("exec: {allow: [[...]]}", "a list begins with a program"),
        ("exec: {allow: ['redis-cli INFO']}", "exec.allow[0]"),
        ("notify: {channels: {a: {url: 'slack://x'}}}", "notify.channels.a"),
        ("notify: {channels: {a: {url_env: ORDERS}}}", "one that apprise takes"),
    ],
)
def test_what_is_wrong_with_a_peer_is_told_with_its_place(folder: Folder, text: str, problem: str) -> None:
    folder.write("bridge.yml", f"{text}\nalerts: {{A: shop/web}}\n")
    problems = folder.problems()
    assert any(problem in each for each in problems), problems
    assert all(each.startswith("bridge.yml:1:") for each in problems), problems
    assert "s3cret" not in str(problems)


@pytest.mark.parametrize(
    ("own", "peer"),
    [
        ("{url: 'redis://cache'}", "{address: 'cache:6379'}"),
        ("{sentinel: {addresses: [s1, s2], master: m}}", "{sentinel: {addresses: ['s2:26379'], master: m}}"),
    ],
)
def test_our_own_redis_is_nobodys_peer(folder: Folder, own: str, peer: str) -> None:
    """Fault 63."""
    folder.write("bridge.yml", f"redis: {own}\nredis_peers: {{a: {peer}}}\nalerts: {{A: shop/web}}\n")
    [problem] = folder.problems()
    assert problem.startswith("bridge.yml:2:")
    assert "alertbridge's own state" in problem


def test_another_master_of_the_same_sentinels_is_a_peer(folder: Folder) -> None:
    own, peer = "{addresses: [s1], master: m}", "{addresses: [s1], master: other}"
    text = f"redis: {{sentinel: {own}}}\nredis_peers: {{a: {{sentinel: {peer}}}}}\nalerts: {{A: shop/web}}\n"
    folder.write("bridge.yml", text)
    assert folder.problems() == []


def test_the_examples_in_the_shipped_configuration_are_right(tmp_path: Path) -> None:
    text = SHIPPED.read_text()
    begin = text.index("# http:\n")
    examples = re.sub(r"^# ?", "", text[begin : text.index("\n\n", begin)], flags=re.M)
    folder = Folder(tmp_path)
    for name in ("status-page", "orders-db", "cache", "on-call", "team"):
        folder.write(f"secrets/{name}", f"json://{name}")
    folder.env = {"KYC_DSN": "postgresql://a:b@c/d", "GATEWAY_REDIS": "x"}
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    folder.write("bridge.yml", f"{examples}\nalerts: {{A: shop/web}}\n")
    settings = folder.load().settings
    assert settings.sql
    assert settings.redis_peers
    assert settings.commands
    assert settings.exec.allow
    assert settings.notify.channels
    assert settings.http.secrets


def test_a_changed_peer_waits_for_a_restart(folder: Folder) -> None:
    folder.write("bridge.yml", ALL)
    before = folder.load().settings
    folder.write("bridge.yml", ALL.replace("timeout: 5s", "timeout: 6s").replace("host: orders-db", "host: other"))
    assert needs_restart(before, folder.load().settings) == ["commands", "sql"]


def test_a_template_in_a_statement_is_refused_where_it_stands(tmp_path: Path) -> None:
    """Fault 43."""
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "bridge.yml").write_text("alerts: {A: db}\n")
    (tmp_path / "runbooks" / "db.yml").write_text(
        "summary: Wrong.\n"
        "target: {name: web}\n"
        "scenarios:\n"
        "  - name: one\n"
        "    otherwise: true\n"
        "    steps:\n"
        "      - action: sql\n"
        "        with:\n"
        "          connection: orders\n"
        '          statement: "DELETE FROM t WHERE n = ${labels.n}"\n'
    )
    with pytest.raises(Exception, match="fixed text") as caught:
        load(tmp_path / "bridge.yml", actions=parameters(), collectors={}, env={})
    assert "db.yml:10:11" in str(caught.value)
    assert (
        list(
            parameter_problems(
                parameters()["sql"], {"connection": "a", "statement": "SELECT $1", "arguments": ["${x}"]}
            )
        )
        == []
    )
