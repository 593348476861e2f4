"""Collector `logs`: the last lines of the sickest pods, without credentials, and how many of them say what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import KubeForbidden, KubeInvalid, KubeNotFound
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.lines import Expression, count_groups, count_matches
from bridge.evidence.objects import PodParams, find_pods, meta, pod_permissions
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.pod import is_ready
from bridge.model.redact import redact
from bridge.model.runbook import Duration
from bridge.model.workload import Document, at, number
from bridge.ports import ActionContext

_MOST_PODS = 200
_LONGEST = 32 * 1024


class LogsParams(PodParams):
    previous: bool = Field(default=False, description="Of the container's run before its last restart.")
    lines: int = Field(default=50, ge=1, le=1000, description="Last lines of each pod.")
    pods: int = Field(default=3, ge=1, le=20, description="How many pods: the sickest first.")
    since: Duration | None = Field(default=None, description="Only lines of the last so long, e.g. `5m`.")
    container: str | None = Field(
        default=None, description="Container; left out: the one of the pod that restarted most."
    )
    match: dict[str, Expression] = Field(
        default={}, description="Names with regular expressions (RE2): `matches` counts the lines with each."
    )
    group: dict[str, Expression] = Field(
        default={},
        description="Names with regular expressions that have a group: `groups` counts the lines by its text.",
    )


class LogItem(Facts):
    pod: str = Field(description="The pod's name.")
    namespace: str = Field(description="Its namespace.")
    container: str = Field(description="The container's name.")
    lines: int = Field(description="Lines that were read.")
    text: str = Field(description="The end of them, 32 KiB at most, newest last, without credentials.")
    error: str = Field(description="Why there is no such log; empty: there is one.")


class LogFacts(Facts):
    previous: bool = Field(description="Whether it is of the run before the last restart.")
    lines: int = Field(description="Lines that were read of all pods.")
    matches: dict[str, int] = Field(description="Lines with each of the expressions of `match`, all pods together.")
    groups: dict[str, dict[str, int]] = Field(
        description="Lines with each of the expressions of `group`, by the text of its group, 20 at most."
    )
    text: str = Field(description="All texts together.")
    items: list[LogItem] = Field(description="One for each pod.")


class Logs(BaseCollector):
    name = "logs"
    summary = "The last log lines of the pods that are not ready, or all if they are, with credentials taken out."
    params: type[BaseModel] = LogsParams
    result: type[BaseModel] = LogFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        pods = list(pod_permissions(kind, params))
        return [*pods, permit("v1", "Pod", "get", subresource="log", namespace=pods[-1].namespace)]

    async def gather(self, context: ActionContext, params: LogsParams) -> LogFacts:
        """Return one item a pod, and all texts together as `text`; a pod without such a log says why in `error`."""
        pods = await find_pods(context, params, limit=_MOST_PODS)
        chosen = sorted(pods, key=_sickest_first)[: params.pods]
        texts = await asyncio.gather(*(_read(context, pod, params) for pod in chosen))
        lines = [line for _, text in texts for line in text.splitlines()]
        items = [item for item, _ in texts]
        return LogFacts(
            previous=params.previous,
            lines=len(lines),
            matches=count_matches(params.match, lines),
            groups=count_groups(params.group, lines),
            text="\n".join(item.text for item in items if item.text),
            items=items,
        )


async def _read(context: ActionContext, pod: Document, params: LogsParams) -> tuple[LogItem, str]:
    """Return the item and the whole text that was read."""
    item = LogItem(
        pod=meta(pod, "name"),
        namespace=meta(pod, "namespace"),
        container=params.container or _container(pod),
        lines=0,
        text="",
        error="",
    )
    try:
        text = await context.reach.cluster.logs(
            item.namespace or context.target.namespace,
            item.pod,
            container=item.container,
            previous=params.previous,
            lines=params.lines,
            since=params.since,
        )
    except KubeForbidden:
        raise
    except (KubeInvalid, KubeNotFound) as error:
        # There is no such log: the container did not start yet, was not restarted, or its pod is gone.
        return item.model_copy(update={"error": str(error)}), ""
    found = {"lines": len(text.splitlines()), "text": redact(text, longest=_LONGEST)}
    return item.model_copy(update=found), text


def _sickest_first(pod: Document) -> tuple[bool, int, str]:
    return is_ready(pod), -_restarts(pod), meta(pod, "name")


def _restarts(pod: Document) -> int:
    return sum(number(s, "restartCount") for s in at(pod, "status", "containerStatuses") or [])


def _container(pod: Document) -> str:
    """Return the container that restarted most, else the first one."""
    statuses = at(pod, "status", "containerStatuses") or []
    restarted = max(statuses, key=lambda s: number(s, "restartCount"), default=None)
    if restarted is not None and number(restarted, "restartCount"):
        return str(restarted["name"])
    return str(at(pod, "spec", "containers")[0]["name"])
