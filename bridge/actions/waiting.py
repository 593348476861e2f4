"""A look that waits a moment for what it looks for: one watch in the place of many looks.

For verifications of what ends by an event (a Job, a pod that goes). An action that uses it declares the verbs `list`
and `watch` beside its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.model.target import ObjectRef
from bridge.ports import ActionContext

MOMENT = 3.0
"""Seconds: short beside a run's claim and a process' time to end in."""


async def wait_a_moment(
    context: ActionContext, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool]
) -> dict[str, Any] | None:
    """Return the object (None: it is not there) once `holds` of it, or as it is after a moment. Raises KubeError."""
    return await context.reach.cluster.wait_for(ref, holds, deadline=MOMENT)


def gone(ref: ObjectRef) -> Callable[[dict[str, Any] | None], bool]:
    """Return whether an object is none or another than the one with `ref.uid`."""
    return lambda found: found is None or found["metadata"].get("uid") != ref.uid
