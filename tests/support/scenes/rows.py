"""The sections of the five sources that have to be runbooks: each has scenes whose `source` begins with its name."""

from __future__ import annotations

from collections.abc import Mapping

ROWS: Mapping[str, Mapping[str, str]] = {
    "netweave": {
        "RB-001": "All pods down",
        "RB-002": "Redis primary down",
        "RB-003": "High error rate",
        "RB-004": "High latency",
        "RB-005": "Certificate expiring",
        "RB-006": "Pod CrashLoopBackOff",
        "RB-007": "Webhook delivery failures",
        "RB-008": "Cache hit ratio low",
        "RB-009": "Kubernetes API errors",
        "RB-010": "Subscription data loss",
        "Incident procedure": "Triage, updates, watching for 30 minutes",
    },
    "omendb": {
        "SEV1": "Service down",
        "SEV2": "Degraded performance",
        "SEV3": "Minor issues",
        "Post-incident": "Verification and report",
    },
    "onboarding-kyc": {
        "Assessment": "What is hit, and how badly",
        "API errors": "High error rates",
        "High CPU": "CPU use",
        "Out of memory": "Memory",
        "Database connections": "Connections of PostgreSQL",
        "Disk space": "Volumes and logs",
        "Certificate expiry": "Certificates",
        "Communication": "Messages, status page, escalation",
    },
    "python-services": {
        "1": "Service restart",
        "2": "Scale service",
        "3": "Database",
        "4": "Memory and CPU",
        "5": "Network",
        "Maintenance": "Daily health sweep",
        "Deployment": "New versions",
        "Escalation": "Levels 1 to 3",
    },
    "omnimesh": {
        "1": "CrashLoopBackOff",
        "2": "Database failure",
        "3": "Network partition",
        "4": "Memory leak",
        "5": "Certificate emergency",
        "6": "Rollback",
        "7": "Performance",
        "Escalation": "Page, ticket, leadership, war room",
        "Incident commands": "Tracker, debug logging, cluster dump",
        "Diagnostics": "Health check and log collection",
        "Post-incident": "Time line, artefacts, post-mortem",
        "Success metrics": "Detection, response, resolution, false positives",
    },
}
ONLY_LOOK = {
    ("netweave", "Incident procedure"),
    ("omendb", "Post-incident"),
    ("onboarding-kyc", "Assessment"),
    ("onboarding-kyc", "Communication"),
    ("python-services", "Maintenance"),
    ("python-services", "Escalation"),
    ("omnimesh", "Escalation"),
    ("omnimesh", "Incident commands"),
    ("omnimesh", "Diagnostics"),
    ("omnimesh", "Post-incident"),
    ("omnimesh", "Success metrics"),
}
"""They gather and tell: there is nothing that could help, or not help."""


def row_of(system: str, source: str) -> str:
    """Return the row that a scene's `source` begins with; raise LookupError."""
    for row in sorted(ROWS[system], key=len, reverse=True):
        if source == row or source.startswith((f"{row} ", f"{row}:", f"{row},")):
            return row
    raise LookupError(f"{system}: {source!r} begins with none of {', '.join(ROWS[system])}")
