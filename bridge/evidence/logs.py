"""Collector `logs`: the last lines of a workload's sickest pods, without credentials."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.errors import KubeForbidden, KubeInvalid, KubeNotFound
from bridge.evidence.objects import ObjectParams, meta, read_pods, read_workload
from bridge.model.redact import redact
from bridge.model.workload import Document, at, condition, number
from bridge.ports import ActionContext

_MOST_PODS = 200
_LONGEST = 32 * 1024


class LogsParams(ObjectParams):
    previous: bool = False
    """Of the container's run before the last restart."""
    lines: int = ParamField(default=50, ge=1, le=1000)
    pods: int = ParamField(default=3, ge=1, le=10)
    container: str | None = None
    """Left out: the pod's container that restarted most."""


class Logs:
    """Implements bridge.ports.Collector."""

    name = "logs"
    summary = "The last log lines of the pods that are not ready, or all if they are, with credentials taken out."
    params: type[BaseModel] = LogsParams

    async def collect(self, context: ActionContext, params: LogsParams) -> dict[str, Any]:
        """Return one item a pod, and all texts together as `text`; a pod without such a log says why in `error`."""
        ref, workload = await read_workload(context, params)
        pods = await read_pods(context, ref, workload, limit=_MOST_PODS)
        chosen = sorted(pods, key=_sickest_first)[: params.pods]
        items = await asyncio.gather(*(self._one(context, ref.namespace, pod, params) for pod in chosen))
        return {
            "previous": params.previous,
            "items": items,
            "text": "\n".join(item["text"] for item in items if item["text"]),
        }

    async def _one(self, context: ActionContext, namespace: str, pod: Document, params: LogsParams) -> dict[str, Any]:
        container = params.container or _container(pod)
        item = {"pod": meta(pod, "name"), "container": container, "text": "", "error": ""}
        try:
            text = await context.reach.cluster.logs(
                namespace, item["pod"], container=container, previous=params.previous, lines=params.lines
            )
        except KubeForbidden:
            raise
        except (KubeInvalid, KubeNotFound) as error:
            # There is no such log: the container did not start yet, was not restarted, or its pod is gone.
            return {**item, "error": str(error)}
        return {**item, "text": redact(text, longest=_LONGEST)}


def _sickest_first(pod: Document) -> tuple[bool, int, str]:
    return condition(pod, "Ready").get("status") == "True", -_restarts(pod), meta(pod, "name")


def _restarts(pod: Document) -> int:
    return sum(number(s, "restartCount") for s in at(pod, "status", "containerStatuses") or [])


def _container(pod: Document) -> str:
    """Return the container that restarted most, else the first one."""
    statuses = at(pod, "status", "containerStatuses") or []
    restarted = max(statuses, key=lambda s: number(s, "restartCount"), default=None)
    if restarted is not None and number(restarted, "restartCount"):
        return str(restarted["name"])
    return str(at(pod, "spec", "containers")[0]["name"])
