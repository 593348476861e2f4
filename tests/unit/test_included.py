"""Files that the main one includes bring the peers of their runbooks along, and nothing of how the process runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import PermanentError
from bridge.model.notice import Severity
from bridge.model.outside import Message
from bridge.outside.notify import Channels
from bridge.outside.options import Channel
from bridge.wiring import outside_settings
from tests.support.configuration import RUNBOOK, Folder

SYSTEM = """\
routes: [{matchers: ['team="db"'], runbook: shop/web}]
http: {hosts: [search.example]}
sql: {orders: {host: db.shop, database: orders, user: bridge, password_file: secrets/orders}}
notify:
  channels: {team: {url_file: secrets/team}}
  rules: [{on: done, channels: team}]
  severity: {scales: [{runbooks: "shop/*", names: {SEV1: critical}}]}
secret_namespaces: [shop]
keep_copies: [{namespace: shop, name: config, good_while: {kind: Deployment, name: web}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    folder.write("systems/shop.yml", SYSTEM)
    folder.write("systems/secrets/orders", "s3cret")
    folder.write("systems/secrets/team", "json://localhost")
    folder.write(
        "bridge.yml", "include: [systems/*.yml]\nhttp: {hosts: [main.example]}\nsecret_namespaces: [shop, x]"
    )
    return folder


def test_the_peers_of_included_files_join_those_of_the_main_one(folder: Folder) -> None:
    configuration = folder.load()
    settings = configuration.settings
    assert settings.http.hosts == ("main.example", "search.example")
    assert settings.sql["orders"].password_file == str(folder.path / "systems/secrets/orders")
    assert configuration.secrets.peers["sql-password/orders"] == "s3cret"
    assert settings.secret_namespaces == ("shop", "x")
    assert [each.name for each in settings.keep_copies] == ["config"]
    assert settings.notify.severity.of("shop/web", {"severity": "SEV1"}) is Severity.CRITICAL
    assert settings.notify.rules[0].channels == ("team",)


def test_a_name_that_two_files_use_for_different_things_is_refused_where_it_stands(folder: Folder) -> None:
    folder.write("systems/two.yml", "sql:\n  orders: {host: other, database: orders, user: bridge}\n")
    assert folder.problems() == [
        "systems/two.yml:2:3: sql.orders: another file has this name already, and says something else of it"
    ]


def test_a_secret_that_is_missing_is_told_in_the_file_that_names_it(folder: Folder) -> None:
    (folder.path / "systems/secrets/orders").unlink()
    (problem,) = folder.problems()
    assert problem.startswith("systems/shop.yml:3:")
    assert "sql.orders.password_file" in problem


@pytest.mark.parametrize("key", ["mode: auto", "listen: {port: 1}", "credentials: []", "redis: {}", "route: {}"])
def test_how_the_process_runs_is_the_main_files_alone(folder: Folder, key: str) -> None:
    folder.write("systems/two.yml", key)
    (problem,) = folder.problems()
    assert problem.startswith("systems/two.yml:1:1")


async def test_what_is_optional_may_be_missing_and_then_nothing_is_sent(folder: Folder) -> None:
    folder.write(
        "systems/two.yml",
        """\
        http: {secrets: {page: {secret_file: none, optional: true}}}
        notify: {channels: {later: {url_file: none, optional: true}, env: {url_env: NONE, optional: true}}}
        """,
    )
    outside = outside_settings(folder.load())
    assert outside.http_secrets == {}, "a request that names it is refused"
    assert outside.channels["later"] == Channel(url="", deadline=15.0)
    with pytest.raises(PermanentError, match="its address is not there yet"):
        await Channels(outside.channels).send("later", Message(title="a", text="b"))
