"""Do what has to be done from time to time, whatever happens: a table of jobs. Put together and started by app."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from bridge.errors import StoreUnavailable
from bridge.ports import Clock
from bridge.ports.jobs import Job

log = structlog.get_logger(__name__)


async def run_jobs(jobs: Sequence[Job], clock: Clock) -> None:
    """Run the jobs side by side until cancelled; one that fails is logged and runs again."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_steadily(job, clock), name=job.name)


async def _steadily(job: Job, clock: Clock) -> None:
    away = False
    while True:
        await clock.sleep(job.every)
        try:
            await job.work()
            away = False
        except StoreUnavailable as error:
            if not away:
                log.warning("the store is away", job=job.name, error=str(error))
            away = True
        except Exception:
            # A job that fails once must not end the others, nor itself.
            log.exception("job failed", job=job.name)
