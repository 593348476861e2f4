"""Collector `pods`: how pods are: of a workload, a node, a namespace, or with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import MOST_PODS, PodParams, age, find_pods, meta, pod_permissions, worth
from bridge.model.permission import Permission
from bridge.model.pod import container_statuses, is_crashlooping, is_leaving, is_oom_killed, is_ready
from bridge.model.redact import redact
from bridge.model.workload import Document, at, condition, number, parse_time
from bridge.ports import ActionContext

_MOST_ITEMS = 50
_IMAGE_ERRORS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)


class ContainerItem(Facts):
    name: str = Field(description="Its name.")
    ready: bool = Field(description="Whether it is ready.")
    restarts: int = Field(description="How often it was restarted.")
    state: str = Field(description="`running`, `waiting` or `terminated`; empty: not known yet.")
    reason: str = Field(description="Why it waits or ended, such as CrashLoopBackOff.")
    last_reason: str = Field(description="Why its run before ended, such as OOMKilled; empty: there was none.")
    last_exit_code: int = Field(description="Exit code of its run before; -1: there was none.")
    last_message: str = Field(description="What its run before left as its last words, without credentials.")
    last_ended_seconds: float = Field(description="How long ago its run before ended; 0: there was none.")
    cpu_request: float = Field(description="Cores that it asked for; 0: none.")
    cpu_limit: float = Field(description="Cores that it may use; 0: no limit.")
    memory_request: float = Field(description="Bytes that it asked for; 0: none.")
    memory_limit: float = Field(description="Bytes that it may use; 0: no limit.")


class PodItem(Facts):
    name: str = Field(description="Its name.")
    namespace: str = Field(description="Its namespace.")
    phase: str = Field(description="Pending, Running, Succeeded, Failed or Unknown.")
    ready: bool = Field(description="Whether it is ready.")
    reason: str = Field(description="What is wrong with it, as `kubectl get pods` shows it; empty: nothing is.")
    restarts: int = Field(description="How often its containers were restarted.")
    restart_reason: str = Field(description="Why a container ended last, such as OOMKilled; empty: none did.")
    exit_code: int = Field(description="Exit code of the container that ended last; -1: none did.")
    restarted_seconds: float = Field(description="How long ago a container ended last; 0: none did.")
    crashlooping: bool = Field(description="Whether it waits between crashes.")
    oom_killed: bool = Field(description="Whether a container ended because it used too much memory.")
    image_pull_error: bool = Field(description="Whether an image cannot be had.")
    unschedulable: bool = Field(description="Whether no node has room for it.")
    age_seconds: float = Field(description="How long ago it was made.")
    node: str = Field(description="Node that it is on; empty: none.")
    ip: str = Field(description="Its address; empty: none.")
    images: list[str] = Field(description="Images of its containers.")
    containers: list[ContainerItem] = Field(description="Its containers, those that only begin it first.")


class PodFacts(Facts):
    total: int = Field(description="Pods, those on their way out left out of all but `terminating`.")
    ready: int = Field(description="Those that are ready.")
    crashlooping: int = Field(description="Those that wait between crashes.")
    oom_killed: int = Field(description="Those of which a container ended because it used too much memory.")
    image_pull_errors: int = Field(description="Those whose image cannot be had.")
    pending: int = Field(description="Those that have not begun.")
    unschedulable: int = Field(description="Those that no node has room for.")
    failed: int = Field(description="Those that ended badly.")
    not_running: int = Field(description="Those that are neither running nor done.")
    terminating: int = Field(description="Those on their way out.")
    restarts: int = Field(description="How often their containers were restarted.")
    restart_reasons: dict[str, int] = Field(description="Pods by why a container of theirs ended last.")
    restarted_seconds: float = Field(description="How long ago any container ended last; 0: none did.")
    nodes: dict[str, int] = Field(description="Pods by the node that they are on.")
    truncated: bool = Field(description="Whether there are more than were read.")
    items: list[PodItem] = Field(description="The pods, the worst first, 50 at most.")


class Pods(BaseCollector):
    name = "pods"
    summary = "Counts of pods by what is wrong with them, why their containers ended, and the pods themselves."
    params: type[BaseModel] = PodParams
    result: type[BaseModel] = PodFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return pod_permissions(kind, params)

    async def gather(self, context: ActionContext, params: PodParams) -> PodFacts:
        """Return counts (pods on their way out are only in `terminating`) and up to 50 items, the worst first."""
        found = await find_pods(context, params, limit=MOST_PODS)
        now = context.reach.clock.now()
        items = [_item(pod, now) for pod in found if not is_leaving(pod)]
        items.sort(key=lambda item: (item.ready or item.phase == "Succeeded", -item.restarts, item.name))
        return PodFacts(
            total=len(items),
            ready=sum(item.ready for item in items),
            crashlooping=sum(item.crashlooping for item in items),
            oom_killed=sum(item.oom_killed for item in items),
            image_pull_errors=sum(item.image_pull_error for item in items),
            pending=sum(item.phase == "Pending" for item in items),
            unschedulable=sum(item.unschedulable for item in items),
            failed=sum(item.phase == "Failed" for item in items),
            not_running=sum(item.phase not in ("Running", "Succeeded") for item in items),
            terminating=len(found) - len(items),
            restarts=sum(item.restarts for item in items),
            restart_reasons=_counted(item.restart_reason for item in items),
            restarted_seconds=min((item.restarted_seconds for item in items if item.restart_reason), default=0.0),
            nodes=_counted(item.node for item in items),
            truncated=len(found) >= MOST_PODS,
            items=items[:_MOST_ITEMS],
        )


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common(50))


def _item(pod: Document, now: float) -> PodItem:
    statuses = container_statuses(pod)
    waiting = {str(at(s, "state", "waiting", "reason") or "") for s in statuses} - {""}
    ended = [
        found for s in statuses for found in (at(s, "state", "terminated"), at(s, "lastState", "terminated")) if found
    ]
    last = max(ended, key=lambda found: parse_time(found.get("finishedAt")), default=None)
    scheduled = condition(pod, "PodScheduled")
    return PodItem(
        name=meta(pod, "name"),
        namespace=meta(pod, "namespace"),
        phase=str(at(pod, "status", "phase") or ""),
        ready=is_ready(pod),
        reason=_reason(pod, waiting, ended),
        restarts=sum(number(s, "restartCount") for s in statuses),
        restart_reason=str(last.get("reason") or "Error") if last else "",
        exit_code=number(last, "exitCode") if last else -1,
        restarted_seconds=age(parse_time(last.get("finishedAt")), now) if last else 0.0,
        crashlooping=is_crashlooping(pod),
        oom_killed=is_oom_killed(pod),
        image_pull_error=bool(waiting & _IMAGE_ERRORS),
        unschedulable=scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable",
        age_seconds=age(parse_time(meta(pod, "creationTimestamp")), now),
        node=str(at(pod, "spec", "nodeName") or ""),
        ip=str(at(pod, "status", "podIP") or ""),
        images=[str(c.get("image", "")) for c in at(pod, "spec", "containers") or []],
        containers=_containers(pod, now),
    )


def _containers(pod: Document, now: float) -> list[ContainerItem]:
    known = {str(s.get("name")): s for s in container_statuses(pod)}
    declared = [*(at(pod, "spec", "initContainers") or []), *(at(pod, "spec", "containers") or [])]
    return [_container(c, known.get(str(c.get("name")), {}), now) for c in declared]


def _container(declared: Document, status: Document, now: float) -> ContainerItem:
    state = next(iter(status.get("state") or {}), "")
    before = at(status, "lastState", "terminated") or {}
    return ContainerItem(
        name=str(declared.get("name") or ""),
        ready=bool(status.get("ready")),
        restarts=number(status, "restartCount"),
        state=state,
        reason=str(at(status, "state", state, "reason") or ""),
        last_reason=str(before.get("reason") or "Error") if before else "",
        last_exit_code=number(before, "exitCode") if before else -1,
        last_message=redact(str(before.get("message") or ""), longest=400),
        last_ended_seconds=age(parse_time(before.get("finishedAt")), now),
        cpu_request=worth(at(declared, "resources", "requests", "cpu")),
        cpu_limit=worth(at(declared, "resources", "limits", "cpu")),
        memory_request=worth(at(declared, "resources", "requests", "memory")),
        memory_limit=worth(at(declared, "resources", "limits", "memory")),
    )


def _reason(pod: Document, waiting: set[str], ended: list[dict[str, Any]]) -> str:
    """Return what `kubectl get pods` would show as the pod's state, roughly."""
    if waiting:
        return sorted(waiting)[0]
    if own := at(pod, "status", "reason"):
        return str(own)
    if not is_ready(pod) and ended:
        return str(ended[0].get("reason") or "Error")
    return str(condition(pod, "PodScheduled").get("reason") or "")
