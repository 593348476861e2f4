"""What a runbook would do now, planned by the server: with its configuration, credentials and kept copies.

The same rehearsal as `alertbridge plan` makes alone. It reads clusters and peers in the server's name for labels that
the caller chooses, so it takes an operator; it writes nothing, neither there nor in the store.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec

from bridge.api.operation import Call, Refused
from bridge.api.schemas import JournalEntry, entry_of
from bridge.engine.ending import Finish
from bridge.engine.rehearse import Rehearsal
from bridge.errors import AlertbridgeError, InvalidInput
from bridge.model.mode import Mode
from bridge.model.target import Target
from bridge.telemetry import get_logger

Rehearse = Callable[[str, Mapping[str, str]], Awaitable[Rehearsal]]
"""Plan a runbook for an alert with these labels. Raises InvalidInput and KubeError."""

AT_ONCE = 2
"""Plans that one process makes side by side: each asks clusters and peers as a run does."""
LONGEST = 120.0
"""Seconds for one."""

log = get_logger()


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For which runbook, and for an alert with which labels."""

    runbook: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    labels: dict[str, str] = {}


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would begin with. Nothing of it was made."""

    runbook: str
    target: Target
    params: dict[str, Any]
    route: str
    mode: Mode
    """Of its route."""
    allow_namespaces: list[str]
    planned: bool
    outcome: str
    reason: str
    detail: str
    advice: str
    report: str
    evidence: dict[str, Any]
    missing: dict[str, Any]
    journal: list[JournalEntry]


def planned_of(found: Rehearsal) -> PlannedRun:
    """Return a rehearsal as plain data, with what is secret in it masked as everywhere in the API."""
    kept = msgspec.json.decode(gzip.decompress(found.evidence)) if found.evidence else {}
    ending, made = found.ending, found.remediation
    finished = ending if isinstance(ending, Finish) else None
    return PlannedRun(
        runbook=made.runbook,
        target=made.target,
        params=made.params,
        route=made.route,
        mode=made.mode,
        allow_namespaces=list(made.allow_namespaces),
        planned=finished is not None and finished.outcome.value == "observed",
        outcome=finished.outcome.value if finished else "unknown",
        reason=finished.reason.value if finished else "",
        detail=finished.detail if finished else str(getattr(ending, "detail", "")),
        advice=finished.advice if finished else "",
        report=finished.report if finished else "",
        evidence=kept.get("evidence", {}),
        missing=kept.get("missing", {}),
        journal=[entry_of(entry) for entry in found.entries],
    )


class Plans:
    """The handler, over a rehearsal that app puts together."""

    def __init__(self, rehearse: Rehearse) -> None:
        self._rehearse = rehearse
        self._under_way = 0

    async def plan(self, call: Call) -> PlannedRun:
        """Plan, and tell; raise Refused when too many are at it, or it takes too long."""
        request: PlanRequest = call.body
        if self._under_way >= AT_ONCE:
            raise Refused(429, f"{AT_ONCE} plans are being made already: ask again", Retry_After="5")
        self._under_way += 1
        try:
            async with asyncio.timeout(LONGEST):
                found = await self._rehearse(request.runbook, request.labels)
        except TimeoutError:
            raise Refused(503, f"there was no plan within {LONGEST:g} s") from None
        except InvalidInput as error:
            # No such runbook, or no target that these labels name: the request itself is as it should be.
            raise Refused(404, str(error)) from None
        except AlertbridgeError as error:
            raise Refused(503, f"no plan: {error}") from None
        finally:
            self._under_way -= 1
        log.info("planned for somebody", runbook=request.runbook, by=call.principal.name)
        return planned_of(found)
