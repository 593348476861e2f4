"""The configuration that ships, with connections pointed at servers of the tests; and the alerts that it is for."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML

from bridge.catalogue import registry_of
from bridge.configuration import Configuration, load
from bridge.model.mode import Mode
from bridge.model.peers import Http, PeerSentinels, RedisPeerSpec, SqlPeerSpec
from bridge.model.route import Match
from bridge.model.routing import RoutingTable
from bridge.settings import Connection, Prometheus

ROOT = Path(__file__).resolve().parents[3]
_MAIN = ROOT / "config" / "bridge.yml"
_FILLED = re.compile(r"\{\{\s*\$labels\.(\w+)\s*\}\}")
_VALUE = re.compile(r"\{\{.*?\}\}")


@cache
def shipped() -> Configuration:
    """Return config/bridge.yml with all that it includes."""
    return load(_MAIN, catalogued=registry_of, env={})


@cache
def of_system(system: str) -> Configuration:
    """Return config/bridge.yml with one system's file and runbooks alone: what an adopter of that system has."""
    main = YAML(typ="safe").load(_MAIN.read_text())
    folder = _MAIN.parent
    main["include"] = [str(folder / "systems" / f"{system}.yml")]
    main["runbooks"] = [str(folder / "runbooks" / name) for name in (system, "library")]
    with tempfile.TemporaryDirectory() as place:
        (file := Path(place) / "bridge.yml").write_text(json.dumps(main))
        return load(file, catalogued=registry_of, env={})


def pointed(
    system: str,
    runbook: str,
    *,
    cluster: str,
    peers: str,
    tls: str,
    params: Mapping[str, Any],
    sentinels: tuple[str, ...] = (),
    master: str = "",
    redis: str = "",
    postgres: Mapping[str, Any] | None = None,
) -> Configuration:
    """Return what ships, allowed to act, with each connection pointed elsewhere and parameters of one runbook set."""
    found = of_system(system)
    settings = found.settings
    watch = PeerSentinels(addresses=sentinels, master=master) if sentinels else None
    away = "127.0.0.1:9"

    def redis_peer(given: RedisPeerSpec) -> RedisPeerSpec:
        if given.sentinel is None:
            return RedisPeerSpec(address=redis or away)
        return RedisPeerSpec(sentinel=watch or PeerSentinels(addresses=(away,)))

    def database(given: SqlPeerSpec) -> SqlPeerSpec:
        there = postgres or {"host": "127.0.0.1", "port": 9, "user": "nobody"}
        return given.model_copy(update={name: there[name] for name in ("host", "port", "user")})

    hosts = (peers.removeprefix("http://"), tls.removeprefix("https://"))
    update = {
        "mode": Mode.AUTO,
        "prometheus": Prometheus(url=f"{peers}/prometheus"),
        "http": Http(
            hosts=(*settings.http.hosts, *hosts),
            secrets={
                name: each.model_copy(update={"hosts": (*each.hosts, *hosts)})
                for name, each in settings.http.secrets.items()
            },
        ),
        "redis_peers": {name: redis_peer(each) for name, each in settings.redis_peers.items()},
        "sql": {name: database(each) for name, each in settings.sql.items()},
    }
    secrets = {
        f"notify/{name}": f"{peers.replace('http://', 'json://')}/channels/{name}"
        for name in settings.notify.channels
    }
    secrets |= {f"http/{name}": "a-secret-of-the-test" for name in settings.http.secrets}
    secrets |= {f"sql-password/{name}": (postgres or {}).get("password", "") for name in settings.sql}
    given = {name: _filled(value, {"${http}": peers, "${tls}": tls}) for name, value in params.items()}
    return msgspec.structs.replace(
        found,
        settings=settings.model_copy(update=update),
        secrets=msgspec.structs.replace(found.secrets, peers=secrets),
        connections={"sim": Connection(url=cluster)},
        default_connection="sim",
        table=_Pointed(found.table, runbook, given),
    )


class _Pointed(RoutingTable):
    """The table that ships, with parameters of one runbook set."""

    def __init__(self, table: RoutingTable, runbook: str, params: Mapping[str, Any]) -> None:
        self._table = table
        self._runbook = runbook
        self._params = params

    def match(self, labels: Mapping[str, str]) -> list[Match]:
        found = self._table.match(labels)
        return [
            msgspec.structs.replace(each, params={**each.params, **self._params})
            if each.runbook == self._runbook
            else each
            for each in found
        ]


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, place in places.items():
            value = value.replace(name, place)
        return value
    if isinstance(value, list | tuple):
        return [_filled(each, places) for each in value]
    return value


@cache
def rules(system: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the alerting rules that ship for a system, by name."""
    place = ROOT / "deploy" / "prometheus" / f"{system}.yml"
    if not place.is_file():
        return {}
    groups = YAML(typ="safe").load(place.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def alert_of(
    system: str, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return labels and annotations of an alert as Prometheus makes them of its rule and its series."""
    rule = rules(system).get(name, {})

    def filled(texts: Mapping[str, str]) -> dict[str, str]:
        named = {key: _FILLED.sub(lambda found: labels.get(found[1], ""), text) for key, text in texts.items()}
        return {key: _VALUE.sub("1", text) for key, text in named.items()}

    said, notes = filled(rule.get("labels", {})), filled(rule.get("annotations", {}))
    # A label of the rule goes before that of the series, as in Prometheus.
    return {"alertname": name, **labels, **said}, {**notes, **annotations}
