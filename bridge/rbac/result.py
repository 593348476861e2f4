"""What comes out: rules by namespace, and what could not be known or is left out on purpose. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

CLUSTER_WIDE = ""


class Rule(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """One rule of a role, and who needs it."""

    group: str
    resource: str
    names: tuple[str, ...]
    verbs: tuple[str, ...]
    users: tuple[str, ...]
    """Actions and collectors, for people who read the role."""
    guessed: bool = False
    """Whether the resource's name is made from the kind by convention alone, which custom kinds need not follow."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Rules by namespace; those under `CLUSTER_WIDE` belong into a ClusterRole."""

    rules: Mapping[str, Sequence[Rule]]
    open: Sequence[str] = ()
    """A sentence for each thing that has to be said before the roles are enough."""
    left_out: Sequence[str] = ()
    """A sentence for each thing that the configuration forbids anyway, so that no role grants it."""
    labelled: Sequence[str] = ()
    """Runbooks for which a label of the alert can name a further namespace."""
    clusters: Sequence[str] = ()
    """The connections that the roles are for."""

    def only(self, resource: str) -> Roles:
        """Return what is about one resource (`secrets`), its subresources included."""
        return self._those(lambda rule: _resource(rule) == resource)

    def without(self, resource: str) -> Roles:
        """Return what is not about one resource, nor about its subresources."""
        return self._those(lambda rule: _resource(rule) != resource)

    def _those(self, wanted: Callable[[Rule], bool]) -> Roles:
        found = {place: [rule for rule in some if wanted(rule)] for place, some in self.rules.items()}
        return msgspec.structs.replace(self, rules={place: some for place, some in found.items() if some})


def _resource(rule: Rule) -> str:
    return rule.resource.partition("/")[0]
