"""Who has silenced an alert at the sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.model.silence import Silence


class Silences(Protocol):
    """What silences stand, as the guard needs it."""

    async def covering(self, labels: Mapping[str, str]) -> Sequence[Silence]:
        """Return the active silences of others that cover the alert with these labels; ours are left out.

        Raises AlertbridgeError when it cannot be asked.
        """
        ...
