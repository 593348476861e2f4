"""`alertbridge demo`: the whole product against a simulated cluster, told as it happens. Called by cli.

Real are the server, its private Redis, the HTTP requests and the Kubernetes client; the cluster is simulated,
and so is the monitoring: it fires an alert, and sends the resolve when the cluster looks well again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click

from bridge import __version__, printing
from bridge.app import Bridge, read
from bridge.configuration import ConfigurationHolder
from bridge.demo import scene
from bridge.demo.cluster import SimulatedCluster
from bridge.demo.scene import Trouble
from bridge.demo.server import SimulatedServer
from bridge.demo.telling import tell
from bridge.demo.workloads import NAMESPACE
from bridge.model.alert import fingerprint
from bridge.model.approval import ASKED
from bridge.model.text import printable
from bridge.telemetry import Metrics, configure_logging

PORT = 9877
PATIENCE = 60.0
"""Seconds that one repair may take; the demo gives up then. The longest proves for fifteen."""
ASKS = "HighErrorRate"
"""The alert whose repair waits for a person's answer, in a demo that stays."""
_LOOK = 0.25
_AS_JSON = {"Accept": "application/json"}
_NEVER = "0001-01-01T00:00:00Z"


def run_story(*, once: bool, port: int | None, log: bool) -> int:
    """Run the demo until Ctrl-C, or with `once` until all alerts were fired. Return the exit status."""
    configure_logging("console", "info" if log else "error")
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        return asyncio.run(_story(once, _free(port)))
    say("\nEnded: the simulated cluster and its Redis are gone.")
    return 0


async def _story(once: bool, port: int) -> int:
    this = asyncio.current_task()
    assert this is not None
    # So that the private Redis is not left behind; also where a shell started us with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    cluster = SimulatedCluster()
    scene.set_the_scene(cluster)
    async with SimulatedServer(cluster) as kubernetes, _serving(kubernetes, port, asks=not once) as url:
        say(f"alertbridge {__version__} on {url}, with a Redis of its own")
        say(f"and a simulated cluster on {kubernetes.url}")
        async with Story(cluster, url) as story:
            if not once:
                return await story.stay()
            healed = [await story.fire(trouble) for trouble in scene.troubles()]
        say(f"\n{sum(healed)} of {len(healed)} healed.", bold=True)
        return 0 if all(healed) else 1


@contextlib.asynccontextmanager
async def _serving(kubernetes: SimulatedServer, port: int, *, asks: bool) -> AsyncIterator[str]:
    """Run the whole product in this process, on loopback and with a Redis of its own; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="alertbridge-demo-") as folder:
        config = _write_configuration(Path(folder), kubernetes, port, asks=asks)
        holder = ConfigurationHolder(read(config), lambda: read(config))
        bridge = await Bridge.start(holder, Metrics(__version__))
        host, taken = bridge.addresses[0]
        try:
            yield f"http://{host}:{taken}"
        finally:
            await bridge.stop()


def _write_configuration(folder: Path, kubernetes: SimulatedServer, port: int, *, asks: bool) -> Path:
    """Write what the server is configured with (JSON is YAML) and return the file.

    With `asks` one of the alerts waits for a person's answer, where there is one to answer.
    """
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(kubernetes.kubeconfig()), "utf-8")
    routes = {
        "GatewayDown": "netweave/all-pods-down",
        "HighErrorRate": "netweave/high-error-rate",
        "CertExpiringSoon": "netweave/certificate-expiring",
    }
    configuration = {
        "mode": "auto",
        "listen": {"host": "127.0.0.1", "port": port},
        "redis": {"data_dir": str(folder / "redis")},
        "clusters": {"connections": {"simulated": {"kubeconfig": str(kubeconfig)}}},
        "secret_namespaces": [NAMESPACE],
        "grace": "2s",
        "runbooks": [str(shipped() / "runbooks")],
        "alerts": {
            alert: {"runbook": runbook, "mode": "approve" if asks and alert == ASKS else "auto"}
            for alert, runbook in routes.items()
        },
    }
    file = folder / "bridge.yml"
    file.write_text(json.dumps(configuration), "utf-8")
    return file


def shipped() -> Path:
    """Return the folder of the shipped configuration: in a checkout beside the package, installed inside it."""
    package = Path(__file__).resolve().parent
    beside = package.parent.parent / "config"
    return beside if (beside / "runbooks").is_dir() else package / "config"


def say(text: str = "", **style: Any) -> None:
    """Print one line for people, at once."""
    click.echo(click.style(text, **style) if style else text, color=False if os.environ.get("NO_COLOR") else None)


def _free(port: int | None) -> int:
    """Return the port that was asked for; else 9877, or 0 (a free one) if that is taken."""
    if port is not None:
        return port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


class Story:
    """Fires alerts, tells what becomes of them, and plays the monitoring that sends the resolves."""

    def __init__(self, cluster: SimulatedCluster, url: str) -> None:
        self._cluster = cluster
        self._url = url
        self._troubles = {trouble.alert: trouble for trouble in scene.troubles()}
        self._told: set[str] = set()

    async def __aenter__(self) -> Story:
        self._http = aiohttp.ClientSession(self._url, timeout=aiohttp.ClientTimeout(total=None, sock_connect=5))
        self._monitoring = asyncio.create_task(self._monitor())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._monitoring.cancel()
        await asyncio.gather(self._monitoring, return_exceptions=True)
        await self._http.close()

    async def fire(self, trouble: Trouble) -> bool:
        """Fire one alert as Alertmanager does and tell its repair; return whether it healed."""
        say(f"\n{trouble.alert}", bold=True, fg="yellow")
        say(f"    trouble   {trouble.before}")
        labels = {"alertname": trouble.alert, **trouble.labels}
        status = await self._webhook(trouble, labels)
        say(f"    alert     POST {self._url}/webhook, as Alertmanager sends it: {status}")
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._tell(await self._next(trouble.alert))
        except TimeoutError:
            say(f"    not healed within {PATIENCE:g} s", fg="red")
            return False

    async def stay(self) -> int:
        """Fire the first alert, then tell whatever is fired by hand, until Ctrl-C."""
        first, *others = self._troubles.values()
        await self.fire(first)
        self._invite(others, fingerprint({"alertname": first.alert, **first.labels}))
        # Side by side: one of them may wait for an answer.
        async with asyncio.TaskGroup() as telling:
            while True:
                item = await self._next()
                say(f"\n{printable(item['labels'].get('alertname', ''))}, by hand", bold=True, fg="yellow")
                telling.create_task(self._tell(item))

    def _invite(self, others: list[Trouble], known: str) -> None:
        say("\nFire the other two yourself, from another terminal:", bold=True)
        for trouble in others:
            labels = {name: value for name, value in trouble.labels.items() if name != "severity"}
            body = json.dumps({"alertname": trouble.alert, "labels": labels})
            say(f"\n  curl {self._url}/api/v1/trigger -H 'Content-Type: application/json' \\\n    -d '{body}'")
        command, flag = self._command, self._flag
        say(f"\nThe repair of {ASKS} asks you first: what it would do is shown, and how to answer.")
        say(f"\nLook around:  {command} list{flag}")
        say(f"              {command} show ID{flag}          what was found, planned, written and proved")
        say(f"              {command} explain {known}{flag}   every decision about the first alert")
        say(f"              {command} report ID{flag}        a post-mortem to paste")
        say(f"              {command} undo ID{flag}          put back what it changed")
        say(f"              {self._url}/r/ID            the same as a page")
        say("Ctrl-C ends it.")

    @property
    def _command(self) -> str:
        return "alertbridge" if shutil.which("alertbridge") else sys.argv[0]

    @property
    def _flag(self) -> str:
        return "" if self._url.endswith(f":{PORT}") else f" --url {self._url}"

    # -- one remediation

    async def _next(self, alert: str = "") -> dict[str, Any]:
        """Wait for a remediation that was not told yet (of `alert`, if it is named)."""
        while True:
            for item in reversed((await self._get("/api/v1/remediations"))["remediations"]):
                if item["id"] not in self._told and alert in ("", item["labels"].get("alertname")):
                    self._told.add(item["id"])
                    return dict(item)
            await asyncio.sleep(_LOOK)

    async def _tell(self, item: dict[str, Any]) -> bool:
        """Tell a remediation to its end; return whether it healed."""
        began = time.monotonic()
        say(f"    runbook   {printable(item['runbook'])} for {printable(printing.target(item['target']))}")
        path = f"/api/v1/remediations/{item['id']}"
        async with self._http.get(f"{path}/journal", params={"follow": "true"}) as stream:
            async for line in stream.content:
                if line.strip():
                    await self._tell_entry(path, json.loads(line))
        ended = (await self._get(path))["remediation"]
        trouble = self._troubles.get(item["labels"].get("alertname", ""))
        if ended["outcome"] != "succeeded" or trouble is None or not trouble.healed(self._cluster):
            text = f"    not healed: {ended['outcome']}, {ended['reason']}: {ended['detail']}"
            say(printable(text), fg="red")
            return False
        say(
            f"    healed    in {time.monotonic() - began:.1f} s: {trouble.after(self._cluster)}",
            fg="green",
            bold=True,
        )
        return True

    async def _tell_entry(self, path: str, entry: dict[str, Any]) -> None:
        evidence: dict[str, Any] = {}
        if entry["kind"] == "evidence":
            async with self._http.get(f"{path}/evidence", headers=_AS_JSON) as answer:
                evidence = (await answer.json())["evidence"] if answer.ok else {}
        for line in tell(entry, evidence):
            say(line)
        if entry["kind"] == ASKED:
            name = path.rpartition("/")[2]
            say(f"    asks      {self._command} approve {name}{self._flag}     (or deny)", bold=True)
            say(f"              {self._url}/r/{name}     the same as a page, with two buttons")

    # -- the monitoring

    async def _monitor(self) -> None:
        """Send the resolve of each alert as soon as the cluster looks well: where no Prometheus is, that is proof."""
        while True:
            await asyncio.sleep(_LOOK)
            for item in (await self._get("/api/v1/remediations"))["remediations"]:
                trouble = self._troubles.get(item["labels"].get("alertname", ""))
                if item["open_incidents"] and trouble is not None and trouble.healed(self._cluster):
                    await self._webhook(trouble, item["labels"], started=_started(item))

    async def _webhook(self, trouble: Trouble, labels: dict[str, str], *, started: str = "") -> int:
        """Post an alert that fires, or one that is over and `started` then, in Alertmanager's form."""
        now = datetime.now(UTC).isoformat()
        alert = {
            "status": "resolved" if started else "firing",
            "labels": labels,
            "annotations": trouble.annotations,
            "startsAt": started or now,
            "endsAt": now if started else _NEVER,
            "generatorURL": "",
            "fingerprint": fingerprint(labels),
        }
        body = {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{trouble.alert}"}}',
            "truncatedAlerts": 0,
            "status": alert["status"],
            "receiver": "alertbridge",
            "groupLabels": {"alertname": trouble.alert},
            "commonLabels": labels,
            "commonAnnotations": trouble.annotations,
            "externalURL": "http://alertmanager.example",
            "alerts": [alert],
        }
        async with self._http.post("/webhook", json=body) as answer:
            if answer.status >= 300:
                say(f"  the webhook was answered {answer.status}: {await answer.text()}", fg="red")
            return answer.status

    async def _get(self, path: str) -> dict[str, Any]:
        async with self._http.get(path) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found


def _started(item: dict[str, Any]) -> str:
    """Return the start of the remediation's first incident, whose id ends in microseconds, as RFC 3339."""
    micros = int(item["incidents"][0].rpartition("/")[2])
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat()
