"""What is asked of systems beside Kubernetes, and their answers. Pure data; every text in it is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ExecReply(msgspec.Struct, frozen=True):
    """How a command ended, in a container or on this host."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    """Whether output beyond the bound was dropped; what is kept is its end."""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to an allow-listed host."""

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = {}
    secret_headers: Mapping[str, str] = {}
    """Header to the name of a configured secret, whose value is sent and never shown or stored."""
    body: str | None = None
    deadline: float = 10.0
    """Seconds."""
    keep: int = 64 << 10
    """Bytes of the answer's body that are read; beyond them it is `truncated`."""


class HttpReply(msgspec.Struct, frozen=True):
    status: int
    body: str = ""
    content_type: str = ""
    truncated: bool = False


class SqlReply(msgspec.Struct, frozen=True):
    """`rows` as mappings of column to plain JSON value; `status` as the server says it, e.g. `UPDATE 3`."""

    rows: tuple[Mapping[str, Any], ...] = ()
    status: str = ""
    truncated: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is told on a notification channel."""

    title: str
    text: str
    level: str = "info"
    """info, success, warning or failure."""
    thread: str = ""
    """What belongs together: channels that can keep messages of one thread together do."""
    sign: str = ""
    """`resolve` for channels that keep incidents of their own; else they are opened."""
    link: str = ""
    """Where more is to be read; for channels that show a link of their own."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One kept version of an object, without its status and the server's bookkeeping."""

    taken_at: float
    """Unix seconds by the store's clock."""
    manifest: dict[str, Any]
    good: bool
    """Whether what depends on it was well while it stood."""
    why: str = ""
    """Who or what kept it, for people."""
