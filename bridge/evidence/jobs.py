"""Collector `jobs`: the Jobs of a namespace and their CronJobs: running, done, failed, overdue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import PlaceParams, age, meta, place
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.redact import redact
from bridge.model.workload import Document, at, condition, number, parse_time
from bridge.ports import ActionContext

BATCH = "batch/v1"
_MOST = 500
_MOST_ITEMS = 50


class JobsParams(PlaceParams):
    labels: dict[str, str] = Field(default={}, description="Only Jobs and CronJobs with these labels.")


class JobItem(Facts):
    name: str = Field(description="Its name.")
    cron_job: str = Field(description="The CronJob that made it; empty: none did.")
    active: int = Field(description="Its pods that run.")
    succeeded: int = Field(description="Its pods that ended well.")
    failed: int = Field(description="Its pods that ended badly.")
    complete: bool = Field(description="Whether it ended well.")
    broken: bool = Field(description="Whether it ended badly, for good.")
    suspended: bool = Field(description="Whether somebody suspended it.")
    message: str = Field(description="Why it ended badly.")
    started_seconds: float = Field(description="How long ago it began; 0: it did not.")
    duration_seconds: float = Field(description="How long it took, or has run for.")


class CronJobItem(Facts):
    name: str = Field(description="Its name.")
    schedule: str = Field(description="When it runs, as cron has it.")
    suspended: bool = Field(description="Whether somebody suspended it.")
    active: int = Field(description="Jobs of it that run.")
    scheduled_seconds: float = Field(description="How long ago its last Job began; 0: none did.")
    succeeded_seconds: float = Field(description="How long ago a Job of it ended well last; 0: none did.")
    failing: bool = Field(description="Whether the last Job that it began has not ended well and none runs.")


class JobsFacts(Facts):
    total: int = Field(description="Jobs that there are.")
    active: int = Field(description="Those that run.")
    complete: int = Field(description="Those that ended well.")
    broken: int = Field(description="Those that ended badly, for good.")
    cron_jobs: int = Field(description="CronJobs that there are.")
    failing: int = Field(description="CronJobs whose last Job has not ended well.")
    items: list[JobItem] = Field(description="The Jobs, the newest first, 50 at most.")
    cron: list[CronJobItem] = Field(description="The CronJobs, 50 at most.")


class Jobs(BaseCollector):
    name = "jobs"
    summary = "The Jobs and CronJobs of a namespace: running, done, failed, and when they last did well."
    params: type[BaseModel] = JobsParams
    result: type[BaseModel] = JobsFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit(BATCH, "Job", "list"), permit(BATCH, "CronJob", "list")]

    async def gather(self, context: ActionContext, params: JobsParams) -> JobsFacts:
        namespace, labels = place(context, params), params.labels or None
        cluster, now = context.reach.cluster, context.reach.clock.now()
        jobs = [_job(job, now) for job in await cluster.list(BATCH, "Job", namespace, labels=labels, limit=_MOST)]
        cron = [
            _cron(one, now) for one in await cluster.list(BATCH, "CronJob", namespace, labels=labels, limit=_MOST)
        ]
        jobs.sort(key=lambda item: (item.started_seconds or float("inf"), item.name))
        return JobsFacts(
            total=len(jobs),
            active=sum(item.active > 0 for item in jobs),
            complete=sum(item.complete for item in jobs),
            broken=sum(item.broken for item in jobs),
            cron_jobs=len(cron),
            failing=sum(item.failing for item in cron),
            items=jobs[:_MOST_ITEMS],
            cron=sorted(cron, key=lambda item: (not item.failing, item.name))[:_MOST_ITEMS],
        )


def _job(job: Document, now: float) -> JobItem:
    failed = condition(job, "Failed")
    started = parse_time(at(job, "status", "startTime"))
    ended = parse_time(at(job, "status", "completionTime")) or parse_time(failed.get("lastTransitionTime"))
    owners = at(job, "metadata", "ownerReferences") or []
    return JobItem(
        name=meta(job, "name"),
        cron_job=next((str(one.get("name")) for one in owners if one.get("kind") == "CronJob"), ""),
        active=number(job, "status", "active"),
        succeeded=number(job, "status", "succeeded"),
        failed=number(job, "status", "failed"),
        complete=condition(job, "Complete").get("status") == "True",
        broken=failed.get("status") == "True",
        suspended=bool(at(job, "spec", "suspend")),
        message=redact(str(failed.get("message") or ""), longest=400),
        started_seconds=age(started, now),
        duration_seconds=max(0.0, (ended or now) - started) if started else 0.0,
    )


def _cron(cron: Document, now: float) -> CronJobItem:
    active = len(at(cron, "status", "active") or [])
    scheduled = parse_time(at(cron, "status", "lastScheduleTime"))
    succeeded = parse_time(at(cron, "status", "lastSuccessfulTime"))
    return CronJobItem(
        name=meta(cron, "name"),
        schedule=str(at(cron, "spec", "schedule") or ""),
        suspended=bool(at(cron, "spec", "suspend")),
        active=active,
        scheduled_seconds=age(scheduled, now),
        succeeded_seconds=age(succeeded, now),
        failing=bool(scheduled and not active and succeeded < scheduled),
    )
