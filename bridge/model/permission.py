"""What an action or a collector asks of the Kubernetes API: the parts that a Role is made of. Pure data."""

from __future__ import annotations

import msgspec


class Permission(msgspec.Struct, frozen=True, order=True):
    """Verbs on one resource, as in a rule of a Role."""

    group: str
    """API group; empty for the core group."""
    resource: str
    """Plural, with the subresource where it is one: `deployments`, `pods/exec`."""
    verbs: tuple[str, ...]
    namespace: str | None = None
    """None: where the step's object is (its `namespace` parameter, else the target's). A text, which may hold a
    template: there. Empty: cluster-wide."""
    names: tuple[str, ...] = ()
    """Only objects with these names (`resourceNames`); not for list, watch and create."""
    optional: bool = False
    """Whether it does without where reading Secrets is not allowed: of use only where `secret_namespaces` says so."""
