"""What the receiver says: problem documents (RFC 9457), and a small JSON document with what became of the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from bridge.model.intake import Seen
from bridge.model.problem import CONTENT_TYPE, Problem

_JSON = "application/json"
_ONE = {seen: msgspec.json.encode({"alerts": 1, seen.value: 1}) + b"\n" for seen in Seen}
_KINDS = tuple(Seen)


class Refuse(Exception):
    """The request ends here, with a problem document. `detail` ends up in the sender's log: no secrets."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[dict[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a problem document as a response."""
    body = Problem(status=status, detail=detail, errors=tuple(errors)).encode()
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, headers=headers)


def taken(seen: Sequence[Seen], errors: Sequence[dict[str, str]] = (), refused: int = 0) -> web.Response:
    """Return 200 with how many alerts became what, and what was wrong with those that were refused."""
    if len(seen) == 1 and not refused:
        return web.Response(body=_ONE[seen[0]], content_type=_JSON)
    counts: dict[str, object] = {"alerts": len(seen) + refused}
    counts |= {kind.value: count for kind in _KINDS if (count := seen.count(kind))}
    if refused:
        counts |= {"refused": refused, "errors": errors}
    return web.Response(body=msgspec.json.encode(counts) + b"\n", content_type=_JSON)
