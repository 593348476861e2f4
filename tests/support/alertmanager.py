"""Debian's real Alertmanager: one, or two clustered peers, that send to a webhook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from tests.support.need import need
from tests.support.processes import Process, Processes, free_port, until


@dataclass(frozen=True)
class Gossip:
    """Where one peer listens for gossip, what it tells the others, and whom it asks first (ports of loopback)."""

    listen: int
    advertise: int
    peers: tuple[int, ...]


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager and the part of its API (v2) that tests need."""

    url: str
    process: Process

    async def fire(
        self,
        labels: Mapping[str, str],
        *,
        annotations: Mapping[str, str] | None = None,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> None:
        """Post one alert, as Prometheus does. With `ends_at` in the past it is resolved."""
        start = starts_at or datetime.now(UTC)
        alert = {
            "labels": dict(labels),
            "annotations": dict(annotations or {}),
            "startsAt": start.isoformat(),
            "endsAt": (ends_at or datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        }
        await self._post("alerts", [alert])

    async def resolve(self, labels: Mapping[str, str], *, starts_at: datetime | None = None) -> None:
        """Post the alert as ended now."""
        now = datetime.now(UTC)
        await self.fire(labels, starts_at=starts_at or now - timedelta(minutes=1), ends_at=now)

    async def silence(self, labels: Mapping[str, str], *, minutes: float = 10, comment: str = "test") -> str:
        """Silence alerts with these labels; return the silence's id."""
        now = datetime.now(UTC)
        body = {
            "matchers": [{"name": n, "value": v, "isRegex": False, "isEqual": True} for n, v in labels.items()],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=minutes)).isoformat(),
            "createdBy": "test",
            "comment": comment,
        }
        answer: dict[str, str] = await self._post("silences", body)
        return answer["silenceID"]

    async def unsilence(self, silence: str) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{self.url}/api/v2/silence/{silence}") as response,
        ):
            response.raise_for_status()

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it holds now."""
        found: list[dict[str, Any]] = await self._get("alerts")
        return found

    async def peers(self) -> int:
        """Return how many members its cluster has in its own eyes, itself included."""
        status = await self._get("status")
        return len(status["cluster"].get("peers") or [])

    async def _get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/api/v2/{path}") as response:
            response.raise_for_status()
            return await response.json()

    async def _post(self, path: str, body: object) -> Any:
        address = f"{self.url}/api/v2/{path}"
        async with aiohttp.ClientSession() as session, session.post(address, json=body) as response:
            if response.status >= 300:
                raise AssertionError(f"Alertmanager answered {response.status}: {await response.text()}")
            text = await response.text()
            return json.loads(text) if text else None


async def start_alertmanager(
    processes: Processes,
    webhook: str,
    *,
    token: str | None = None,
    group_by: Sequence[str] = ("alertname",),
    group_wait: str = "100ms",
    group_interval: str = "1s",
    repeat_interval: str = "4h",
    max_alerts: int = 0,
    gossip: Gossip | None = None,
    peer_timeout: str = "15s",
    gossip_interval: str = "50ms",
    port: int = 0,
) -> Alertmanager:
    """Start one Alertmanager that sends everything to `webhook`, with `token` as its bearer token.

    With a `gossip_interval` of minutes its peers hear too late of what it has sent, and send as well.
    """
    program = need("prometheus-alertmanager")
    port = port or free_port()
    folder = processes.folder / f"alertmanager-{port}"
    folder.mkdir()
    receiver: dict[str, Any] = {"url": webhook, "send_resolved": True, "max_alerts": max_alerts}
    if token is not None:
        receiver["http_config"] = {"authorization": {"credentials": token}}
    config = {
        "route": {
            "receiver": "alertbridge",
            "group_by": list(group_by),
            "group_wait": group_wait,
            "group_interval": group_interval,
            "repeat_interval": repeat_interval,
        },
        "receivers": [{"name": "alertbridge", "webhook_configs": [receiver]}],
    }
    # JSON is YAML.
    (folder / "alertmanager.yml").write_text(json.dumps(config, indent=1))
    process = await processes.start(
        f"alertmanager-{port}",
        [
            program,
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            *_cluster_flags(gossip, peer_timeout, gossip_interval),
        ],
        ready=f"http://127.0.0.1:{port}/-/ready",
    )
    return Alertmanager(f"http://127.0.0.1:{port}", process)


async def start_pair(processes: Processes, webhook: str, **options: Any) -> tuple[Alertmanager, Alertmanager]:
    """Start two clustered peers with the same configuration; return when each sees the other."""
    ports = free_port(), free_port()
    first = await start_alertmanager(processes, webhook, gossip=Gossip(ports[0], ports[0], ()), **options)
    second = await start_alertmanager(processes, webhook, gossip=Gossip(ports[1], ports[1], (ports[0],)), **options)
    await joined(first, second)
    return first, second


async def joined(*members: Alertmanager) -> None:
    """Wait until every one of `members` counts all of them in its cluster."""

    async def all_see_all() -> bool:
        return all([await member.peers() == len(members) for member in members])

    await until(all_see_all, seconds=15, what="the Alertmanager cluster")


def _cluster_flags(gossip: Gossip | None, peer_timeout: str, gossip_interval: str) -> list[str]:
    if gossip is None:
        return ["--cluster.listen-address="]
    return [
        f"--cluster.listen-address=127.0.0.1:{gossip.listen}",
        f"--cluster.advertise-address=127.0.0.1:{gossip.advertise}",
        *(f"--cluster.peer=127.0.0.1:{peer}" for peer in gossip.peers),
        f"--cluster.peer-timeout={peer_timeout}",
        f"--cluster.gossip-interval={gossip_interval}",
        "--cluster.pushpull-interval=1m",
        "--cluster.settle-timeout=2s",
        "--cluster.reconnect-interval=1s",
    ]
