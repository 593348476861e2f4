"""What is to be told of a remediation now, and when to look again. Pure; called by crier for each look.

It works from the journal and from what was told before, so that any process can look at any time: a look that is made
twice tells the same, and its messages have the same names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from bridge.model import kinds
from bridge.model.approval import ASKED, digest_of
from bridge.model.notice import Ack, Event, Paged, Told
from bridge.model.remediation import Entry, Outcome, RemediationView, State
from bridge.model.telling import Level, Notify
from bridge.notify.again import Stance, cause_of, remembered, stance, to_wake, with_ack

MOST_CALLS = 48
"""How often people are called for one remediation, all levels and repetitions."""
STILL_FIRING = 7200.0
"""Seconds after a proved repair in which its alerts have to end: more than an ordinary rule looks back. Then a person
is called: the proof and the alert say two things, and one of them is wrong."""
HEARD_WITHIN = 180.0
"""Seconds in which a call has to arrive on one of its channels, or the next level is called without more waiting."""
_ENDS = frozenset({Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNDONE})
"""What is told as `done`. What was denied, suppressed or cancelled changed nothing, and is in `explain`."""


class Say(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell."""

    name: str
    """Unique among those of the remediation."""
    event: Event
    channels: tuple[str, ...]
    level: str = ""
    """escalated: who is called."""
    unreached: str = ""
    """escalated: who was called before, on channels that all fail."""


class Look(msgspec.Struct, frozen=True):
    """What follows from one look."""

    say: tuple[Say, ...]
    told: Told
    look_at: float | None
    """Unix seconds; None: with the next news."""
    withdraw: tuple[str, ...] = ()
    """What the names of messages begin with that are out of date: what was not sent yet is not."""
    paged: Paged | None = None
    """What is to be remembered of its cause; None: it has none."""
    wake: tuple[str, ...] = ()
    """Remediations of the same cause that are to be looked at."""
    ack: Ack | None = None
    """Who has taken it on, or another one of its cause."""


def look(
    rules: Notify,
    view: RemediationView,
    entries: Sequence[Entry],
    ack: Ack | None,
    told: Told,
    *,
    now: float,
    sent: Collection[str] | None = None,
    paged: Paged | None = None,
) -> Look:
    """Return what to tell of `view`, whose journal is `entries`, when `told` was told before.

    `sent` names the messages that have arrived; None: that is not known, and nobody is passed over.
    `paged` is what is remembered of the calls for the same cause.
    """
    return _Look(rules, view, entries, ack, told, now, sent, paged).look()


class _Look:
    def __init__(
        self,
        rules: Notify,
        view: RemediationView,
        entries: Sequence[Entry],
        ack: Ack | None,
        told: Told,
        now: float,
        sent: Collection[str] | None,
        paged: Paged | None,
    ) -> None:
        self._rules = rules
        self._view = view
        self._rem = view.remediation
        self._entries = entries
        self._ack = ack
        self._told = told
        self._now = now
        self._severity = rules.severity.of(self._rem.runbook, self._rem.labels, self._rem.severity)
        self._sent = sent
        self._cause = cause_of(view)
        self._paged = paged if self._cause else None
        self._fresh = view.state is State.DONE and not told.done
        self._anew = False
        self._cut: tuple[float | None, float | None] | None = None
        """Where the ladder stood (`call_at`, `heard_by`) when the end of the alerts stopped it."""
        self._own_ack = ack
        if ack is None and self._paged is not None and not self._resolved:
            self._ack = self._paged.ack
        self._say: list[Say] = []
        self._withdraw: dict[str, None] = {}

    def look(self) -> Look:
        fresh = self._entries[self._told.read :]
        self._set(read=len(self._entries))
        self._begun(fresh)
        self._asked(fresh)
        if self._view.state is State.DONE:
            self._ended()
            self._call()
        else:
            self._update()
        told = self._told
        times = [at for at in (told.update_at, told.call_at, told.heard_by, told.stand_at) if at is not None]
        paged, wake = self._remembered()
        return Look(tuple(self._say), told, min(times, default=None), tuple(self._withdraw), paged, wake, self._ack)

    def _remembered(self) -> tuple[Paged | None, tuple[str, ...]]:
        if not self._cause:
            return None, ()
        told, name = self._told, self._rem.id
        if self._cut is not None:
            told = msgspec.structs.replace(told, call_at=self._cut[0], heard_by=self._cut[1])
        found = remembered(
            self._paged,
            told,
            name,
            severity=self._severity,
            fresh=self._fresh,
            anew=self._anew,
            over=self._resolved,
            now=self._now,
        )
        found = with_ack(found, self._ack)
        return found, to_wake(self._paged, found, name)

    def _out_of_date(self, *events: Event) -> None:
        self._withdraw.update(dict.fromkeys(event.value for event in events))

    def _set(self, **fields: object) -> None:
        self._told = msgspec.structs.replace(self._told, **fields)

    def _tell(self, name: str, event: Event, more: Sequence[str] = (), level: str = "") -> None:
        channels = dict.fromkeys((*self._channels(event), *more))
        if channels:
            self._say.append(Say(name=name, event=event, channels=tuple(channels), level=level))

    def _channels(self, event: Event) -> Iterator[str]:
        for rule in self._rules.rules:
            if event in rule.on and rule.meets(self._rem.runbook, self._rem.labels, self._severity):
                yield from rule.channels

    # -- while it runs

    def _begun(self, fresh: Sequence[Entry]) -> None:
        if self._told.started_at is not None or not any(entry.kind == kinds.APPLYING for entry in fresh):
            return
        self._set(started_at=self._now, update_at=self._now + self._rules.update_every)
        if self._view.state is not State.DONE:
            # When it is over by now, the end says everything.
            self._out_of_date(Event.WAITING)
            self._tell("started", Event.STARTED)

    def _asked(self, fresh: Sequence[Entry]) -> None:
        for entry in fresh:
            if entry.kind == ASKED and self._view.state is not State.DONE:
                plans = entry.data.get("question", {}).get("plans", {})
                # The same plan is the same question, whoever planned it again.
                self._out_of_date(Event.WAITING)
                self._tell(f"waiting-{_short(plans)}", Event.WAITING)

    def _update(self) -> None:
        due = self._told.update_at
        if due is None or due > self._now:
            return
        # One for a while in which nobody looked, not one for each time that was missed.
        self._set(updates=self._told.updates + 1, update_at=self._now + self._rules.update_every)
        self._out_of_date(Event.UPDATE)
        self._tell(f"update-{self._told.updates}", Event.UPDATE)

    # -- the end, and after it

    def _ended(self) -> None:
        if self._told.done:
            return
        self._set(done=True, update_at=None)
        self._out_of_date(Event.STARTED, Event.WAITING, Event.UPDATE)
        if self._cause:
            self._set(waits=True)
        elif self._view.escalated:
            self._set(call_at=self._now)
        elif self._view.outcome is Outcome.OBSERVED:
            self._tell("observed", Event.OBSERVED)
        elif self._view.outcome in _ENDS or self._told.started_at is not None:
            self._tell("done", Event.DONE)
        if self._fires_on:
            self._set(call_at=self._now + STILL_FIRING)

    @property
    def _fires_on(self) -> bool:
        """Whether an alert fires on that was called mended; nobody ends what a person asked for by hand."""
        mended = self._view.outcome is Outcome.SUCCEEDED and not self._view.escalated
        return mended and bool(self._view.open_incidents) and not self._rem.requested_by

    @property
    def _mended(self) -> bool:
        """Whether nobody is needed any more, although a call was planned."""
        return not self._view.escalated and not self._cause and not self._fires_on

    @property
    def _resolved(self) -> bool:
        return bool(self._view.incidents) and not self._view.open_incidents

    def _call(self) -> None:
        if self._told.waits:
            self._stand()
        called = self._told.calls > self._told.carried
        begun = self._told.calls > 0 and not self._told.waits
        if begun and self._resolved and not self._told.resolved:
            self._cut = (self._told.call_at, None if self._heard() else self._told.heard_by)
            self._set(resolved=True, call_at=None, heard_by=None)
            # A call that could not be sent yet is in vain now, and must not open again what this closes.
            self._out_of_date(Event.ESCALATED, Event.ACKNOWLEDGED)
            if called:
                self._tell("resolved", Event.RESOLVED, self._told.called)
        elif self._ack is not None and not self._told.acked and (called or self._told.call_at is not None):
            self._set(acked=True, call_at=None, heard_by=None)
            self._out_of_date(Event.ESCALATED)
            if called:
                self._tell("acknowledged", Event.ACKNOWLEDGED, self._told.called)
        elif self._told.call_at is not None and not called and self._mended:
            # It was mended, and its alerts have ended since: nobody hears more of it.
            self._set(call_at=None)
        elif self._told.call_at is not None and self._told.call_at <= self._now:
            self._call_next()
        elif self._told.heard_by is not None and self._told.heard_by <= self._now:
            self._look_who_heard()

    def _stand(self) -> None:
        """See whether people are to be called by now, who know of the same cause or are called by another one."""
        found, at = stance(self._paged, self._severity, self._rules.tell_again, self._now)
        if self._resolved and not self._fresh:
            self._set(stand_at=None)
        elif found is Stance.ANEW:
            self._anew, self._ack = True, self._own_ack
            self._set(waits=False, stand_at=None, call_at=self._now)
        elif found is Stance.LEAVE or self._resolved:
            self._set(stand_at=None if self._resolved else at)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Take up the ladder where the last firing left it."""
        before, levels = self._paged, self._levels()
        assert before is not None
        level = min(before.level, len(levels))
        self._set(waits=False, stand_at=None, calls=before.calls, carried=before.calls, level=level)
        self._set(call_at=before.call_at)
        if before.heard_by is None or not level or self._ack is not None:
            return
        # Nobody has been reached: the same level hears of it now, or the next one when its time is over.
        if before.heard_by <= self._now:
            self._call_next(unreached=levels[level - 1].name)
        else:
            self._set(level=level - 1)
            self._call_next()
            self._set(call_at=before.call_at, heard_by=before.heard_by)

    def _heard(self) -> bool:
        """Whether the last call is known to have arrived on one of its channels, or that is not known."""
        levels, at = self._levels(), min(self._told.level, len(self._levels())) - 1
        if self._sent is None or at < 0:
            return True
        names = {f"{Event.ESCALATED.value}-{self._told.calls}/{channel}" for channel in levels[at].channels}
        return bool(names & set(self._sent))

    def _look_who_heard(self) -> None:
        """Call the next level at once when nobody can have heard of the last call."""
        levels, before = self._levels(), self._told.level - 1
        last = before + 1 >= len(levels)
        if self._sent is None or last or before < 0:
            self._set(heard_by=None)
            return
        if self._heard():
            self._set(heard_by=None)
        else:
            self._call_next(unreached=levels[before].name)

    def _call_next(self, unreached: str = "") -> None:
        calls = self._told.calls + 1
        # What has resolved by itself wakes nobody: it is told by rules, and no ladder begins.
        levels = () if self._resolved else self._levels()
        if self._resolved:
            self._cut = (self._now if self._levels() else None, None)
        at = min(self._told.level, len(levels) - 1)
        level = levels[at] if levels else None
        # By rules the first time alone: whoever is called later is named by the ladder.
        by_rules = tuple(self._channels(Event.ESCALATED)) if calls == 1 else ()
        channels = tuple(dict.fromkeys((*by_rules, *(level.channels if level else ()))))
        if channels:
            name = level.name if level else ""
            say = Say(
                name=f"{Event.ESCALATED.value}-{calls}",
                event=Event.ESCALATED,
                channels=channels,
                level=name,
                unreached=unreached,
            )
            self._say.append(say)
        self._set(
            level=min(self._told.level + 1, len(levels)),
            calls=calls,
            call_at=self._now + level.within if level and calls < MOST_CALLS else None,
            heard_by=self._now + HEARD_WITHIN if level and at + 1 < len(levels) else None,
            called=tuple(dict.fromkeys((*self._told.called, *channels))),
            resolved=self._resolved,
        )

    def _levels(self) -> tuple[Level, ...]:
        """Return the levels of the first ladder that fits."""
        for ladder in self._rules.escalation:
            if ladder.meets(self._rem.runbook, self._rem.labels, self._severity):
                return ladder.levels
        return ()


def _short(plans: object) -> str:
    """Return what stands for the plans of a question in a message's name."""
    return digest_of(plans) if isinstance(plans, dict) else "0"
