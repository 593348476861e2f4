"""Collector `api_health`: how the Kubernetes API server says that it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, Field

from bridge.errors import CircuitOpen, KubeForbidden, KubeUnavailable
from bridge.evidence.base import BaseCollector, Facts
from bridge.model.outside import HttpReply
from bridge.model.permission import Permission
from bridge.model.runbook import Strict
from bridge.model.workload import at
from bridge.ports import ActionContext

_CHECK = re.compile(r"^\[([+-])\](\S+)", re.MULTILINE)
_MOST_CHECKS = 200
_SECONDS = 3.0


class ApiHealthFacts(Facts):
    reachable: bool = Field(description="Whether it answered at all.")
    ready: bool = Field(description="Whether it says that it is ready to serve (`/readyz`).")
    live: bool = Field(description="Whether it says that it lives (`/livez`).")
    ready_status: int = Field(description="HTTP status of `/readyz`; 0: no answer.")
    live_status: int = Field(description="HTTP status of `/livez`; 0: no answer.")
    milliseconds: float = Field(description="How long the slower of the two answers took.")
    checks: dict[str, bool] = Field(description="Its own checks, such as `etcd`: whether each is well.")
    failed: list[str] = Field(description="Names of those that are not.")
    version: str = Field(description="Its version; empty: not known.")
    error: str = Field(description="Why there is no answer; empty: there is one.")


class ApiHealth(BaseCollector):
    """An API server that does not answer is a result (`reachable` is false), not a missing one."""

    name = "api_health"
    summary = "The Kubernetes API server's own health: /readyz and /livez with their checks, and its version."
    params: type[BaseModel] = Strict
    result: type[BaseModel] = ApiHealthFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        # Its health and version are open to everybody who is logged in (ClusterRole system:public-info-viewer).
        return []

    async def gather(self, context: ActionContext, params: Strict) -> ApiHealthFacts:
        """Return the state. Raises KubeForbidden where these may not be asked."""
        clock = context.reach.clock
        replies, times, error = [], [], ""
        for path in ("/readyz?verbose", "/livez?verbose"):
            began = clock.monotonic()
            try:
                async with asyncio.timeout(_SECONDS):
                    replies.append(await context.reach.cluster.health(path))
            except TimeoutError:
                replies.append(HttpReply(0))
                error = error or f"no answer within {_SECONDS:g} s"
            except (KubeUnavailable, CircuitOpen) as unavailable:
                replies.append(HttpReply(0))
                error = error or str(unavailable)
            times.append(clock.monotonic() - began)
        ready, live = replies
        checks = {name: sign == "+" for reply in replies for sign, name in _CHECK.findall(reply.body)[:_MOST_CHECKS]}
        reachable = bool(ready.status or live.status)
        return ApiHealthFacts(
            reachable=reachable,
            ready=ready.status == 200,
            live=live.status == 200,
            ready_status=ready.status,
            live_status=live.status,
            milliseconds=round(max(times) * 1000, 1),
            checks=checks,
            failed=sorted(name for name, well in checks.items() if not well),
            version=await _version(context) if reachable else "",
            error=error,
        )


async def _version(context: ActionContext) -> str:
    try:
        reply = await context.reach.cluster.health("/version")
        return str(at(msgspec.json.decode(reply.body), "gitVersion") or "")
    except (KubeUnavailable, KubeForbidden, CircuitOpen, msgspec.DecodeError):
        return ""
