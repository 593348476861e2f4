"""Collector `tls`: the certificate that an address shows, as whoever connects to it sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import PermanentError, Unreachable
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.certificate import DAY
from bridge.evidence.x509 import read_pem
from bridge.model.peers import AllowedUrl
from bridge.model.permission import Permission
from bridge.model.runbook import Strict
from bridge.model.workload import format_time
from bridge.ports import ActionContext


class TlsParams(Strict):
    url: AllowedUrl = Field(
        max_length=2048,
        description="An https:// address; its host has to be in `http.hosts`. Empty: the evidence is missing.",
    )


class TlsFacts(Facts):
    reachable: bool = Field(description="Whether something listens there; the rest is empty if not.")
    error: str = Field(description="Why there is no certificate; empty: there is one.")
    days_left: float | None = Field(description="Days that are left; below 0: it has expired; null: there is none.")
    not_after: str = Field(description="When it expires, as RFC 3339.")
    not_after_at: float = Field(description="When it expires.")
    not_before_at: float = Field(description="Since when it is valid.")
    serial: str = Field(description="Its serial number, hexadecimal: that of `certificate`, once it is in use.")
    subject: str = Field(description="Whom it is for.")
    issuer: str = Field(description="Who issued it.")
    dns_names: list[str] = Field(description="The names that it is for.")


class Tls(BaseCollector):
    """Whether a client would trust it is not looked at. A refused connection is an answer, one that hangs is none."""

    name = "tls"
    summary = "The certificate that an allow-listed address shows: its dates and its serial number."
    params: type[BaseModel] = TlsParams
    result: type[BaseModel] = TlsFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return []

    async def gather(self, context: ActionContext, params: TlsParams) -> TlsFacts:
        """Return the certificate's facts. Raises what the connection raises, but for a refused one."""
        if not params.url:
            raise PermanentError("no address is given")
        try:
            dates = read_pem((await context.reach.served_certificate(params.url)).encode())
        except Unreachable as unreachable:
            return TlsFacts(
                reachable=False,
                error=str(unreachable),
                days_left=None,
                not_after="",
                not_after_at=0.0,
                not_before_at=0.0,
                serial="",
                subject="",
                issuer="",
                dns_names=[],
            )
        except ValueError as error:
            raise PermanentError(f"the address shows {error}") from None
        return TlsFacts(
            reachable=True,
            error="",
            days_left=round((dates.not_after_at - context.reach.clock.now()) / DAY, 3),
            not_after=format_time(dates.not_after_at),
            not_after_at=dates.not_after_at,
            not_before_at=dates.not_before_at,
            serial=dates.serial,
            subject=dates.subject,
            issuer=dates.issuer,
            dns_names=list(dates.dns_names),
        )
