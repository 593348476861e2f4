"""What people are told of a remediation, and what is remembered of it. Pure data; bridge.notify decides.

One message goes to one channel, once: its name is unique among those of its remediation.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

from bridge.model.outside import Message


class Severity(Enum):
    """How bad it is: the one scale that every other is mapped onto."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Event(Enum):
    """What people can be told of."""

    STARTED = "started"
    """It begins to change something."""
    WAITING = "waiting"
    """It waits for a person's approval."""
    UPDATE = "update"
    """It still runs."""
    DONE = "done"
    """It ended, and nobody is needed."""
    OBSERVED = "observed"
    """It ended with a plan that nobody carries out."""
    ESCALATED = "escalated"
    """It ended, and a person is needed: also each further level and each repetition."""
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    """Every alert that asked for it ended after a person was called."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message that is to be sent."""

    name: str
    """Such as `escalated-2/on-call`."""
    channel: str
    event: Event
    message: Message


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has taken it on: nobody further is called."""

    by: str
    why: str = ""
    at: float = 0.0
    """Unix seconds by the store's clock."""


class Paged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered of the calls for one cause, over all the firings of an alert that comes and goes.

    Times are unix seconds by the store's clock.
    """

    at: float
    """When people were called for it, for the first time or anew."""
    severity: Severity
    holder: str
    """The remediation that calls, or the last one of this cause when nobody is called."""
    seen: float | None = None
    """When the holder's alerts ended; None: they fire."""
    ack: Ack | None = None
    level: int = 0
    calls: int = 0
    call_at: float | None = None
    heard_by: float | None = None
    """As in Told: where the ladder stood when the firing ended. heard_by: nobody had been reached by then."""
    others: tuple[str, ...] = ()
    """Remediations of the same cause that leave the calling to the holder: they are to look when it ends."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one cause, with its version; and, for `Notices.keep`, what is to be kept from now on."""

    cause: str
    version: int = 0
    kept: bytes = b""
    seconds: float = 0.0
    """For how long from now on."""
    wake: tuple[str, ...] = ()
    """Remediations that are to be looked at because of it."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was told of one remediation, kept between looks. Times are unix seconds by the store's clock."""

    read: int = 0
    """Entries of the journal that were looked at."""
    started_at: float | None = None
    """When the first write was told of."""
    updates: int = 0
    update_at: float | None = None
    done: bool = False
    level: int = 0
    """How many levels of the ladder were called."""
    calls: int = 0
    """How often somebody was called, repetitions too."""
    call_at: float | None = None
    """When the next level is called."""
    heard_by: float | None = None
    """When it is looked whether the last call has arrived anywhere."""
    acked: bool = False
    resolved: bool = False
    waits: bool = False
    """People were called for the same cause a short while ago: nobody is, as long as that holds."""
    stand_at: float | None = None
    """waits: when it is looked again whether that holds."""
    carried: int = 0
    """How many of `calls` were made by remediations of the same cause before."""
    called: tuple[str, ...] = ()
    """Channels on which somebody was called: they hear of the end as well."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One silence of ours. Times are unix seconds."""

    silence: str
    """Its id at Alertmanager."""
    until: float
    labels: dict[str, str]


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """The silences that stand for one remediation, kept between looks; by the incident that each is for."""

    began: float | None = None
    silences: dict[str, Held] = {}
    gone: tuple[str, ...] = ()
    """Incidents whose end was read from Alertmanager."""
    swept: bool = False
    """Whether it was looked for silences of its own that nobody remembers, after the last one was made."""


class Due(msgspec.Struct, frozen=True):
    """A remediation that is to be looked at: it has news, or its time has come."""

    remediation: str
    version: int
    """Of what is kept, for `Notices.keep`."""
    kept: bytes = b""
    """What was kept by the last look; empty at the first."""
    ack: Ack | None = None


class Sending(msgspec.Struct, frozen=True):
    """One message that is handed out to be sent."""

    remediation: str
    name: str
    message: Message
    attempts: int
    """This one included."""
    at: float
    """When it was written, unix seconds by the store's clock."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one message."""

    name: str
    channel: str
    state: Literal["waiting", "sent", "lost", "withdrawn"]
    """lost: given up, after as many tries as are made; withdrawn: it was out of date before it could be sent."""
    at: float
    """When it was written, or sent, or given up; unix seconds by the store's clock."""
    attempts: int = 0
    error: str = ""
    """Of the last try."""


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of what people were told of one remediation."""

    ack: Ack | None = None
    messages: tuple[Delivery, ...] = ()
    """Oldest first."""
