"""Good copies of objects, kept to be put back."""

from __future__ import annotations

from typing import Any, Protocol

from bridge.model.outside import Copy
from bridge.model.target import ObjectRef


class Copies(Protocol):
    """Kept versions of objects (ConfigMaps), for a restore of the last good one. A bounded number for each."""

    async def keep(self, ref: ObjectRef, copy: Copy) -> bool:
        """Keep it as the newest; one that was good once stays good. Its time is the store's, not the copy's own.

        Each content is kept once. Returns False for one that is too large; raises InvalidInput for a Secret.
        """
        ...

    async def of(self, ref: ObjectRef) -> list[Copy]:
        """Return what is kept of this object (by cluster, kind, namespace and name), newest first."""
        ...

    async def watched(self, ref: ObjectRef, manifest: dict[str, Any], *, well: bool, gap: float) -> float:
        """Note that what depends on the object is well, or not, while it holds this.

        Returns for how many seconds it has been well with it; a look that comes later than `gap` seconds after the
        last one begins anew.
        """
        ...

    async def take_turn(self, seconds: float) -> bool:
        """Return True to one caller of all processes, and to none again for so many seconds."""
        ...
