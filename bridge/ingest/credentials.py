"""Who may call, as the receiver needs it. Made by app from the settings, so that both can change by themselves."""

from __future__ import annotations

from typing import Literal

import msgspec

from bridge.errors import ConfigurationError
from bridge.model.principal import Role

SIGNATURE_HEADER = "X-Grafana-Alerting-Signature"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """One caller: a name that becomes its alerts' source, a way to prove itself, and what it may do."""

    name: str
    type: Literal["bearer", "basic", "hmac", "certificate"]
    roles: frozenset[Role] = frozenset({Role.SENDER})
    secrets: tuple[str, ...] = ()
    """Any of them is right: a second one makes it possible to change a secret without a gap."""
    username: str = ""
    """For basic; the credential's name when it is empty."""
    subjects: frozenset[str] = frozenset()
    """For certificate: the common names and alternative names (DNS, URI, email) that it may have."""
    signature_header: str = SIGNATURE_HEADER
    """For hmac."""
    timestamp_header: str = ""
    """For hmac: the header with the unix seconds that are signed too. Without it nothing guards against a replay."""

    def check(self) -> None:
        """Raise ConfigurationError when nobody, or anybody, could be this caller."""
        problems = []
        if self.type == "certificate":
            if not self.subjects or not all(self.subjects):
                problems.append(f"credential {self.name!r}: a certificate needs the subjects that it may have")
        elif not self.secrets or not all(self.secrets):
            problems.append(f"credential {self.name!r}: has no secret, or an empty one")
        if self.type == "basic" and ":" in self.username:
            problems.append(f"credential {self.name!r}: a user name has no colon (RFC 7617)")
        if problems:
            raise ConfigurationError(problems)
