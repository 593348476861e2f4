"""Who asks, and what they may."""

from __future__ import annotations

from enum import Enum

import msgspec


class Role(Enum):
    """What a credential is for."""

    SENDER = "sender"
    """Posts alerts to the webhook."""
    VIEWER = "viewer"
    """Reads remediations, explanations and figures."""
    OPERATOR = "operator"
    """Also triggers, cancels, pauses and reloads; may whatever a viewer may."""


class Principal(msgspec.Struct, frozen=True):
    """The holder of a credential. `name` is the alerts' source and stands in the audit trail."""

    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Whether this principal has `role`, or a role that includes it."""
        return role in self.roles or (role is Role.VIEWER and Role.OPERATOR in self.roles)


EVERYBODY = Principal("local", frozenset(Role))
"""Whoever calls while no credential is configured; such a server listens on loopback only."""
