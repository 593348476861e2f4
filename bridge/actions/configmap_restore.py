"""Put the last good copy of a ConfigMap back, from the copies that alertbridge keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.configmaps import change_keys, permissions_for_configmap, read_configmap
from bridge.actions.objects import NamedParams, fields_hold, values
from bridge.errors import PlanError
from bridge.model.outside import Copy
from bridge.model.permission import Permission
from bridge.model.plan import Plan
from bridge.model.target import ObjectRef
from bridge.model.verification import Verification
from bridge.model.workload import Document, format_time
from bridge.ports import ActionContext

_PARTS = ("data", "binaryData")


class RestoreParams(NamedParams):
    proven: bool = ParamField(
        default=True,
        description="Only a copy with which its workload was well (`keep_copies`); false: the newest that differs.",
    )


class ConfigMapRestore(BaseAction):
    """What the ConfigMap held when things were well."""

    name = "configmap_restore"
    summary = "Put back the newest good copy of a ConfigMap that differs from what it holds now."
    params: type[BaseModel] = RestoreParams
    example: Mapping[str, Any] = {"name": "netweave-config"}
    # Back to what was taken for the trouble: no.
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (permissions_for_configmap(),)

    async def plan(self, context: ActionContext, params: RestoreParams) -> Plan:
        """Plan the difference to the copy; raise PlanError when none was kept that helps."""
        ref, document = await read_configmap(context, params)
        copies = await context.reach.copies.of(ref)
        usable = [copy for copy in copies if copy.good or not params.proven]
        copy = next((copy for copy in usable if differs(copy.manifest, document)), None)
        if copy is None:
            return self._nothing(ref, copies, usable)
        wanted = {
            part: {
                **dict.fromkeys(values(document, part)),
                **values(copy.manifest, part),
            }
            for part in _PARTS
        }
        what = "good copy" if copy.good else "copy"
        summary = f"restore {ref} to the {what} of {format_time(copy.taken_at)}"
        change = change_keys(ref, document, wanted, {**wanted["data"], **wanted["binaryData"]}, summary)
        assert change is not None
        notes = [f"kept because: {copy.why}"] if copy.why else []
        notes += [_difference(field.pointer, field.before, field.after) for field in change.fields]
        return self.planned(summary, change, notes=tuple(notes))

    def _nothing(self, ref: ObjectRef, copies: Sequence[Copy], usable: Sequence[Copy]) -> Plan:
        if usable:
            return self.planned(f"{ref} holds what the last good copy does: the trouble is not there")
        kept = f"{len(copies)} copies are kept, none known to be good" if copies else "no copy is kept"
        raise PlanError(
            f"nothing to restore {ref} to: {kept}. List it under `keep_copies` in the configuration, with the "
            "workload that is well with it" + (", or take `proven: false`" if copies else "")
        )

    async def verify(self, context: ActionContext, plan: Plan, params: RestoreParams) -> Verification:
        """Fixed when the ConfigMap holds what the copy does."""
        return await fields_hold(context, plan)


def differs(one: Document, other: Document) -> bool:
    """Whether two ConfigMaps hold other things."""
    return any(values(one, part) != values(other, part) for part in _PARTS)


def _difference(pointer: str, before: Any, after: Any) -> str:
    key = pointer.rpartition("/")[2]
    if before is None:
        return f"{key} is added"
    if after is None:
        return f"{key} is removed"
    old, new = str(before).splitlines(), str(after).splitlines()
    return f"{key}: {len(set(new) - set(old))} lines come back, {len(set(old) - set(new))} lines go"
