"""The page of one remediation, for links in messages: what is asked, the plan, what was found, and three buttons.

A GET never acts. Acting is a POST of the page's own form with an operator's credential: the browser's (basic, or a
certificate), or a token typed into the form. Nothing is remembered: no cookie, no script. The form's POST has to say
that it comes from this server's own page, since browsers send what they remember of basic credentials from anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from bridge.api.answers import Answers
from bridge.api.operation import Authenticator, Refused, authorized, read_body, same_origin
from bridge.api.page_text import STYLE, Shown, page, sign_in
from bridge.errors import InvalidInput, StoreUnavailable
from bridge.model.principal import Principal, Role
from bridge.ports import Journal, WorkQueue
from bridge.telemetry import get_logger

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FORM = "application/x-www-form-urlencoded"
_DIGEST = re.compile(r"[0-9a-f]{16}\Z")
_LONGEST_WHY = 500

log = get_logger()


class Page:
    """Handlers of `/r/ID`."""

    def __init__(
        self, authenticator: Authenticator, queue: WorkQueue, journal: Journal, external_url: Callable[[], str]
    ) -> None:
        """`external_url`: the address that people use, where that is not the one that we are called by."""
        self._authenticator = authenticator
        self._external_url = external_url
        self._queue = queue
        self._journal = journal
        self._answers = Answers(queue, journal)

    def add(self, app: web.Application, pattern: str) -> None:
        """Add the page's routes; `pattern` is what an id looks like."""
        path = "/r/{id:" + pattern.strip("^$") + "}"
        app.router.add_get(path, self._safely(self._look))
        app.router.add_post(path, self._safely(self._act))

    def _safely(self, handle: Any) -> Any:
        async def run(request: web.Request) -> web.Response:
            try:
                return await handle(request)  # type: ignore[no-any-return]
            except Refused as refused:
                return _html(sign_in(refused.detail), refused.status, **refused.headers)
            except StoreUnavailable:
                log.warning("store unavailable", operation="page", exc_info=True)
                return _html(sign_in("Redis does not answer: nothing was changed that is not confirmed."), 503)
            except Exception:
                log.exception("operation failed", operation="page")
                return _html(sign_in("alertbridge itself failed; its log has the error"), 500)

        return run

    async def _look(self, request: web.Request) -> web.Response:
        principal = authorized(request, self._authenticator.identify(request), Role.VIEWER)
        return await self._shown(request.match_info["id"], principal)

    async def _act(self, request: web.Request) -> web.Response:
        if "Origin" not in request.headers:
            raise Refused(403, "a form's POST names the page that it comes from (Origin); programs use the API")
        same_origin(request, self._external_url())
        form = await _form(request)
        do, why, token = form.get("do", ""), form.get("why", "")[:_LONGEST_WHY], form.get("token", "")
        principal = self._authenticator.identify(_WithToken(token, request.remote) if token else request)  # type: ignore[arg-type]
        role = Role.VIEWER if do == "look" else Role.OPERATOR
        principal = authorized(request, principal, role)
        name = request.match_info["id"]
        told = await self._do(name, do, principal, why, form.get("plan", ""))
        return await self._shown(name, principal, told)

    async def _do(self, name: str, do: str, principal: Principal, why: str, digest: str) -> str:
        try:
            if do in ("approve", "deny"):
                if not _DIGEST.match(digest):
                    raise Refused(400, "the form does not say which plan is answered")
                said = await self._answers.say(name, principal, agree=do == "approve", why=why, digest=digest)
                return f"{said.agreed} of {said.needed} agree." if do == "approve" else "It is denied."
            if do == "undo":
                return f"{(await self._answers.put_back(name, principal, why)).undo} puts it back."
        except (Refused, InvalidInput) as error:
            if isinstance(error, Refused) and error.status != 409:
                raise
            return f"Not done: {error}"
        if do == "look":
            return ""
        raise Refused(400, "the form does not say what to do")

    async def _shown(self, name: str, principal: Principal, told: str = "") -> web.Response:
        view, entries, blob = await asyncio.gather(
            self._queue.get(name), self._journal.read(name), self._journal.evidence(name)
        )
        if view is None:
            raise Refused(404, f"there is no remediation {name}")
        kept: Mapping[str, Any] = await asyncio.to_thread(_unpacked, blob) if blob else {}
        shown = Shown(view=view, entries=entries, kept=kept, operator=principal.may(Role.OPERATOR), told=told)
        return _html(page(shown))


class _WithToken:
    """As much of a request as an Authenticator looks at, with a token that came in a form."""

    transport = None

    def __init__(self, token: str, remote: str | None) -> None:
        self.remote = remote
        self.headers = CIMultiDict({"Authorization": f"Bearer {token}"})


async def _form(request: web.Request) -> dict[str, str]:
    if request.content_type != _FORM:
        raise Refused(415, f"the page's form is sent as {_FORM}")
    raw = await read_body(request)
    try:
        fields = parse_qs(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise Refused(400, "the form cannot be read") from None
    if any(len(values) > 1 for values in fields.values()):
        raise Refused(400, "a field is there twice")
    return {field: values[0] for field, values in fields.items()}


def _unpacked(blob: bytes) -> dict[str, Any]:
    return dict(msgspec.json.decode(gzip.decompress(blob)))


def _html(text: str, status: int = 200, **headers: str) -> web.Response:
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="alertbridge", charset="UTF-8"'
    return web.Response(
        status=status, text=text, content_type="text/html", charset="utf-8", headers={**headers, **HEADERS}
    )
