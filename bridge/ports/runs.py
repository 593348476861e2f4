"""Runs of other runbooks, asked for by a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from bridge.model.remediation import Remediation, RemediationView
from bridge.model.target import Target


class Ordered(msgspec.Struct, frozen=True):
    """A run that can be asked for: what it would be about, and the order itself, as plain JSON."""

    target: Target
    order: dict[str, Any]


class Runs(Protocol):
    """Where runs of other runbooks are asked for and looked after."""

    def order(
        self, run: Remediation | None, runbook: str, labels: Mapping[str, str], params: Mapping[str, Any]
    ) -> Ordered:
        """Return what asks for a run of `runbook` for the alert of `run`, with other labels and parameters.

        The same order twice is one. Sends nothing. Raises InvalidInput (no such runbook, no target) and PlanError
        (it would be about what this run, or one above it, is about; the chain would become too long).
        """
        ...

    async def ask(self, order: Mapping[str, Any]) -> None:
        """Ask for it; again, it changes nothing. Raises StoreUnavailable."""
        ...

    async def found(self, order: Mapping[str, Any]) -> RemediationView | None:
        """Return the remediation that the order led to, or joined; None where there is none yet."""
        ...
