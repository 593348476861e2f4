"""Names of the keys in Redis, and the digest under which the intake knows an alert. Used by all stores.

Every key of an installation starts with one hash tag, so that in a cluster one shard holds them all and one
script may touch any of them.
"""

from __future__ import annotations

from hashlib import blake2b

from bridge.model.remediation import Remediation

BUCKETS = 1 << 14
"""Hashes that the intake's records are spread over: about 60 in each at a million alerts, so that Redis keeps
them as flat lists (at most 128 entries in 7.0), and few enough that 10,000 alerts share their overhead."""
DIGEST = 14
"""Bytes of a digest: two for the bucket, twelve for the field in it."""


def prefix(installation: str) -> str:
    """Return what every key starts with."""
    return f"{{alertbridge:{installation}}}:"


def digest(key: str) -> bytes:
    """Return the 14 bytes that stand for an alert's key (source and fingerprint) in the intake's records.

    A cryptographic hash: senders choose fingerprints, and must not be able to aim at one bucket or at another
    source's record.
    """
    raw = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()
    return bytes((raw[0], raw[1] & 0x3F)) + raw[2:]


def runs_key(remediation: Remediation) -> str:
    """Return what cooldown and attempts are counted by: the runbook and its target, or its group."""
    if remediation.group:
        return f"{remediation.runbook}|{remediation.group}"
    target = remediation.target
    return "|".join((remediation.runbook, target.cluster, target.kind, target.namespace, target.name))
