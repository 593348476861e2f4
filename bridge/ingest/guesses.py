"""How often one address may be wrong about a credential. Asked by the receiver, and by app for the API and the page.

Without a bound somebody could try passwords as fast as the network carries them. What is counted are wrong
credentials alone, by the peer's address (IPv6: its /64), in a fixed number of slots: whoever comes from however many
addresses takes no more memory, and nobody is remembered by name. An address that was wrong too often is not looked at
for a few seconds, and never for longer: tries meanwhile don't prolong it.

Senders are left out of it. Alertmanager drops what is answered 429, and may share its address with an attacker: a
right credential with the role `sender` is always taken.
"""

from __future__ import annotations

import secrets
import time
from array import array
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

AT_ONCE = 100
"""Wrong credentials of one address that are answered at once."""
EVERY = 3.0
"""Seconds for each one after that."""
SLOTS = 4096
TOO_OFTEN = "too many wrong credentials came from this address: try again in a moment"


class Guesses:
    """The wrong credentials of one process. Addresses in one slot share what they may; nobody can choose whose."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._salt = secrets.token_bytes(16)
        # When each slot's wrong tries are made up for (GCRA, the leaky bucket as ATM describes it).
        self._even_at = array("d", bytes(8 * SLOTS))

    def wait(self, address: str | None) -> float:
        """Return for how many seconds more nothing of this address is looked at; 0.0: it is."""
        even = self._even_at[self._slot(address)]
        return max(0.0, even - self._monotonic() - (AT_ONCE - 1) * EVERY)

    def wrong(self, address: str | None) -> None:
        """Count a credential that nobody has. Not called while the address has to wait."""
        slot = self._slot(address)
        self._even_at[slot] = max(self._even_at[slot], self._monotonic()) + EVERY

    def _slot(self, address: str | None) -> int:
        return hash((self._salt, _network(address or ""))) % SLOTS


def _network(address: str) -> bytes:
    try:
        found = ip_address(address)
    except ValueError:
        return address.encode("utf-8", "surrogateescape")
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return found.packed[:8]
    return found.packed[-4:]
