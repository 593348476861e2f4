"""How much one request, one connection and all of them together may take. Made by app from the settings."""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what a request carries. What is beyond them is refused, never cut."""

    body_bytes: int = 16 * MIB
    """Longest body; beyond it 413, however its length was announced."""
    buffered_bytes: int = 128 * MIB
    """All bodies together that are being received; beyond it 503."""
    values: int = 1_000_000
    """Most values (counted by commas) in a body above 1 MiB: bounds the memory that decoding takes."""
    alerts: int = 20_000
    """Most alerts in one request; beyond it 413."""
    labels: int = 128
    """Most labels, and most annotations, of one alert; beyond it that alert is refused."""
    label_chars: int = 8 * KIB
    """Longest label name or value, in characters."""
    alert_chars: int = 256 * KIB
    """Labels and annotations of one alert together, in characters."""
    pending_alerts: int = 200_000
    """Alerts that wait for the store at a time; beyond it 503."""


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what connections take. Times in seconds; a look now and then finds who is over them."""

    connections: int = 1000
    """Beyond it an idle connection makes room; if none is idle, the new one is served from the reserve."""
    reserve: int = 64
    """Connections above the cap that get answers from the health endpoints only; more are closed at once."""
    header_seconds: float = 5.0
    """From the first byte of a request (or the connection's begin) to the end of its header."""
    body_seconds: float = 7.0
    """From the header's end to the body's, prolonged by a second for each `body_rate` bytes that came."""
    body_rate: int = 64 * KIB
    idle_seconds: float = 75.0
    """How long a connection may wait for its next request."""
    write_seconds: float = 20.0
    """How long a client may leave an answer unread."""
    linger_seconds: float = 3.0
    """How long the rest of a refused body is read and thrown away, so that the client reads our answer."""
    handshake_seconds: float = 5.0
    look_seconds: float = 1.0
    """How often is looked; two looks tell how long a client is waited for."""
    backlog: int = 1024
