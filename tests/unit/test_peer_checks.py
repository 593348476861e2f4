"""An enabled runbook that names a peer which the settings lack can only fail: check-config says so before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bridge.actions import registry as actions
from bridge.configuration import load
from bridge.errors import ConfigurationError
from bridge.evidence import registry as evidence


def peers(folder: Path, *, route: bool = True, steps: Any = None, **settings: Any) -> list[str]:
    """Return the problems of a runbook that names peers."""
    undo = {"url": "http://x/", "secret_headers": {"A": "key"}}
    named = [
        {"action": "sql", "with": {"connection": "orders", "statement": "SELECT 1"}},
        {"action": "notify", "with": {"channel": "${labels.team}", "title": "x"}},
        {"action": "http_call", "with": {"url": "http://x/", "undo": undo}},
    ]
    runbook = {
        "summary": "Names peers.",
        "target": {"name": "web"},
        "evidence": {} if steps else {"cache": {"collect": "redis", "with": {"connection": "cahce"}}},
        "scenarios": [{"name": "all", "otherwise": True, "steps": steps or named}],
    }
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "named.yml").write_text(json.dumps(runbook, indent=1))
    alerts = {"Down": "named"} if route else {}
    place = folder / "bridge.yml"
    place.write_text(json.dumps({"runbooks": ["runbooks"], "alerts": alerts, **settings}))
    try:
        load(place, actions=actions.parameters(), collectors=evidence.parameters())
    except ConfigurationError as error:
        return [text.partition(": ")[2] for text in error.problems]
    return []


CALLS = [
    {"action": "http_check", "with": {"url": "https://status.example/healthz"}},
    {"action": "http_check", "with": {"url": "http://search/x"}},
    {"action": "http_check", "with": {"url": "http://${labels.deployment}:8080/x"}},
    {"action": "exec", "with": {"command": ["df", "-h", "/data"]}},
    {"action": "exec", "with": {"command": ["df", "-h", "/data/../etc"], "undo": ["df", "-h", "/${labels.disk}"]}},
]
EMPTY = "of the settings, which is empty"


def test_a_peer_that_the_settings_lack_is_named_where_a_runbook_asks_for_it(tmp_path: Path) -> None:
    cache = {"cache": {"address": "cache:6379"}}
    assert peers(tmp_path, redis_peers=cache, http={"hosts": ["x"]}) == [
        "evidence.cache.with.connection: there is no 'cahce' in `redis_peers` of the settings; did you mean cache?",
        "scenarios[0].steps[0].with.connection: there is no 'orders' in `sql` " + EMPTY,
        "scenarios[0].steps[2].with.undo.secret_headers.A: there is no 'key' in `http.secrets` " + EMPTY,
    ]


def test_peers_of_a_runbook_that_no_route_leads_to_may_be_set_up_later(tmp_path: Path) -> None:
    assert peers(tmp_path, route=False) == []


def test_addresses_and_commands_that_the_settings_do_not_allow_are_told(tmp_path: Path) -> None:
    allowed = {"http": {"hosts": ["status.example", "search:9200"]}, "exec": {"allow": [["df", "-h", "/[a-z]+"]]}}
    assert peers(tmp_path, steps=CALLS, **allowed) == [
        "scenarios[0].steps[1].with.url: the host of 'http://search/x' is not in `http.hosts` of the settings",
        "scenarios[0].steps[4].with.command: is not allowed by any list of `exec.allow` of the settings",
    ]
