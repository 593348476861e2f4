"""A whole alertbridge for tests: its configuration, its Redis, and real processes of it that may be killed.

    installation = Installation(processes, kubernetes=proxy.url, alerts={"GatewayDown": "test/restart"})
    one = await installation.start()
    await one.fire("GatewayDown", namespace="shop", deployment="web")
    done = await one.outcome()

Everything goes through what a user has: a configuration file, the command, the HTTP API.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bridge.model.alert import fingerprint
from tests.support.need import need
from tests.support.processes import Process, Processes, free_port, until

SENDER = "token-of-the-sender"
OPERATOR = "token-of-the-operator"
_ROOT = Path(__file__).resolve().parents[2]
_NEVER = "0001-01-01T00:00:00Z"

RESTART: dict[str, Any] = {
    "name": "test/restart",
    "summary": "Restart the workload that the alert names.",
    "target": {"namespace": "${labels.namespace}", "name": "${labels.deployment}"},
    "scenarios": [
        {"name": "always", "otherwise": True, "steps": [{"action": "rollout_restart", "verify_within": "20s"}]}
    ],
    "verify": {
        "evidence": {"rollout": {"collect": "rollout"}},
        "fixed": "evidence.rollout.complete",
        "within": "20s",
        "every": "100ms",
    },
}
"""The smallest runbook that writes: one PATCH."""


def runbook(name: str, **changes: Any) -> dict[str, Any]:
    """Return RESTART under another name and with other parts."""
    return {**RESTART, "name": name, **changes}


def alert_body(
    labels: Mapping[str, str], *, starts_at: float, ends_at: float | None = None, receiver: str = "alertbridge"
) -> dict[str, Any]:
    """Return Alertmanager's body for one alert; times are unix seconds. With `ends_at` it is resolved."""
    status = "firing" if ends_at is None else "resolved"
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": [
            {
                "status": status,
                "labels": dict(labels),
                "annotations": {},
                "startsAt": _time(starts_at),
                "endsAt": _NEVER if ends_at is None else _time(ends_at),
                "generatorURL": "",
                "fingerprint": fingerprint(labels),
            }
        ],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Server:
    """One running process of an installation, and its HTTP API as sender and operator."""

    url: str
    process: Process

    async def request(self, method: str, path: str, body: object = None, *, token: str = OPERATOR) -> tuple[int, Any]:
        """Return status and decoded answer. Raises aiohttp.ClientError when the connection breaks."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=headers) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    async def get(self, path: str) -> Any:
        status, answer = await self.request("GET", path)
        assert status == 200, answer
        return answer

    async def post(self, path: str, body: object = None, *, token: str = OPERATOR) -> Any:
        status, answer = await self.request("POST", path, body, token=token)
        assert status == 200, answer
        return answer

    async def fire(self, alertname: str, *, starts_at: float | None = None, **labels: str) -> str:
        """Post a firing alert as Alertmanager does; return its fingerprint."""
        labels = {"alertname": alertname, **labels}
        await self.post("/webhook", alert_body(labels, starts_at=starts_at or time.time()), token=SENDER)
        return fingerprint(labels)

    async def resolve(self, alertname: str, *, starts_at: float, ends_at: float | None = None, **labels: str) -> str:
        """Post the same alert as ended."""
        labels = {"alertname": alertname, **labels}
        body = alert_body(labels, starts_at=starts_at, ends_at=ends_at or time.time())
        await self.post("/webhook", body, token=SENDER)
        return fingerprint(labels)

    async def explain(self, name: str) -> Any:
        """Return incidents and decisions of a fingerprint; both empty while nothing is known."""
        status, answer = await self.request("GET", f"/api/v1/explain/{name}")
        return answer if status == 200 else {"incidents": [], "decisions": []}

    async def reasons(self, name: str) -> list[str]:
        """Return the reasons of every decision about a fingerprint, oldest first."""
        return [decision["reason"] for decision in (await self.explain(name))["decisions"]]

    async def decided(self, name: str, reason: str, *, seconds: float = 10.0) -> None:
        """Wait until a decision about a fingerprint has this reason."""

        async def there() -> bool:
            return reason in await self.reasons(name)

        try:
            await until(there, seconds=seconds, what=f"the decision {reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self.explain(name)}\n{self.process.output[-3000:]}") from None

    async def figure(self, name: str, **labels: str) -> float:
        """Return a metric's value, summed over the series that have these labels; 0 when there is none."""
        total = 0.0
        for family in text_string_to_metric_families(await self.get("/metrics")):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    async def remediations(self) -> list[dict[str, Any]]:
        """Return all remediations, oldest first."""
        found: list[dict[str, Any]] = (await self.get("/api/v1/remediations"))["remediations"]
        return found[::-1]

    async def journal(self, remediation: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(f"/api/v1/remediations/{remediation}/journal"))["entries"]
        return found

    async def finished(self, count: int = 1, *, seconds: float = 15.0) -> list[dict[str, Any]]:
        """Wait until there are `count` remediations and all are done; return them, oldest first."""
        found: list[dict[str, Any]] = []

        async def all_done() -> bool:
            nonlocal found
            found = await self.remediations()
            return len(found) >= count and all(each["state"] == "done" for each in found)

        try:
            await until(all_done, seconds=seconds, what=f"the end of {count} remediations")
        except AssertionError as error:
            journals = [(each["id"], await self.journal(each["id"])) for each in found]
            raise AssertionError(f"{error}: {journals}\n{self.process.output[-3000:]}") from None
        assert len(found) == count, found
        return found

    async def outcome(self, *, seconds: float = 15.0) -> dict[str, Any]:
        """Wait for the end of the only remediation; return it."""
        (found,) = await self.finished(1, seconds=seconds)
        return found


async def holder_of(servers: Sequence[Server]) -> Server:
    """Wait until a process works on the only remediation; return that process."""
    found: list[Server] = []

    async def claimed() -> bool:
        for view in await servers[0].remediations():
            # A worker's name holds its process id.
            found[:] = [server for server in servers if f"-{server.process.pid}-" in view["worker"]]
        return bool(found)

    await until(claimed, what="a worker's claim")
    return found[0]


class Installation:
    """One configuration, kept in a folder, and what was started with it."""

    def __init__(
        self,
        processes: Processes,
        *,
        kubernetes: str,
        alerts: Mapping[str, Any] | None = None,
        runbooks: Sequence[Mapping[str, Any]] = (RESTART,),
        runbook_files: Mapping[str, str] | None = None,
        redis: str = "",
        **settings: Any,
    ) -> None:
        """Take the cluster's URL, what is done about which alert, and further settings of `bridge.yml`.

        An alert that names nothing but its runbook gets the mode `auto`. `redis` is a URL; without one, the
        (single) process has a private Redis. `runbook_files` are texts by name.
        """
        self.processes = processes
        self.folder = processes.folder / "installation"
        (self.folder / "runbooks").mkdir(parents=True)
        for each in runbooks:
            self.write_runbook(each)
        for name, text in (runbook_files or {}).items():
            (self.folder / "runbooks" / name).write_text(text)
        store = {"url": redis} if redis else {"data_dir": str(self.folder / "data")}
        self.settings: dict[str, Any] = {
            "mode": "auto",
            "credentials": [
                {"name": "alertmanager", "type": "bearer", "roles": ["sender"], "secret_env": "TEST_SENDER"},
                {"name": "operator", "type": "bearer", "roles": ["operator"], "secret_env": "TEST_OPERATOR"},
            ],
            "redis": store,
            "clusters": {"connections": {"simulated": {"url": kubernetes}}},
            "claim": "1s",
            "alerts": {
                name: {"runbook": what, "mode": "auto"} if isinstance(what, str) else what
                for name, what in (alerts or {"GatewayDown": "test/restart"}).items()
            },
            **settings,
        }

    def write_runbook(self, runbook: Mapping[str, Any]) -> None:
        """Put a runbook into the configuration's folder, or another one in its place."""
        name = runbook["name"].replace("/", "-")
        (self.folder / "runbooks" / f"{name}.yml").write_text(json.dumps(runbook))

    def write(self, port: int) -> Path:
        """Write the main file; it differs between processes only in the port."""
        path = self.folder / f"bridge-{port}.yml"
        # JSON is YAML.
        path.write_text(json.dumps({**self.settings, "listen": {"host": "127.0.0.1", "port": port}}, indent=1))
        return path

    async def start(self, command: str = "serve", *, env: Mapping[str, str] | None = None, port: int = 0) -> Server:
        """Start `serve` or `worker` and return once it is ready."""
        port = port or free_port()
        config = self.write(port)
        process = await self.processes.start(
            f"{command}-{port}",
            [sys.executable, "-m", "bridge", command, "--config", str(config)],
            ready=f"http://127.0.0.1:{port}/-/ready",
            env={"TEST_SENDER": SENDER, "TEST_OPERATOR": OPERATOR, "PYTHONPATH": str(_ROOT), **(env or {})},
            cwd=self.folder,
        )
        return Server(f"http://127.0.0.1:{port}", process)

    async def start_some(self, count: int) -> list[Server]:
        """Start `serve` so many times, side by side."""
        return list(await asyncio.gather(*(self.start() for _ in range(count))))

    def end_private_redis(self) -> None:
        """Take down the private Redis, which outlives a killed process on purpose."""
        pid = self.folder / "data" / "redis.pid"
        if (
            pid.exists()
            and Path(f"/proc/{pid.read_text().strip()}/cwd").resolve() == (self.folder / "data").resolve()
        ):
            os.kill(int(pid.read_text()), signal.SIGKILL)


@dataclass
class Redis:
    """A redis-server of a test's own."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


async def start_redis(processes: Processes, *, port: int = 0) -> Redis:
    """Start a redis-server with an append-only file; with the port of one that died, over what that left."""
    again, port = bool(port), port or free_port()
    folder = processes.folder / f"redis-{port}"
    folder.mkdir(exist_ok=again)
    flags = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "appendonly": "yes", "save": ""}
    argv = [need("redis-server"), *(part for key, value in flags.items() for part in (f"--{key}", value))]

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/"):
                return True
        except aiohttp.ClientConnectorError:
            return False
        except aiohttp.ClientError:
            # It speaks another language, but it speaks.
            return True

    name = f"redis-{port}-again" if again else f"redis-{port}"
    return Redis(port, await processes.start(name, argv, ready=answers))
