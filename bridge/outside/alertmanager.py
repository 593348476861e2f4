"""The API (v2) of the configured Alertmanager: its alerts, and silences. Behind no breaker: callers are jobs.

Source: Alertmanager's OpenAPI document, api/v2/openapi.yaml.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from bridge.errors import Hung, PermanentError, TemporaryError
from bridge.model.silence import ActiveAlert, Silence
from bridge.outside.http import Session, read_bounded

CREATED_BY = "alertbridge"
"""What tells our own silences from people's."""
_LARGEST_ANSWER = 8 << 20
_SKEW = 600.0
_CLOCKS_DIFFER = 2.0
_REFUSED = (400, 401, 403, 404, 422)


class Alertmanager:
    """Implements ports.Silencer for one Alertmanager, or for none."""

    def __init__(self, session: Session, url: str, token: str, *, deadline: float) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._deadline = deadline
        self._heard: tuple[float, float] | None = None
        """The time by its last answer, and when that was by our monotonic clock."""

    @property
    def configured(self) -> bool:
        return bool(self._url)

    async def alerts(self, matchers: Mapping[str, str]) -> list[ActiveAlert]:
        """Return the firing alerts with these labels, the silenced and inhibited ones too."""
        filters = [("filter", f"{name}={_quoted(value)}") for name, value in matchers.items()]
        found = await self._call("GET", "alerts", query=filters)
        return [
            ActiveAlert(
                fingerprint=str(each.get("fingerprint", "")),
                labels={str(name): str(value) for name, value in (each.get("labels") or {}).items()},
                silenced_by=tuple(map(str, (each.get("status") or {}).get("silencedBy") or ())),
            )
            for each in found or []
        ]

    async def silences(self) -> list[Silence]:
        """Return the silences that stand now."""
        found = await self._call("GET", "silences")
        return [
            Silence(
                id=str(each["id"]),
                created_by=str(each.get("createdBy", "")),
                comment=str(each.get("comment", "")),
                ends_at=_seconds(each.get("endsAt")),
            )
            for each in found or []
            if (each.get("status") or {}).get("state") == "active"
        ]

    async def started_at(self) -> float:
        """Return since when it runs (unix seconds): what it held before is not known to it."""
        status = await self._call("GET", "status")
        return datetime.fromisoformat(str(status["uptime"]).replace("Z", "+00:00")).timestamp()

    async def silence(
        self, labels: Mapping[str, str], *, now: float, until: float, comment: str, renew: str = ""
    ) -> str:
        """Silence the alert with exactly these labels; return the silence's id. `renew` names one to prolong.

        It lasts until `until - now` by Alertmanager's own clock, which is told by its last answer: by a clock of ours
        that is ahead it would last longer than anybody has said.
        """
        off = self._ahead(now)
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in labels.items()
            ],
            # In its past, which it takes for now: by a clock of ours that is ahead the silence would not stand yet.
            "startsAt": _moment(now + off - _SKEW),
            "endsAt": _moment(until + off),
            "createdBy": CREATED_BY,
            "comment": comment,
            **({"id": renew} if renew else {}),
        }
        answer = await self._call("POST", "silences", body)
        return str(answer["silenceID"])

    async def lift(self, silence: str) -> None:
        """End a silence; one that is over or gone is no error."""
        await self._call("DELETE", f"silence/{silence}", missing=True)

    def _ahead(self, now: float) -> float:
        """Return by how many seconds Alertmanager's clock is ahead of `now`; its answers tell whole seconds."""
        if self._heard is None:
            return 0.0
        told, at = self._heard
        off = told + time.monotonic() - at - now
        return off if abs(off) > _CLOCKS_DIFFER else 0.0

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: list[tuple[str, str]] | None = None,
        missing: bool = False,
    ) -> Any:
        if not self._url:
            raise PermanentError("no Alertmanager is configured: set `alertmanager.url`")
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            async with asyncio.timeout(self._deadline):
                async with self._session.get(fresh=method != "GET").request(
                    method,
                    f"{self._url}/api/v2/{path}",
                    params=query,
                    json=body,
                    headers=headers,
                    allow_redirects=False,
                ) as response:
                    data = await read_bounded(response.content, _LARGEST_ANSWER)
                    if (date := _date(response.headers.get("Date", ""))) is not None:
                        self._heard = (date, time.monotonic())
        except TimeoutError as error:
            raise Hung(f"Alertmanager: no answer within {self._deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"Alertmanager: {error}") from error
        return _read(response.status, data, missing)


def _read(status: int, data: bytes, missing: bool) -> Any:
    if len(data) > _LARGEST_ANSWER:
        raise PermanentError("Alertmanager: the answer is too large")
    if status < 300:
        try:
            return msgspec.json.decode(data) if data.strip() else None
        except (msgspec.DecodeError, RecursionError) as error:
            raise TemporaryError("Alertmanager: the answer is no JSON") from error
    text = data[:300].decode(errors="replace")
    # Expiring what has expired is answered 500 by old versions, 404 for what is gone.
    if missing and (status == 404 or "already expired" in text):
        return None
    refused = PermanentError if status in _REFUSED else TemporaryError
    raise refused(f"Alertmanager answered {status}: {text}")


def _date(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _seconds(moment: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(moment).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return f'"{escaped}"'
