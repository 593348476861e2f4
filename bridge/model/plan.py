"""A plan: what an action will change, from what, to what, and how to undo it. Data, made before any write."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from bridge.model.target import ObjectRef

_IDENTITY = frozenset({"/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"})


class Repeat(Enum):
    """What may be done after a crash in the midst of a write."""

    SAFE = "safe"
    """Doing it again changes nothing more."""
    DETECTABLE = "detectable"
    """Whether it was done can be read back."""
    NEVER = "never"
    """It is not repeated: the outcome is unknown and goes to a person."""


class Operation(Enum):
    """What a change is to the API server, or beyond it."""

    PATCH = "patch"
    """Fields of an object that is there get other values."""
    CREATE = "create"
    """`manifest` is made; nothing of that name is there yet."""
    APPLY = "apply"
    """`manifest` is merged into the object that is there, by server-side apply."""
    DELETE = "delete"
    """The object goes; `manifest` is what was there, kept for the undo (None: it cannot be made again)."""
    EVICT = "evict"
    """The pod goes through the eviction API, which respects disruption budgets."""
    CALL = "call"
    """Not an object's change: the action's own `perform` makes it (exec, SQL, HTTP, a failover)."""


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
    lasting: bool = False
    """For a relied-on field: the undo relies on it as well, e.g. a container's name at its place in a list."""
    filled: bool = False
    """For a field that changes: the server may fill in defaults within the value. It has it when `holds` says so."""

    def is_made(self, found: Any) -> bool:
        """Whether `found` is the value to be."""
        return holds(found, self.after) if self.filled else bool(found == self.after)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change. Applied under its preconditions: the uid and every field's before-value."""

    ref: ObjectRef
    """What is changed and locked. For a call beyond Kubernetes the kind names the sort of peer, e.g. `Postgres`,
    with an empty `api_version`: guards that read objects skip it."""
    operation: Operation = Operation.PATCH
    fields: tuple[Field, ...] = ()
    """patch, apply: what changes, and what is relied on. For the other operations only what is relied on."""
    subresource: str = ""
    """`status`, `scale`, or empty for the object itself."""
    manifest: dict[str, Any] | None = None
    """create, apply: the object as it is sent. delete: the object as it was, kept for the undo."""
    call: dict[str, Any] = {}
    """call: what `perform` is to do: plain JSON. Secrets are named by reference, never written here."""
    inverse_call: dict[str, Any] | None = None
    """call: what `perform` is to do to undo it; None when nothing undoes it."""
    as_owner: str = ""
    """The owner in whose own records the change is made (`Helm`): that owner would not revert it."""
    grace_seconds: int | None = None
    """delete, evict: the pod's grace period; None: its own."""
    force: bool = False
    """apply: take over fields that another manager owns; otherwise such a field is a refusal."""
    propagation: str = "Background"
    """delete: what becomes of what the object owns: `Background` or `Foreground` (it goes too), or `Orphan`."""
    summary: str
    """One sentence for people."""
    disruption: Disruption = Disruption()

    @property
    def external(self) -> bool:
        """Whether it is about something that is no object of a Kubernetes API server."""
        return not self.ref.api_version

    @property
    def inverse(self) -> Change | None:
        """The change that undoes this one, None where nothing does; of the relied-on fields it keeps the lasting."""
        fields = tuple(
            Field(f.pointer, f.after, f.before, f.change, f.lasting) for f in self.fields if f.change or f.lasting
        )
        back = msgspec.structs.replace(
            self, fields=fields, summary=f"undo: {self.summary}", disruption=Disruption(), grace_seconds=None
        )
        if self.operation in (Operation.PATCH, Operation.APPLY):
            return msgspec.structs.replace(back, operation=Operation.PATCH, manifest=None)
        if self.operation is Operation.CREATE:
            # What was made goes only as long as it is what was made: everything in it is relied on.
            held = tuple(Field(p, v, v, change=False) for p, v in _leaves(self.manifest or {}))
            return msgspec.structs.replace(back, operation=Operation.DELETE, fields=held)
        if self.operation is Operation.DELETE and self.manifest is not None:
            return msgspec.structs.replace(
                back, operation=Operation.CREATE, fields=(), ref=msgspec.structs.replace(self.ref, uid="")
            )
        if self.operation is Operation.CALL and self.inverse_call is not None:
            return msgspec.structs.replace(back, call=self.inverse_call, inverse_call=self.call)
        return None


class Made(msgspec.Struct, frozen=True):
    """What became of a change."""

    wrote: bool
    """False: all was so already, and is not ours to put back."""
    change: Change
    """As it was made, which is what an undo inverts: with the uid of a new object, and what the server made of it."""
    result: dict[str, Any] = {}
    """call: what it returned, bounded and without credentials."""
    version: str = ""
    """resourceVersion of the object after the write, for the audit trail; empty where the server says none."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one step will do. The same value is shown, approved, journalled, applied, audited and inverted."""

    action: str
    summary: str
    changes: tuple[Change, ...] = ()
    repeat: Repeat = Repeat.SAFE
    undo: Undo = Undo.EXACT
    undo_failed: bool = False
    """Whether undoing a failed attempt is safe and wanted at all (a rollback, a restart: no)."""
    undo_half: bool = True
    """Whether what was made of this plan is put back when the rest of it cannot be made."""
    forward_undo: bool = False
    """Whether it is undone in its own order: what reads a setting when it starts comes after the setting."""
    locks: tuple[str, ...] = ()
    """Locks beside those of the changed objects, e.g. one for all drains of a cluster."""
    harmless: bool = False
    """For `undo: none`: there is nothing to put back (a message, a question), so it needs nobody's leave."""
    waits: bool = False
    """For a plan without changes: it is verified all the same, since waiting is what it is for."""
    facts: dict[str, Any] = {}
    """What planning saw and the verification has to compare with: plain JSON."""
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.changes

    @property
    def inverses(self) -> tuple[Change, ...]:
        """What undoes the plan, in the order to make it in; what nothing undoes is left out."""
        if self.undo is Undo.NONE:
            return ()
        order = self.changes if self.forward_undo else self.changes[::-1]
        return tuple(back for change in order if (back := change.inverse) is not None)

    @property
    def lock_keys(self) -> list[str]:
        """Every lock that the plan needs, sorted: taken all or none."""
        return sorted({*self.locks, *(change.ref.lock_key for change in self.changes)})

    @property
    def hash(self) -> str:
        """What an approval binds to: a hash of the changes alone (hex, 16 digits).

        Without what is told about them: how many pods are ready, and so disturbed, moves while people think.
        """
        bare = [msgspec.structs.replace(change, summary="", disruption=Disruption()) for change in self.changes]
        return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()[:16]

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


def holds(found: Any, wanted: Any) -> bool:
    """Whether an object has what was asked for: all of it, with defaults that a server filled in beside it.

    Empty values count as there when they are not: a server does not write them down.
    """
    if found is None:
        return wanted in (None, {}, [], "", 0)
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(holds(found.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(holds(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _leaves(document: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield pointer and value of everything in an object but its identity; lists are whole values."""
    for key, value in document.items():
        pointer = f"{place}/{escape_token(key)}"
        if pointer in _IDENTITY:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, pointer)
        else:
            yield pointer, value


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
