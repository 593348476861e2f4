"""Webhook bodies for tests: recorded ones, and made ones that are like them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent.parent / "payloads"
RECORDED = sorted(path.stem for path in PAYLOADS.glob("*.json"))


def recorded(name: str) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a recorded webhook, the body with the very bytes that a signature is over."""
    record = json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))
    raw = record.get("raw")
    body = raw if isinstance(raw, str) else json.dumps(record["body"], separators=(",", ":"), ensure_ascii=False)
    return record["headers"], body.encode("utf-8")


def alert(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return one alert as Alertmanager sends it; the number makes its labels and its fingerprint its own."""
    return {
        "status": "firing",
        "labels": {"alertname": "GatewayDown", "namespace": "net", "pod": f"gw-{number}"},
        "annotations": {"summary": "The gateway is down"},
        "startsAt": "2026-11-20T18:43:07Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prom.example/graph",
        "fingerprint": f"{number:016x}",
        **changes,
    }


def body(*alerts: Any, **changes: Any) -> bytes:
    """Return a body of Alertmanager with these alerts."""
    document = {
        "version": "4",
        "groupKey": '{}:{alertname="GatewayDown"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "bridge",
        "groupLabels": {"alertname": "GatewayDown"},
        "commonLabels": {"alertname": "GatewayDown"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": list(alerts),
        **changes,
    }
    return json.dumps(document, separators=(",", ":")).encode()
