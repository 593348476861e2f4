"""One alert as every later layer sees it, whoever sent it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from bridge.model.order import Order

Status = Literal["firing", "resolved"]

# Alerts that senders make about themselves: accepted, recorded, and never acted on (Grafana's alerting docs).
NEVER_ACT = frozenset({"TestAlert", "DatasourceNoData", "DatasourceError"})

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert of a request. Times are microseconds since the epoch, by the sender's clock."""

    source: str
    """Name of the credential that the alert came in with; both peers of a highly available pair share it."""
    fingerprint: str
    """16 hex digits, a hash of the labels: the same across incidents."""
    status: Status
    starts_at: int
    ends_at: int = 0
    """When it ended; 0 while it fires."""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    generator_url: str = ""
    requested_by: str = ""
    """Who triggered it by hand; empty for a sender's alert."""
    why: str = ""
    override: tuple[str, ...] = ()
    """Reasons (by value) of guards that the operator overrides, explicitly."""
    runbook: str = ""
    """A runbook named by hand instead of being routed to."""
    order: Order | None = None
    """What alertbridge asks of itself, in place of a route."""

    @property
    def name(self) -> str:
        """The alert's name, or an empty string: `alertname` may be absent."""
        return self.labels.get("alertname", "")

    @property
    def key(self) -> str:
        """What tells this alert from all others: its source and fingerprint."""
        return f"{self.source}/{self.fingerprint}"

    @property
    def incident_id(self) -> str:
        """One firing of this alert: source, fingerprint and start."""
        return f"{self.source}/{self.fingerprint}/{self.starts_at}"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return the fingerprint that Prometheus gives a label set: FNV-1a over the sorted names and values.

    Source: prometheus/common, model.LabelSet.Fingerprint.
    """
    digest = _FNV_OFFSET
    for name in sorted(labels):
        for text in (name, labels[name]):
            for byte in (*text.encode("utf-8", "surrogatepass"), 0xFF):
                digest = ((digest ^ byte) * _FNV_PRIME) & _MASK
    return f"{digest:016x}"
