"""What Prometheus and Alertmanager say of how an alert comes to us: its rule, and how long its resolve is held.

Sources: Prometheus' documentation, HTTP API, rules; Alertmanager's OpenAPI document, api/v2/openapi.yaml, status.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import aiohttp
import msgspec

from bridge.errors import PermanentError, TemporaryError
from bridge.model.decay import Recorded, Rule, duration, reach
from bridge.outside.http import Session, read_bounded

GROUP_INTERVAL = 300.0
"""Alertmanager's own, where its configuration says nothing."""
_LARGEST_ANSWER = 16 << 20
_GROUP_INTERVAL = re.compile(r"^[ \t-]*[\"']?group_interval[\"']?[ \t]*:[ \t]*[\"']?([0-9a-z]+)", re.M)


class AlertRules:
    """Implements ports.AlertRules for one Prometheus and one Alertmanager, or none."""

    def __init__(
        self,
        session: Session,
        prometheus: str,
        prometheus_token: str = "",
        *,
        alertmanager: str = "",
        alertmanager_token: str = "",
        deadline: float = 10.0,
    ) -> None:
        self._session = session
        self._prometheus = prometheus.rstrip("/")
        self._prometheus_token = prometheus_token
        self._alertmanager = alertmanager.rstrip("/")
        self._alertmanager_token = alertmanager_token
        self._deadline = deadline

    async def rule(self, labels: Mapping[str, str]) -> Rule | None:
        """See ports.AlertRules. Of several rules that fit it is the one that looks back furthest."""
        if not self._prometheus:
            return None
        groups = await self._all_groups()
        recorded = _recorded(groups)
        found = [
            _rule(group, each, recorded)
            for group in groups
            for each in _rules(group)
            if each.get("type") == "alerting" and _fits(each, labels)
        ]
        return max(found, key=lambda rule: rule.range_seconds, default=None)

    async def recorded(self) -> Mapping[str, Recorded]:
        """See ports.AlertRules."""
        return _recorded(await self._all_groups()) if self._prometheus else {}

    async def _all_groups(self) -> list[Mapping[str, Any]]:
        return _groups(await self._get(f"{self._prometheus}/api/v1/rules", self._prometheus_token, "Prometheus"))

    async def group_interval(self) -> float:
        """See ports.AlertRules. Of the whole tree it is the longest: which route an alert takes is not asked."""
        if not self._alertmanager:
            return 0.0
        document = await self._get(f"{self._alertmanager}/api/v2/status", self._alertmanager_token, "Alertmanager")
        config = document.get("config") if isinstance(document, dict) else None
        original = str(config.get("original", "")) if isinstance(config, dict) else ""
        return max((duration(text) for text in _GROUP_INTERVAL.findall(original)), default=GROUP_INTERVAL)

    async def _get(self, url: str, token: str, name: str) -> Any:
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            async with asyncio.timeout(self._deadline):
                async with self._session.get().get(url, headers=headers, allow_redirects=False) as response:
                    body = await read_bounded(response.content, _LARGEST_ANSWER)
        except TimeoutError as error:
            raise TemporaryError(f"{name}: no answer within {self._deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"{name}: {error}") from error
        if response.status != 200 or len(body) > _LARGEST_ANSWER:
            raise PermanentError(f"{name}: HTTP {response.status}, {len(body)} bytes")
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise PermanentError(f"{name}: no JSON: {error}") from error


def _groups(document: Any) -> list[Mapping[str, Any]]:
    data = document.get("data") if isinstance(document, dict) else None
    return list(_mappings(data.get("groups") if isinstance(data, dict) else None))


def _rules(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return _mappings(group.get("rules"))


def _mappings(items: Any) -> Iterator[Mapping[str, Any]]:
    found: Iterable[Any] = items if isinstance(items, list) else ()
    return (each for each in found if isinstance(each, dict))


def _recorded(groups: Iterable[Mapping[str, Any]]) -> dict[str, Recorded]:
    """Return the recording rules by name; of several with one name the one that looks back furthest."""
    found: dict[str, Recorded] = {}
    for group in groups:
        for each in _rules(group):
            if each.get("type") == "recording":
                name, rule = str(each.get("name", "")), Recorded(str(each.get("query", "")), _interval(group))
                if name not in found or reach(rule.query) > reach(found[name].query):
                    found[name] = rule
    return found


def _interval(group: Mapping[str, Any]) -> float:
    return float(group.get("interval") or 60.0)


def _fits(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether the alert with these labels may be of this rule; labels of a rule may be templates."""
    own = rule.get("labels") or {}
    return rule.get("name") == labels.get("alertname") and all(
        labels.get(name) == value or "{{" in str(value) for name, value in own.items()
    )


def _rule(group: Mapping[str, Any], rule: Mapping[str, Any], recorded: Mapping[str, Recorded]) -> Rule:
    return Rule(
        name=str(rule.get("name", "")),
        query=str(rule.get("query", "")),
        for_seconds=float(rule.get("duration") or 0.0),
        keep_firing_seconds=float(rule.get("keepFiringFor") or 0.0),
        interval=_interval(group),
        labels={str(name): str(value) for name, value in (rule.get("labels") or {}).items()},
        recorded=recorded,
    )
