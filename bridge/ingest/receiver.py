"""Take webhooks: authenticate, decode, hand to the intake, answer. Called for every request on the webhook's paths.

200 means that the store has the alerts; 503 that it hasn't and that the sender shall send again; 4xx is only for what
can never be right, since Alertmanager drops whatever it is answered 4xx for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from time import perf_counter
from typing import Literal

from aiohttp import hdrs, web

from bridge.errors import InvalidInput, StoreUnavailable
from bridge.ingest.answers import Refuse, problem, taken
from bridge.ingest.auth import Authenticator
from bridge.ingest.body import BodyReader
from bridge.ingest.counters import Counters
from bridge.ingest.decode import Batch, CustomPayload, Decoder, Malformed, Rejected
from bridge.ingest.duplicates import DuplicateKeys
from bridge.ingest.guesses import TOO_OFTEN, Guesses
from bridge.ingest.limits import RequestLimits
from bridge.ingest.origin import from_another_site, is_loopback
from bridge.ingest.sampling import SampledLog
from bridge.ingest.signature import Signed
from bridge.ingest.trigger import Triggered, accept_trigger
from bridge.model.intake import Seen
from bridge.model.principal import EVERYBODY, Principal, Role
from bridge.model.refusal import Refusal
from bridge.ports import Clock, Intake, Refusals

_TOLD = 20
"""Most refused alerts of a request that its answer and the store's records describe; all are counted."""


class Receiver:
    """The receiver's requests. Everything it needs is passed in; app makes one for a process."""

    def __init__(
        self,
        *,
        intake: Intake,
        refusals: Refusals,
        authenticator: Authenticator,
        clock: Clock,
        counters: Counters,
        limits: RequestLimits | None = None,
    ) -> None:
        self.authenticator = authenticator
        self.guesses = Guesses()
        self.counters = counters
        self._intake = intake
        self._refusals = refusals
        self._clock = clock
        self._limits = limits or RequestLimits()
        self._bodies = BodyReader(self._limits)
        self._decoder = Decoder(self._limits)
        self._duplicates = DuplicateKeys()
        self._log = SampledLog()
        self._pending = 0

    async def webhook(self, request: web.Request) -> web.StreamResponse:
        """Take a webhook of any sender."""
        return await self._answer(request, None)

    async def alertmanager(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "alertmanager")

    async def grafana(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "grafana")

    async def trigger(self, body: bytes, principal: Principal) -> Triggered:
        """Take a trigger by hand from `principal`, who has the role operator.

        Raises InvalidInput and StoreUnavailable.
        """
        triggered = await accept_trigger(body, principal, intake=self._intake, clock=self._clock, limits=self._limits)
        self.counters.saw("manual", triggered.seen.value, 1)
        return triggered

    # ---- one request

    async def _answer(
        self, request: web.Request, expected: Literal["alertmanager", "grafana"] | None
    ) -> web.StreamResponse:
        begin = perf_counter()
        sender: str = "unknown"
        response: web.StreamResponse
        self.counters.in_progress += 1
        try:
            signed, body = await self._authenticated(request)
            try:
                batch = self._decoder.decode(body, source=signed.principal.name, expected=expected)
                sender = batch.sender
                taking = self._take(batch, body, signed.principal)
                # Nobody needs the alerts once they are on their way to the store, and a storm holds many at a time.
                del batch
                response = await taking
            except (StoreUnavailable, asyncio.CancelledError):
                # It was not stored, so that the very same bytes are right to come again.
                await self._forget(signed)
                raise
            if self._duplicates.may_look(body):
                asyncio.get_running_loop().call_soon(self._look_through, body)
            else:
                self.counters.unchecked_bodies += 1
        except Refuse as refuse:
            response = self._refused(request, refuse)
        except Malformed as exc:
            self.counters.custom_payloads += isinstance(exc, CustomPayload)
            response = self._refused(request, Refuse(413 if exc.too_much else 400, str(exc)))
        except InvalidInput as exc:
            response = self._refused(request, Refuse(400, str(exc)))
        except StoreUnavailable as exc:
            # What Redis said may name hosts and users: the log has it, the sender gets the fact.
            self._log.warning("alerts not stored", sender=sender, error=str(exc))
            response = problem(503, "the alerts could not be stored: send them again")
        finally:
            self.counters.in_progress -= 1
        self.counters.answered(sender, response.status, perf_counter() - begin)
        return response

    async def _authenticated(self, request: web.Request) -> tuple[Signed, bytes]:
        """Return who sent the body, and the body; the sender's right to send is checked before it is parsed."""
        headers = request.headers
        principal = self.authenticator.identify(request)
        if principal is None:
            signed, body = await self._by_signature(request)
        else:
            if hdrs.AUTHORIZATION in headers and not principal.may(Role.SENDER):
                # It would tell at this door which of a person's passwords is right.
                self._look_at(request)
            if hdrs.ORIGIN in headers and from_another_site(headers):
                raise Refuse(403, "the Origin header names another site than the one that was called")
            if principal is EVERYBODY and not is_loopback(headers.get(hdrs.HOST, "")):
                # A page in a browser can make its own name point to loopback; the Host header gives it away.
                raise Refuse(403, "no credential is configured: this server answers to localhost only")
            signed, body = Signed(principal), b""
        if not (signed.principal.may(Role.SENDER) or signed.principal.may(Role.OPERATOR)):
            raise Refuse(403, f"the credential {signed.principal.name!r} has not the role 'sender'")
        return signed, body or await self._bodies.read(request)

    async def _by_signature(self, request: web.Request) -> tuple[Signed, bytes]:
        signatures = self.authenticator.signatures
        if signatures.present(request.headers):
            body = await self._bodies.read(request)
            signed = await signatures.check(request.headers, body)
            if signed is not None:
                return signed, body
            detail = "the signature is not right, is too old or was used before"
        else:
            detail = "a credential is needed, and a known one"
        if signatures.present(request.headers) or hdrs.AUTHORIZATION in request.headers:
            self._look_at(request)
            self.guesses.wrong(request.remote)
            self.counters.wrong_credentials["401"] += 1
        raise Refuse(401, detail, headers={hdrs.WWW_AUTHENTICATE: "Bearer, Basic"})

    def _look_at(self, request: web.Request) -> None:
        """Raise Refuse when the peer was wrong too often."""
        if wait := self.guesses.wait(request.remote):
            self.counters.wrong_credentials["429"] += 1
            raise Refuse(429, TOO_OFTEN, headers={hdrs.RETRY_AFTER: str(math.ceil(wait))})

    async def _take(self, batch: Batch, body: bytes, principal: Principal) -> web.StreamResponse:
        if batch.sender == "manual":
            return await self._by_hand(body, principal)
        if not principal.may(Role.SENDER):
            raise Refuse(403, f"the credential {principal.name!r} has not the role 'sender'")
        if batch.truncated:
            self.counters.truncated += batch.truncated
            self._log.warning("alerts cut off by the sender", source=principal.name, count=batch.truncated)
        sender, rejected, count = batch.sender, batch.rejected, len(batch.alerts)
        if self._pending + count > self._limits.pending_alerts:
            raise Refuse(503, "too many alerts wait to be stored: send them again")
        storing = self._intake.accept(batch.alerts)
        del batch
        self._pending += count
        try:
            seen = await storing
        finally:
            self._pending -= count
        self._count(sender, seen)
        if not rejected:
            return taken(seen)
        return await self._with_refusals(sender, rejected, seen, principal)

    async def _by_hand(self, body: bytes, principal: Principal) -> web.StreamResponse:
        if not principal.may(Role.OPERATOR):
            raise Refuse(403, f"a trigger by hand needs the role 'operator', which {principal.name!r} has not")
        triggered = await self.trigger(body, principal)
        return taken((triggered.seen,))

    # ---- what went wrong

    async def _with_refusals(
        self, sender: str, rejected: Sequence[Rejected], seen: Sequence[Seen], principal: Principal
    ) -> web.StreamResponse:
        """Record the refused alerts and answer; a record that cannot be kept costs nobody else anything."""
        now = self._clock.now()
        records = [_refusal(one, sender, principal.name, now) for one in rejected[:_TOLD]]
        for one in rejected:
            self.counters.refused[one.reason.value] += 1
        for record in records:
            self._log.warning(
                "alert refused",
                source=record.source,
                sender=record.sender,
                reason=record.reason.value,
                detail=record.detail,
                index=record.index,
                excerpt=record.excerpt,
            )
        try:
            await self._refusals.record(records)
        except StoreUnavailable:
            self._log.warning("refused alerts not recorded", count=len(records))
        errors = [{"detail": one.detail, "pointer": f"/alerts/{one.index}"} for one in records]
        if not seen:
            raise Refuse(400, f"all {len(rejected)} alerts were refused", errors=errors)
        return taken(seen, errors, len(rejected))

    def _refused(self, request: web.Request, refuse: Refuse) -> web.Response:
        self._log.warning(
            "webhook refused",
            status=refuse.status,
            detail=refuse.detail,
            path=request.path,
            peer=request.remote,
            user_agent=request.headers.get(hdrs.USER_AGENT, ""),
        )
        return problem(refuse.status, refuse.detail, errors=refuse.errors, headers=refuse.headers)

    async def _forget(self, signed: Signed) -> None:
        try:
            await self.authenticator.signatures.forget(signed)
        except StoreUnavailable:
            # The store that could not take the alerts cannot forget either. Grafana never sends the same bytes
            # twice: its next flush has a new timestamp.
            self._log.warning("signature not forgotten", source=signed.principal.name)

    # ---- figures

    def _count(self, sender: str, seen: Sequence[Seen]) -> None:
        if len(seen) == 1:
            self.counters.saw(sender, seen[0].value, 1)
            return
        for kind in Seen:
            if count := seen.count(kind):
                self.counters.saw(sender, kind.value, count)

    def _look_through(self, body: bytes) -> None:
        found = self._duplicates.look(body)
        if found:
            self.counters.duplicate_keys += found
            self._log.warning("duplicate keys in a body", count=found)


def _refusal(one: Rejected, sender: str, source: str, now: float) -> Refusal:
    return Refusal(
        at=now,
        source=source,
        sender=sender,
        reason=one.reason,
        detail=one.detail,
        index=one.index,
        excerpt=one.excerpt,
    )
