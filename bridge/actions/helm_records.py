"""The writes of a Helm rollback that are calls: the release's records, and Secrets of its chart.

Each finds what to write in the records when it is made, so that no plan and no journal holds what is in them. Each
looks before it writes, and raises PlanStale, with nothing written, where somebody was there since.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.errors import KubeConflict, KubeNotFound, PermanentError, PlanStale, UndoBlocked
from bridge.model import helm
from bridge.model.helm import BadRecord, Release
from bridge.model.helm_manifest import Key, as_sent, objects_of
from bridge.model.marks import REMEDIATION
from bridge.model.plan import Change, Operation, read_pointer
from bridge.model.target import ObjectRef
from bridge.model.three_way import three_way
from bridge.model.workload import annotations_of
from bridge.ports import ActionContext

_BEGUN = "pending-rollback"


class Records:
    """The calls of one change, made or looked at."""

    def __init__(self, context: ActionContext, change: Change) -> None:
        self._context = context
        self._cluster = context.reach.cluster
        self._change = change
        self._call = change.call
        self._release = str(change.call["release"])

    async def perform(self) -> dict[str, Any]:
        """Make it. Raises PlanStale (nothing was written), KubeError and PermanentError."""
        steps = {
            "begin": self._begin,
            "withdraw": self._withdraw,
            "status": self._status,
            "secret": self._secret,
        }
        return await steps[self._call["do"]]()

    async def done(self) -> bool | None:
        """Whether it was made."""
        what = self._call["do"]
        if what in ("begin", "withdraw"):
            found = await self._read(self._call["version"])
            return (found is not None and self._is_ours(found)) is (what == "begin")
        if what == "status":
            found = await self._read(self._call["version"])
            return found is not None and _release(found).status == self._call["to"]
        live, wanted = await self._wanted()
        return live == wanted

    async def _begin(self) -> dict[str, Any]:
        """Record the new revision as pending."""
        call = self._call
        if await self._read(call["version"]) is not None:
            raise PlanStale(f"{self._name(call['version'])} is there: somebody changed the release since planning")
        current, target = await self._known(call["current"]), await self._known(call["target"])
        if current.status != call["status"]:
            raise PlanStale(f"{current.secret} is {current.status}, it was {call['status']} when planned")
        body = helm.rolled_back(current, target, at=call["at"], status=_BEGUN)
        manifest = {
            "type": helm.SECRET_TYPE,
            "metadata": {
                "labels": helm.new_labels(current, target, at=call["at"], status=_BEGUN),
                "annotations": {REMEDIATION: self._context.remediation},
            },
            "data": {"release": await asyncio.to_thread(helm.encode_body, body)},
        }
        ref = self._ref(call["version"])
        try:
            await self._cluster.create(ref, manifest)
        except KubeConflict as error:
            raise PlanStale(f"{ref} was made by somebody else since planning") from error
        return {"release": self._release, "revision": call["version"], "status": _BEGUN}

    async def _status(self) -> dict[str, Any]:
        """Give a record another state."""
        call = self._call
        found = await self._must_be(call["version"])
        release = _release(found)
        if call.get("back"):
            await self._refuse_newer(call["current"])
        if release.status != call["from"]:
            refusal = UndoBlocked if call.get("back") else PlanStale
            raise refusal(f"{release.secret} is {release.status}, and not {call['from']}")
        await self._write_status(found, release, call["to"])
        return {"release": self._release, "revision": release.version, "status": call["to"]}

    async def _withdraw(self) -> dict[str, Any]:
        """Take the new record away, or call it failed where the objects are not as they were before."""
        call = self._call
        found = await self._must_be(call["version"])
        release = _release(found)
        if not self._is_ours(found) or release.status not in (_BEGUN, "failed"):
            raise PlanStale(f"{release.secret} is {release.status} and not ours to take away any more")
        left = [text for each in call["objects"] if (text := await self._left(each))]
        if left:
            why = f'Rollback "{self._release}" failed: {"; ".join(left[:5])}'
            await self._write_status(found, release, "failed", why)
            raise PermanentError(f"{release.secret} is recorded as failed: {'; '.join(left[:5])}")
        ref = msgspec.structs.replace(self._ref(call["version"]), uid=release.uid)
        await self._cluster.delete(ref, resource_version=release.resource_version)
        return {"release": self._release, "revision": release.version, "status": "withdrawn"}

    async def _left(self, each: Mapping[str, Any]) -> str:
        """Return what is still of the rollback at an object, empty when it is as it was."""
        ref = msgspec.convert(each["ref"], ObjectRef)
        live = await self._get(ref)
        if live is not None and not each["there"] and live["metadata"].get("deletionTimestamp"):
            live = None
        if each["there"] != (live is not None):
            return f"{ref} is {'not there' if live is None else 'there'}"
        for pointer, was in each["fields"].items():
            if digest(read_pointer(live, pointer)) != was:
                return f"{pointer} of {ref} is not as it was"
        return ""

    async def _secret(self) -> dict[str, Any]:
        """Make a Secret of the chart what the new manifest says, or take it away."""
        live, wanted = await self._wanted()
        ref, seen = self._change.ref, self._call["resource_version"]
        if live == wanted:
            return {"changed": False}
        version = str(live["metadata"].get("resourceVersion", "")) if live else ""
        if seen and seen != version:
            raise PlanStale(f"{ref} was changed since planning")
        if live is None:
            assert wanted is not None
            notes = {**annotations_of(wanted), REMEDIATION: self._context.remediation}
            await self._cluster.create(ref, {**wanted, "metadata": {**wanted["metadata"], "annotations": notes}})
        elif wanted is None:
            found = msgspec.structs.replace(ref, uid=live["metadata"]["uid"])
            await self._cluster.delete(found, resource_version=version)
        else:
            patch = _patch(live, wanted)
            meta = patch.setdefault("metadata", {})
            meta.setdefault("annotations", {})[REMEDIATION] = self._context.remediation
            meta["resourceVersion"] = version
            await self._cluster.patch(ref, patch)
        return {"changed": True}

    async def _wanted(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return the Secret as it is and as it is to be, None for absent."""
        ref = self._change.ref
        old = await self._document(self._call["old"])
        new = await self._document(self._call["new"])
        live = await self._get(ref)
        if new is None:
            if live is not None and ref.uid and live["metadata"]["uid"] != ref.uid:
                raise PlanStale(f"{ref} was made again since planning")
            return live, None
        if live is None:
            return None, three_way({}, new, {"apiVersion": "v1", "kind": "Secret"}, built_in=True)
        if self._call["old"] > self._call["new"] and three_way(new, old or {}, live, built_in=True) != live:
            raise PlanStale(f"{ref} was changed since")
        return live, three_way(old or {}, new, live, built_in=True)

    async def _document(self, version: int) -> dict[str, Any] | None:
        release = await self._known(version)
        ref = self._change.ref
        found = await asyncio.to_thread(objects_of, release.manifest, release.namespace, naming=ref.name)
        manifest = found.get(Key("", "Secret", ref.namespace, ref.name))
        return as_sent(manifest, release.name, release.namespace) if manifest else None

    async def _write_status(
        self, found: Mapping[str, Any], release: Release, status: str, description: str = ""
    ) -> None:
        labels = helm.changed_labels(release.labels, at=self._call["at"], status=status)
        gone: dict[str, str | None] = dict.fromkeys(set(release.labels) - set(labels))
        body = helm.with_status(release.body, status, description)
        patch: dict[str, Any] = {
            "metadata": {"labels": {**labels, **gone}, "resourceVersion": found["metadata"]["resourceVersion"]},
            "data": {"release": await asyncio.to_thread(helm.encode_body, body)},
        }
        try:
            await self._cluster.patch(self._ref(release.version), patch)
        except KubeConflict as error:
            raise PlanStale(f"{release.secret} was changed by somebody else just now") from error

    async def _refuse_newer(self, version: int) -> None:
        if await self._read(version + 2) is not None:
            # `version` is the one before the rollback, which made the next.
            raise UndoBlocked(f"{self._name(version + 2)} is there: the release was changed since")

    async def _known(self, version: int) -> Release:
        return _release(await self._must_be(version))

    async def _must_be(self, version: int) -> dict[str, Any]:
        found = await self._read(version)
        if found is None:
            raise PlanStale(f"{self._name(version)} does not exist any more")
        return found

    async def _read(self, version: int) -> dict[str, Any] | None:
        return await self._get(self._ref(version))

    async def _get(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self._cluster.get(ref)
        except KubeNotFound:
            return None

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        return annotations_of(record).get(REMEDIATION) == self._context.remediation

    def _name(self, version: int) -> str:
        return helm.secret_name(self._release, version)

    def _ref(self, version: int) -> ObjectRef:
        ref = self._change.ref
        return ObjectRef("v1", "Secret", str(self._call["namespace"]), self._name(version), cluster=ref.cluster)


def _release(secret: Mapping[str, Any]) -> Release:
    try:
        return helm.release_of(secret)
    except BadRecord as error:
        raise PermanentError(f"{secret['metadata']['name']}: {error}") from None


def _patch(live: Any, wanted: Any) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) from one object to the other."""
    patch: dict[str, Any] = {}
    for key in live.keys() | wanted.keys():
        if key not in wanted:
            patch[key] = None
        elif live.get(key) != wanted[key]:
            inner = isinstance(live.get(key), dict) and isinstance(wanted[key], dict)
            patch[key] = _patch(live[key], wanted[key]) if inner else wanted[key]
    return patch


def before(changes: tuple[Change, ...]) -> list[dict[str, Any]]:
    """Return how the objects were, for a look at whether they are so again: no values, but digests of them."""
    found = []
    for change in changes:
        what = str(change.call.get("what") or change.operation.value)
        fields = {} if change.operation is Operation.CALL else {f.pointer: digest(f.before) for f in change.fields}
        ref = msgspec.to_builtins(msgspec.structs.replace(change.ref, uid=""))
        found.append({"ref": ref, "there": what != "create", "fields": fields})
    return found


def digest(value: Any) -> str:
    """Return a short digest of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
