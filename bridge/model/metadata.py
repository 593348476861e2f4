"""What every object's metadata has. Pure."""

from __future__ import annotations

SERVERS_OWN = frozenset(
    {
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    }
)
"""What the server writes there: no part of what anybody wants of the object."""
