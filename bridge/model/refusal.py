"""An alert that the receiver could not take, kept so that somebody can find out why it did nothing."""

from __future__ import annotations

from enum import Enum

import msgspec


class Refused(Enum):
    """Why one alert was refused: a metric's label and a log's field."""

    WRONG_TYPE = "wrong_type"
    """A key is missing or has a value of the wrong kind."""
    BAD_TIME = "bad_time"
    """startsAt or endsAt is no RFC 3339 time, or is out of range."""
    NO_LABELS = "no_labels"
    TOO_MANY_LABELS = "too_many_labels"
    TOO_LONG = "too_long"
    """A label, an annotation or all of them together are longer than the limits."""
    NOT_TEXT = "not_text"
    """A text that no UTF-8 encodes."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One refused alert of a request."""

    at: float
    """Unix seconds, by the receiver's clock."""
    source: str
    """The credential's name."""
    sender: str
    """`alertmanager`, `grafana` or `manual`."""
    reason: Refused
    detail: str
    """What was wrong, and where in the alert."""
    index: int
    """Its place in the request's list of alerts, from 0."""
    excerpt: str
    """The beginning of the alert as it was sent, at most a few hundred characters."""
