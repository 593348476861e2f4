"""What an HTTP probe says of an answer: `http`, `service` and `metrics` share it. Nothing is sent from here."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
from pydantic import Field

from bridge.errors import Unreachable
from bridge.evidence.base import Facts
from bridge.model.outside import HttpReply
from bridge.model.redact import mask, redact
from bridge.model.runbook import Strict
from bridge.ports import Clock

_SHOWN = 8 * 1024
_DEEPEST = 30


class ProbeParams(Strict):
    """What is expected of an answer."""

    expect: tuple[int, ...] = Field(default=(200,), description="Statuses that are well.")
    contains: str = Field(
        default="", max_length=500, description="Text that the body has to hold as well; empty: any."
    )


class ProbeFacts(Facts):
    status: int = Field(description="The HTTP status; 0: the connection was refused.")
    ok: bool = Field(description="Whether it is as expected.")
    milliseconds: float = Field(description="How long the answer took.")
    error: str = Field(description="Why there is no answer; empty: there is one.")
    content_type: str = Field(description="What the body is, e.g. `application/json`.")
    body: str = Field(description="Beginning of the body, 8 KiB at most, without credentials.")
    truncated: bool = Field(description="Whether the body is longer than what was read of it.")
    data: Any = Field(description="The body where it is JSON, without credentials; null: it is none.")


async def probe(clock: Clock, call: Awaitable[HttpReply], params: ProbeParams) -> ProbeFacts:
    """Wait for the answer and say how it is. A refused connection is an answer; a hung one raises."""
    began = clock.monotonic()
    try:
        reply, error = await call, ""
    except Unreachable as unreachable:
        reply, error = HttpReply(0), str(unreachable)
    milliseconds = round((clock.monotonic() - began) * 1000, 1)
    return ProbeFacts(
        status=reply.status,
        ok=reply.status in params.expect and params.contains in reply.body,
        milliseconds=milliseconds,
        error=error,
        content_type=reply.content_type[:100],
        body=redact(reply.body[:_SHOWN], longest=_SHOWN),
        truncated=reply.truncated,
        data=None if reply.truncated else _json(reply.body),
    )


def _json(text: str) -> Any:
    """Return the value of a JSON text without credentials, or None: also for one that nests without end."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = msgspec.json.decode(text)
        return mask(value) if _depth(value) <= _DEEPEST else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)
