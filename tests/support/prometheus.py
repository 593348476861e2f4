"""Debian's real Prometheus: scrapes one target, evaluates rules each second, sends to Alertmanagers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.need import need
from tests.support.processes import Process, Processes, free_port


@dataclass(frozen=True)
class Rule:
    """One alerting rule; `wait` is its `for`."""

    alert: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    wait: str = "0s"


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus and the part of its API that tests need."""

    url: str
    process: Process

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each sample of an instant query."""
        found = await self._get("query", query=expression)
        return [(sample["metric"], float(sample["value"][1])) for sample in found["result"]]

    async def firing(self, label: str = "alertname") -> list[str]:
        """Return the names (or another label) of the alerts that its rules fire now."""
        found = await self._get("alerts")
        return [alert["labels"][label] for alert in found["alerts"] if alert["state"] == "firing"]

    async def _get(self, path: str, **params: str) -> Any:
        address = f"{self.url}/api/v1/{path}"
        async with aiohttp.ClientSession() as session, session.get(address, params=params) as response:
            body = await response.json()
            if body["status"] != "success":
                raise AssertionError(f"Prometheus answered {response.status}: {body}")
            return body["data"]


async def start_prometheus(
    processes: Processes,
    scrape: str,
    *,
    rules: Sequence[Rule] = (),
    alertmanagers: Sequence[str] = (),
    interval: str = "1s",
    metrics_path: str = "/metrics",
    records: Mapping[str, str] | None = None,
    history: str = "",
) -> Prometheus:
    """Start one that scrapes `scrape` (host:port) and sends what `rules` fire to `alertmanagers` (host:port).

    `records` are recording rules, by name; `history` is what was seen before, in the OpenMetrics format with times.
    """
    program = need("prometheus")
    port = free_port()
    folder = processes.folder / f"prometheus-{port}"
    folder.mkdir()
    group: list[dict[str, Any]] = [
        {
            "alert": rule.alert,
            "expr": rule.expr,
            "for": rule.wait,
            "labels": dict(rule.labels),
            "annotations": dict(rule.annotations),
        }
        for rule in rules
    ]
    group += [{"record": name, "expr": expr} for name, expr in (records or {}).items()]
    if history:
        await _remember(history, folder)
    # JSON is YAML.
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "test", "rules": group}]}))
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [f"{folder}/rules.yml"],
        "scrape_configs": [
            {"job_name": "target", "metrics_path": metrics_path, "static_configs": [{"targets": [scrape]}]}
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    process = await processes.start(
        f"prometheus-{port}",
        [
            program,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--rules.alert.resend-delay=1s",
            "--query.lookback-delta=10s",
        ],
        ready=f"http://127.0.0.1:{port}/-/ready",
    )
    return Prometheus(f"http://127.0.0.1:{port}", process)


async def _remember(history: str, folder: Path) -> None:
    (folder / "history.txt").write_text(history)
    command = [need("promtool"), "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"]
    made = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await made.communicate()
    if made.returncode:
        raise AssertionError(f"promtool: {said.decode()}")
