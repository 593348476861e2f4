"""What a worker does about people from time to time. Put together here, run by app beside its other jobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bridge.model.telling import HoldSpec
from bridge.notify.courier import Courier, Send
from bridge.notify.crier import Crier
from bridge.notify.hold import PageHolder
from bridge.ports import Clock, Intake, Journal, Notices, Silencer, WorkQueue
from bridge.ports.jobs import Job
from bridge.settings import Settings
from bridge.telemetry import Metrics


def people_jobs(
    now: Callable[[], Settings],
    *,
    notices: Notices,
    queue: WorkQueue,
    journal: Journal,
    intake: Intake,
    send: Send,
    one_by_one: Callable[[str], bool],
    silencer: Silencer,
    ours: str,
    clock: Clock,
    metrics: Metrics,
) -> list[Job]:
    """Return the jobs; `now` gives the settings of now. Each channel has one, so that one that hangs delays no other.

    Channels are those of this moment: a new one takes a restart, as its address does.
    """
    crier = Crier(
        notices,
        queue,
        journal,
        lambda: now().notify,
        external_url=lambda: now().external_url,
        holds=lambda: _hold(now()) is not None,
        clock=clock,
    )
    courier = Courier(
        notices,
        send,
        one_by_one=one_by_one,
        external_url=lambda: now().external_url,
        clock=clock,
        metrics=metrics,
    )
    holder = PageHolder(
        notices, queue, journal, intake, silencer, lambda: _hold(now()), ours=ours, clock=clock, metrics=metrics
    )
    channels = now().notify.channels
    metrics.channels(channels)
    return [
        Job("tell", 1.0, crier.look),
        Job("hold pages", 0.5, holder.look),
        Job("stray messages", 60.0, lambda: courier.strays(channels)),
        *(Job(f"send to {channel}", 1.0, partial(courier.deliver, channel)) for channel in channels),
    ]


def _hold(settings: Settings) -> HoldSpec | None:
    """Return how pages are held while a repair runs; None: they are not."""
    return settings.alertmanager.hold_page if settings.alertmanager is not None else None
