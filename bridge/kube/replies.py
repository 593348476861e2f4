"""Turn answers of the Kubernetes API into our errors. Pure; used by bridge.kube.client alone.

Bodies can hold Secrets, so that only a bounded `message` of a Status object goes into an error, and none at all for
Secrets.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from bridge.errors import (
    KubeBusy,
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeInvalid,
    KubeNotFound,
    KubeReplyLost,
    KubeUnauthorized,
    KubeUnavailable,
)

_MESSAGE = 300
_LONGEST_WAIT = 3600.0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an answer that is no success."""

    status: int
    body: bytes
    retry_after: str | None
    what: str
    """Verb, kind, namespace and name, for people."""
    permission: str
    """What a Role has to allow, e.g. `patch deployments.apps in namespace shop`."""
    mutating: bool
    secret: bool = False


def to_error(failure: Failure) -> KubeError:
    """Return the error for an answer that is no success."""
    document = read_status(failure.body)
    reason = str(document.get("reason") or "")
    message = _message(failure, document)
    facts: dict[str, Any] = {
        "status": failure.status,
        "reason": reason,
        "what": failure.what,
        "retry_after": _retry_after(failure.retry_after, document),
    }
    status = failure.status
    if failure.mutating and _maybe_done(status, reason, document, message):
        return KubeReplyLost(f"its effect is unknown: {message}", **facts)
    if status == 403:
        return KubeForbidden(f"the credentials lack the permission to {failure.permission} ({message})", **facts)
    if status == 401:
        return KubeUnauthorized("the credentials are not accepted, also after reading them again", **facts)
    if status == 404:
        return KubeNotFound(message, **facts)
    if status == 409:
        return KubeConflict(message, **facts)
    if status == 429:
        return KubeBusy(message, **facts)
    if status == 500 and "more than one PodDisruptionBudget" in message:
        # An eviction's answer that no waiting changes: the budgets are to be put right.
        return KubeInvalid(message, **facts)
    if status == 501:
        # What a server does not serve at all won't be served at the next try either.
        return KubeError(message, **facts)
    if status >= 500:
        return KubeUnavailable(message, **facts)
    if status in (400, 405, 406, 413, 415, 422):
        return KubeInvalid(message, **facts)
    return KubeError(message, **facts)


def read_status(body: bytes) -> dict[str, Any]:
    """Return the body if it is a Status object of the API (meta/v1), else an empty one."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    if isinstance(document, dict) and document.get("kind") == "Status" and document.get("apiVersion") == "v1":
        return document
    return {}


def _maybe_done(status: int, reason: str, document: dict[str, Any], message: str) -> bool:
    """Whether a write may have happened in spite of this answer.

    504 and reason Timeout say that the server gave up waiting for its own storage; a 502, or a 504, that is not
    a Status comes from a proxy on the way.
    """
    if status == 504 or reason == "Timeout":
        return True
    return (status == 502 and not document) or (status == 500 and "timed out" in message)


def _message(failure: Failure, document: dict[str, Any]) -> str:
    if failure.secret:
        return f"HTTP {failure.status} {document.get('reason') or ''}".strip()
    message = document.get("message")
    if not isinstance(message, str) or not message:
        # Without a word of its own, a 404 is the router's: there is no such path.
        return "the cluster does not serve this kind" if failure.status == 404 else f"HTTP {failure.status}"
    if failure.status == 429:
        message = " ".join([message, *_causes(document)])
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE - 3]}..."


def _causes(document: dict[str, Any]) -> list[str]:
    """Return what a refusal says of its causes: an eviction's name the budget and what it needs."""
    details = document.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = [cause.get("message") for cause in causes or [] if isinstance(cause, dict)]
    return [text for text in found if isinstance(text, str)]


def _retry_after(header: str | None, document: dict[str, Any]) -> float | None:
    """Return seconds from the Retry-After header (RFC 9110, 10.2.3) or the Status' retryAfterSeconds."""
    seconds: float | None = None
    if header is not None:
        text = header.strip()
        plain = text.isascii() and text.isdigit() and len(text) < 10
        seconds = float(text) if plain else _until(text)
    if seconds is None:
        details = document.get("details")
        told = details.get("retryAfterSeconds") if isinstance(details, dict) else None
        seconds = float(told) if isinstance(told, int) and not isinstance(told, bool) and told > 0 else None
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_WAIT)


def _until(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
