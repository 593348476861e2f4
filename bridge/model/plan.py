"""A plan: what an action will change, from what, to what, and how to undo it. Data, made before any write."""

from __future__ import annotations

import copy
import hashlib
from enum import Enum
from typing import Any

import msgspec

from bridge.model.target import ObjectRef


class Repeat(Enum):
    """What may be done after a crash in the midst of a write."""

    SAFE = "safe"
    """Doing it again changes nothing more."""
    DETECTABLE = "detectable"
    """Whether it was done can be read back."""
    NEVER = "never"
    """It is not repeated: the outcome is unknown and goes to a person."""


class Undo(Enum):
    """What can be put back."""

    EXACT = "exact"
    """The fields that the plan changed get their before-values again."""
    COMPENSATING = "compensating"
    """Something else is done that makes up for it."""
    NONE = "none"


class Disruption(msgspec.Struct, frozen=True):
    """What a change disturbs. Pods that are not ready cost nothing."""

    ready_pods: int = 0
    percent: float = 0.0
    """Of the workload's pods, 0 to 100."""
    nodes: int = 0


class Field(msgspec.Struct, frozen=True):
    """One field of an object: a JSON pointer (RFC 6901), its value when planned and its value to be.

    `None` stands for "not there": Kubernetes keeps no nulls.
    """

    pointer: str
    before: Any
    after: Any
    change: bool = True
    """False for a field that the plan only read and relies on: it must still be so when the change is made."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One object's change. Applied under its preconditions: the uid and every field's before-value."""

    ref: ObjectRef
    fields: tuple[Field, ...]
    subresource: str = ""
    """`status`, or empty for the object itself."""
    summary: str
    """One sentence for people."""
    disruption: Disruption = Disruption()

    @property
    def inverse(self) -> Change:
        """The change that puts the before-values back; relied-on fields are not conditions of an undo."""
        fields = tuple(Field(f.pointer, f.after, f.before) for f in self.fields if f.change)
        return msgspec.structs.replace(self, fields=fields, summary=f"undo: {self.summary}", disruption=Disruption())


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one step will do. The same value is shown, approved, journalled, applied, audited and inverted."""

    action: str
    summary: str
    changes: tuple[Change, ...] = ()
    repeat: Repeat = Repeat.SAFE
    undo: Undo = Undo.EXACT
    undo_failed: bool = False
    """Whether undoing a failed attempt is safe and wanted at all (a rollback, a restart: no)."""
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.changes

    @property
    def hash(self) -> str:
        """What an approval binds to: a hash of the changes alone (hex, 16 digits)."""
        return hashlib.sha256(msgspec.json.encode(self.changes, order="deterministic")).hexdigest()[:16]

    @property
    def disruption(self) -> Disruption:
        """The sum over all changes; percent is that of the worst one."""
        parts = [change.disruption for change in self.changes]
        return Disruption(
            sum(p.ready_pods for p in parts),
            max((p.percent for p in parts), default=0.0),
            sum(p.nodes for p in parts),
        )


def split_pointer(pointer: str) -> list[str]:
    """Return the reference tokens of a JSON pointer (RFC 6901, section 4)."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def escape_token(token: str) -> str:
    """Return `token` as it stands in a JSON pointer (RFC 6901, section 3)."""
    return token.replace("~", "~0").replace("/", "~1")


def read_pointer(document: Any, pointer: str) -> Any:
    """Return the value at `pointer`, or None where there is none. Lists are indexed by number."""
    value = document
    for token in split_pointer(pointer):
        if isinstance(value, dict):
            value = value.get(token)
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            return None
    return value


def write_pointer(document: dict[str, Any], pointer: str, value: Any) -> None:
    """Put a copy of `value` at `pointer`, making objects on the way; None removes what is there."""
    *parents, last = split_pointer(pointer)
    node: Any = document
    for token in parents:
        if isinstance(node, list):
            node = node[int(token)]
        else:
            if not isinstance(node.get(token), dict | list):
                if value is None:
                    return
                node[token] = {}
            node = node[token]
    if isinstance(node, list):
        node[int(last)] = copy.deepcopy(value)
    elif value is None:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)
