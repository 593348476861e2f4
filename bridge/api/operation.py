"""One operation of the API: its path, who may call it, what it takes and gives. And how a call of it runs.

The table of operations (`bridge.api.server`) is the one source of the routes and of the OpenAPI document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from bridge.errors import ConfigurationError, InvalidInput, StoreUnavailable
from bridge.model.principal import EVERYBODY, Principal, Role
from bridge.model.problem import CONTENT_TYPE, Problem
from bridge.telemetry import get_logger

MAX_BODY = 64 * 1024  # bytes; every body of the API is a small form
BODY_SECONDS = 10.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_READING = {"GET", "HEAD"}

log = get_logger()


class Authenticator(Protocol):
    """The receiver's credentials, seen from here."""

    def identify(self, request: web.BaseRequest) -> Principal | None:
        """Return the holder of the request's credential (bearer, basic or certificate), or None for nobody.

        Raises Refused (429) for a while when too many wrong ones came from its address.
        """
        ...


class Refused(Exception):
    """The call ends with a problem document."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Call(msgspec.Struct, frozen=True):
    """What a handler gets: checked and decoded."""

    request: web.Request
    principal: Principal
    query: Any
    body: Any

    @property
    def id(self) -> str:
        """The one parameter of the path."""
        return next(iter(self.request.match_info.values()))


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    name: str
    summary: str
    handle: Callable[[Call], Awaitable[Any]]
    """Returns a value of type `answer`, or a ready response."""
    answer: type
    role: Role | None
    """None: no credential is needed."""
    query: type | None = None
    body: type | None = None
    body_required: bool = True
    rules: dict[str, Any] = {}
    """JSON Schema that the body has to fulfil beyond its type."""
    raw: bool = False
    """The handler decodes the body itself; `body` only describes it."""
    status: int = 200
    problems: tuple[int, ...] = ()
    """Statuses that this operation answers beyond those that follow from the rest."""
    media: tuple[str, ...] = ("application/json",)
    parameter: str = ""
    """Pattern (anchored, ECMA 262 and Python) of the path's one parameter."""


def refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a problem document (RFC 9457)."""
    return web.Response(
        status=status, body=Problem(status=status, detail=detail).encode(), content_type=CONTENT_TYPE, headers=headers
    )


def answer(value: Any, status: int = 200) -> web.Response:
    """Return `value` as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(value) + b"\n", content_type="application/json")


def handler_of(operation: Operation, authenticator: Authenticator) -> Callable[[web.Request], Awaitable[Any]]:
    """Return the aiohttp handler: authenticate, decode, call, and tell every error as a problem document."""

    async def run(request: web.Request) -> web.StreamResponse:
        try:
            principal = _authorize(request, operation, authenticator)
            query = _query(request, operation.query)
            body = await _body(request, operation) if operation.body else None
            result = await operation.handle(Call(request, principal, query, body))
            return result if isinstance(result, web.StreamResponse) else answer(result, operation.status)
        except Refused as refused:
            return refuse(refused.status, refused.detail, refused.headers)
        except InvalidInput as error:
            return refuse(400, str(error))
        except ConfigurationError as error:
            return _configuration(error)
        except StoreUnavailable:
            # What Redis said may name hosts and users: the log has it, the caller gets the fact.
            log.warning("store unavailable", operation=operation.name, exc_info=True)
            return refuse(503, "Redis does not answer: nothing was changed that is not confirmed. Try again.")
        except Exception:
            log.exception("operation failed", operation=operation.name)
            return refuse(500, "alertbridge itself failed; its log has the error")

    return run


def _configuration(error: ConfigurationError) -> web.Response:
    problem = Problem(
        status=422,
        title="The configuration is wrong",
        detail="the configuration that was loaded before stays in use",
        errors=tuple({"detail": line} for line in error.problems[:100]),
    )
    return web.Response(status=422, body=problem.encode(), content_type=CONTENT_TYPE)


def _authorize(request: web.Request, operation: Operation, authenticator: Authenticator) -> Principal:
    if request.method not in _READING:
        same_origin(request)
    if operation.role is None:
        return EVERYBODY
    return authorized(request, authenticator.identify(request), operation.role)


def authorized(request: web.Request, principal: Principal | None, role: Role) -> Principal:
    """Return who calls, when that is somebody who may; raise Refused."""
    if principal is None:
        sent = "Authorization" in request.headers
        why = "the credential that came is not a known one" if sent else "a credential is needed"
        raise Refused(401, f"{why}: Authorization: Bearer TOKEN", WWW_Authenticate="Bearer, Basic")
    if not principal.may(role):
        raise Refused(403, f"the credential {principal.name!r} does not have the role {role.value!r}")
    if principal is EVERYBODY and _host(request.headers.get("Host", "")) not in _LOOPBACK:
        # A page in a browser can make its own name point to loopback; the Host header gives it away.
        raise Refused(403, "no credential is configured: this server answers to localhost only")
    return principal


def same_origin(request: web.Request, external_url: str = "") -> None:
    """Refuse what a browser sends for another site's page. Programs send no Origin.

    Behind a proxy that calls us by another name, our own pages are those of `external_url`.
    """
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    if origin is None:
        return
    try:
        ours = urlsplit(external_url)
        same = urlsplit(origin).netloc.lower() == host.lower() != "" or (
            bool(external_url) and origin.lower() == f"{ours.scheme}://{ours.netloc}".lower()
        )
    except ValueError:
        same = False
    if not same:
        mend = "behind a proxy, `external_url` has to be the address that people use"
        raise Refused(
            403, f"the Origin header names another site than the one that was called, {host[:100]!r}; {mend}"
        )


def _host(netloc: str) -> str:
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


def _query(request: web.Request, kind: type | None) -> Any:
    given = request.query
    repeated = {name for name in given if len(given.getall(name)) > 1}
    if repeated:
        raise Refused(400, f"query: {min(repeated)!r} is given more than once")
    if kind is None:
        return None
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(400, f"query: {error}") from None


async def _body(request: web.Request, operation: Operation) -> Any:
    raw = await read_body(request)
    if not raw and not operation.body_required:
        return operation.body() if operation.body else None
    if request.content_type != "application/json":
        raise Refused(415, "the body has to be JSON: Content-Type: application/json")
    if operation.raw:
        return raw
    try:
        return msgspec.json.decode(raw, type=operation.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        raise Refused(400, f"body: {error}") from None


async def read_body(request: web.Request) -> bytes:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "a compressed body is not read", Connection="close")
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > MAX_BODY:
                    raise Refused(413, f"the body is longer than {MAX_BODY} bytes", Connection="close")
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_SECONDS:g} s", Connection="close") from None
    return bytes(raw)
