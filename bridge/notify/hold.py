"""Hold the page while a repair runs: short silences of ours at Alertmanager. A job of each worker, off by default.

A silence has exactly the labels of one alert that asked for the repair. It is made when the first write is near,
renewed while the repair runs, lifted at once when the repair fails or a person is needed, and never lasts beyond the
bound; when this process dies another one knows of it, and it ends by itself. One that was made in the moment of a
death is known by its comment. Nothing of a remediation waits for any of this.

Alertmanager sends no resolve for a silenced alert, so while a silence stands the alert's state is read from its API:
an alert that was there and is gone has ended, and that is taken in as the resolve that was not sent. One that is gone
because Alertmanager was restarted has not: then nothing is taken in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import structlog

from bridge.errors import PermanentError, StoreUnavailable, TemporaryError
from bridge.model import kinds
from bridge.model.alert import Alert
from bridge.model.approval import APPROVED, ASKED
from bridge.model.notice import Due, Held, Holding
from bridge.model.remediation import Entry, Outcome, RemediationView, State
from bridge.model.silence import ActiveAlert
from bridge.model.telling import HoldSpec
from bridge.ports import Clock, Intake, Journal, Notices, Silencer, WorkQueue
from bridge.telemetry import Metrics

log = structlog.get_logger(__name__)

EVERY = 5.0
"""Seconds between two looks while a silence stands."""
IDLE = 300.0
"""And while none does, beside the looks that news bring."""
_NEAR = frozenset({kinds.ADMITTED, kinds.APPLYING})
"""Kinds of journal entries after which a write is near."""
_MOST = 20
"""Silences for one remediation."""
_AT_ONCE = 50
_OVER = 7200.0
"""Seconds after the first silence, beyond all bounds."""


class PageHolder:
    """Makes, renews and lifts the silences of this installation."""

    def __init__(
        self,
        notices: Notices,
        queue: WorkQueue,
        journal: Journal,
        intake: Intake,
        silencer: Silencer,
        spec: Callable[[], HoldSpec | None],
        *,
        ours: str,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`spec` is the configuration of now; None: no page is held from now on. `ours` is who makes the silences."""
        self._ours = ours
        self._notices = notices
        self._queue = queue
        self._journal = journal
        self._intake = intake
        self._silencer = silencer
        self._spec = spec
        self._clock = clock
        self._metrics = metrics

    async def look(self) -> int:
        """Look at what is due; return how many. Raises StoreUnavailable."""
        due = await self._notices.take("holds", limit=_AT_ONCE)
        # Side by side: an Alertmanager that is slow makes no failed repair wait for others before its page goes out.
        await asyncio.gather(*(self._look_safely(each) for each in due))
        return len(due)

    async def _look_safely(self, due: Due) -> None:
        try:
            await self._look_at(due)
        except StoreUnavailable:
            raise
        except Exception:
            # One that cannot be read costs no other; it comes again when its lease is over.
            log.exception("cannot look after a held page", remediation=due.remediation)

    async def _look_at(self, due: Due) -> None:
        entries = await self._journal.read(due.remediation)
        view = await self._queue.get(due.remediation)
        before = msgspec.json.decode(due.kept, type=Holding) if due.kept else Holding()
        if view is not None and before.began is None and self._spec() is not None and _wanted(view, entries):
            # Kept before the first silence is made: whoever comes after us knows that there may be one.
            now = self._clock.now()
            before = msgspec.structs.replace(before, began=now)
            if not await self._notices.keep(
                "holds", due, msgspec.json.encode(before), read=len(entries), look_at=now + EVERY
            ):
                return
            due = msgspec.structs.replace(due, version=due.version + 1)
        after, pause = before, None
        if view is not None:
            after, pause = await self._hold(view, entries, before)
        look_at = None if pause is None else self._clock.now() + pause
        kept = msgspec.json.encode(after)
        if not await self._notices.keep("holds", due, kept, read=len(entries), look_at=look_at):
            await self._drop(after, before)

    async def _drop(self, after: Holding, before: Holding) -> None:
        """Somebody else looked meanwhile and does not know of what was made here: it must not stand unseen."""
        known = {held.silence for held in before.silences.values()}
        for held in after.silences.values():
            if held.silence not in known:
                await self._lift(held)

    async def _hold(
        self, view: RemediationView, entries: Sequence[Entry], state: Holding
    ) -> tuple[Holding, float | None]:
        """Return what stands afterwards, and after how long to look again (None: never)."""
        spec, now = self._spec(), self._clock.now()
        silences = {incident: held for incident, held in state.silences.items() if held.until > now}
        wanted = spec is not None and _wanted(view, entries)
        state = msgspec.structs.replace(state, silences=silences)
        try:
            if not silences and not wanted and (state.began is None or state.swept):
                # It may be let in, or agreed to, later; its journal tells.
                return state, None if view.state is State.DONE else IDLE
            firing = await self._firing(view)
            state = await self._take_in(view, state, firing)
            if wanted and spec is not None and state.began is not None:
                state = await self._silence(view, state, firing, spec, now)
        except (TemporaryError, PermanentError) as error:
            self._metrics.page_hold("failed")
            log.warning("a page cannot be held", remediation=view.remediation.id, error=str(error))
        state = await self._lift_over(view, state, wanted=wanted)
        if state.silences or wanted or not state.swept:
            return state, EVERY
        return state, None if view.state is State.DONE else IDLE

    # -- what stands

    async def _silence(
        self, view: RemediationView, state: Holding, firing: Mapping[str, ActiveAlert], spec: HoldSpec, now: float
    ) -> Holding:
        bound = (state.began or now) + spec.at_most
        until = min(now + spec.for_, bound)
        silences = dict(state.silences)
        for incident in view.open_incidents[:_MOST]:
            held, alert = silences.get(incident), firing.get(_fingerprint(incident))
            if alert is None or until <= now or (held and (held.until - now > spec.for_ / 2 or held.until >= until)):
                continue
            if held is None:
                await self._sweep(view, silences.values())
            comment = f"alertbridge repairs it: {_named(view)} {view.remediation.runbook}"
            silence = await self._silencer.silence(
                alert.labels, now=now, until=until, comment=comment, renew=held.silence if held else ""
            )
            self._metrics.page_hold("renewed" if held else "created")
            log.info("a page is held", remediation=view.remediation.id, incident=incident, until=until)
            silences[incident] = Held(silence=silence, until=until, labels=alert.labels)
            state = msgspec.structs.replace(state, silences=silences, swept=False)
        return state

    async def _sweep(self, view: RemediationView, known: Iterable[Held]) -> None:
        """Lift silences that were made for this remediation and that nobody remembers."""
        ids = {held.silence for held in known}
        for silence in await self._silencer.silences():
            if silence.created_by == self._ours and _named(view) in silence.comment and silence.id not in ids:
                await self._silencer.lift(silence.id)
                self._metrics.page_hold("lifted")

    async def _lift_over(self, view: RemediationView, state: Holding, *, wanted: bool) -> Holding:
        """Lift what is not to stand; a silence that cannot be lifted is tried again, and ends by itself."""
        keep = wanted or (view.state is State.DONE and view.outcome is Outcome.SUCCEEDED)
        left = {}
        for incident, held in state.silences.items():
            if (keep and incident in view.open_incidents) or not await self._lift(held):
                left[incident] = held
        swept = state.swept
        if not keep and not swept and state.began is not None:
            try:
                await self._sweep(view, left.values())
                swept = True
            except (TemporaryError, PermanentError) as error:
                log.warning("silences cannot be looked for: they end by themselves", error=str(error))
        # What is kept until the alert's end is gone by then; after so long everything has ended by itself.
        over = (keep and not wanted and not left) or (state.began or 0.0) + _OVER < self._clock.now()
        return msgspec.structs.replace(state, silences=left, swept=swept or over)

    async def _lift(self, held: Held) -> bool:
        try:
            await self._silencer.lift(held.silence)
        except (TemporaryError, PermanentError) as error:
            self._metrics.page_hold("failed")
            log.warning("a silence cannot be lifted: it ends by itself", silence=held.silence, error=str(error))
            return False
        self._metrics.page_hold("lifted")
        return True

    # -- what fires

    async def _firing(self, view: RemediationView) -> dict[str, ActiveAlert]:
        """Return the alerts that fire under the name of the one that asked first, by their fingerprint."""
        labels = view.remediation.labels
        matchers = {"alertname": labels["alertname"]} if "alertname" in labels else labels
        return {alert.fingerprint: alert for alert in await self._silencer.alerts(matchers)}

    async def _take_in(self, view: RemediationView, state: Holding, firing: Mapping[str, ActiveAlert]) -> Holding:
        """Take in the end of alerts that are gone while our silence stood."""
        gone = [
            (incident, held)
            for incident, held in state.silences.items()
            if incident in view.open_incidents and incident not in state.gone and _fingerprint(incident) not in firing
        ]
        if not gone:
            return state
        # A silence is only made for an alert that was seen; an Alertmanager that is younger than it forgot the alert.
        if await self._silencer.started_at() > (state.began or 0.0):
            return state
        await self._intake.accept([_ended(incident, held, self._clock.now()) for incident, held in gone])
        for incident, _ in gone:
            self._metrics.page_hold("resolve_read")
            log.info("an alert ended under a silence of ours", remediation=view.remediation.id, incident=incident)
        return msgspec.structs.replace(state, gone=(*state.gone, *(incident for incident, _ in gone)))


def _wanted(view: RemediationView, entries: Sequence[Entry]) -> bool:
    """Whether a repair runs: a write is near or made, it is not over, and nobody is asked anything."""
    if view.state is State.DONE:
        return False
    asked = next((entry.kind for entry in reversed(entries) if entry.kind in (ASKED, APPROVED)), APPROVED)
    return asked == APPROVED and any(entry.kind in _NEAR for entry in entries)


def _named(view: RemediationView) -> str:
    return f"remediation {view.remediation.id},"


def _fingerprint(incident: str) -> str:
    return incident.rsplit("/", 2)[1]


def _ended(incident: str, held: Held, now: float) -> Alert:
    source, fingerprint, start = incident.rsplit("/", 2)
    return Alert(
        source=source,
        fingerprint=fingerprint,
        status="resolved",
        starts_at=int(start),
        ends_at=int(now * 1e6),
        labels=held.labels,
    )
