"""Programmable faults: what the next requests of a kind meet instead of a good answer.

One plan serves both the simulated server and the recording proxy of the tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "hang", "cut_before", "cut_after", "delay"]


@dataclass
class Fault:
    """One fault, for the next `times` requests that match; `times=None` is for all of them.

    `kind`: `status` answers with a Status; `hang` answers nothing until the client gives up (or `release`);
    `cut_before` closes the connection before anything is done; `cut_after` does what is asked, and closes
    without an answer; `delay` answers after so many seconds.
    """

    kind: Kind
    method: str = "*"
    """An HTTP method, or `*`, or several with `|` between."""
    path: str = ".*"
    """A regular expression, searched for in the path with its query."""
    times: int | None = 1
    status: int = 503
    retry_after: int | None = None
    reason: str = ""
    seconds: float = 0.0
    hits: int = field(default=0, init=False)

    def matches(self, method: str, path_and_query: str) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        if self.method != "*" and method.upper() not in self.method.upper().split("|"):
            return False
        return re.search(self.path, path_and_query) is not None

    def status_body(self) -> dict[str, object]:
        """The v1 Status with which a `status` fault answers."""
        reasons = {
            401: "Unauthorized",
            403: "Forbidden",
            404: "NotFound",
            409: "Conflict",
            410: "Expired",
            429: "TooManyRequests",
            500: "InternalError",
            503: "ServiceUnavailable",
            504: "Timeout",
        }
        body: dict[str, object] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"fault: {self.reason or reasons.get(self.status, 'injected')}",
            "reason": self.reason or reasons.get(self.status, "Unknown"),
            "code": self.status,
        }
        if self.retry_after is not None:
            body["details"] = {"retryAfterSeconds": self.retry_after}
        return body

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class FaultPlan:
    """The faults in force, in order: the first that matches a request is taken."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def answer(
        self,
        status: int,
        *,
        method: str = "*",
        path: str = ".*",
        times: int | None = 1,
        retry_after: int | None = None,
        reason: str = "",
    ) -> Fault:
        """Let the next requests be answered with this status."""
        return self.add(Fault("status", method, path, times, status=status, retry_after=retry_after, reason=reason))

    def hang(self, *, method: str = "*", path: str = ".*", times: int | None = 1) -> Fault:
        """Let the next requests wait for as long as their client does."""
        return self.add(Fault("hang", method, path, times))

    def cut(self, *, method: str = "*", path: str = ".*", times: int | None = 1, after: bool = False) -> Fault:
        """Close the connection of the next requests, before or after they take effect."""
        return self.add(Fault("cut_after" if after else "cut_before", method, path, times))

    def delay(self, seconds: float, *, method: str = "*", path: str = ".*", times: int | None = 1) -> Fault:
        """Let the next requests be answered late."""
        return self.add(Fault("delay", method, path, times, seconds=seconds))

    def clear(self) -> None:
        self.faults.clear()

    def take(self, method: str, path_and_query: str) -> Fault | None:
        """The fault that a request meets; counts it."""
        for fault in self.faults:
            if fault.matches(method, path_and_query):
                fault.hits += 1
                return fault
        return None
