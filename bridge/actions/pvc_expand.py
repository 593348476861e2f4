"""`kubectl patch pvc`: a larger volume, where its storage class allows that. It never becomes smaller again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.objects import NamedParams, find_object, missing, named_ref, read_object
from bridge.actions.permits import permit
from bridge.errors import KubeNotFound, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan, Undo
from bridge.model.quantity import Quantity, canonical_quantity, parse_quantity
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, at, condition
from bridge.ports import ActionContext

POINTER = "/spec/resources/requests/storage"
_GIB = Decimal(1 << 30)


class ExpandParams(NamedParams):
    """Exactly one of `size`, `by` and `factor`."""

    size: Quantity | None = ParamField(default=None, description="The new size, e.g. 200Gi.")
    by: Quantity | None = ParamField(default=None, description="Added to the size there is, e.g. 50Gi.")
    factor: float | None = ParamField(
        default=None, gt=1, le=10, description="The size there is times this, rounded up to whole GiB."
    )
    max_size: Quantity = ParamField(description="Never beyond this, since nothing takes it back.")

    @model_validator(mode="after")
    def _one_way(self) -> ExpandParams:
        if sum(value is not None for value in (self.size, self.by, self.factor)) != 1:
            raise ValueError("give exactly one of size, by and factor")
        return self


class PvcExpand(BaseAction):
    """More space for a claim, within a hard maximum."""

    name = "pvc_expand"
    summary = "Make the volume of a PersistentVolumeClaim larger, where its storage class allows that."
    params: type[BaseModel] = ExpandParams
    example: Mapping[str, Any] = {"name": "data-omendb-0", "size": "200Gi", "max_size": "500Gi"}
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (
            permit("v1", "PersistentVolumeClaim", "get", "patch"),
            permit("storage.k8s.io/v1", "StorageClass", "get", namespace=""),
        )

    async def plan(self, context: ActionContext, params: ExpandParams) -> Plan:
        """Plan the size; raise PlanError where the class does not grow volumes, or the maximum is reached."""
        ref, claim = await read_object(context, named_ref(context, params, "v1", "PersistentVolumeClaim"))
        before = at(claim, *POINTER.split("/")[1:])
        if at(claim, "status", "phase") != "Bound":
            raise PlanError(
                f"{ref} is not bound to a volume yet (it is {at(claim, 'status', 'phase')}): see "
                f"`kubectl describe pvc {ref.name} -n {ref.namespace}`"
            )
        current = parse_quantity(before)
        wanted, most = _wanted(params, current), parse_quantity(params.max_size)
        asked = params.size or canonical_quantity(_text(wanted))
        size, after = (most, params.max_size) if wanted > most else (wanted, asked)
        if params.size is not None and wanted == current:
            return self.planned(f"{ref} asks for {before} already")
        if wanted < current:
            raise PlanError(f"{ref} has {before}: a volume never becomes smaller, not {params.size}")
        if size <= current:
            raise PlanError(
                f"{ref} has {before} and would need {asked}, but `max_size` is {params.max_size}: clean up, or "
                "raise the maximum"
            )
        await _check_class(context, ref, claim)
        notes = ["nothing makes a volume smaller again"]
        if size != wanted:
            notes.append(f"clamped from {asked} to {after} (`max_size`)")
        summary = f"expand {ref} from {before} to {after}"
        return self.planned(
            summary, Change(ref=ref, fields=(Field(POINTER, before, after),), summary=summary), notes=tuple(notes)
        )

    async def verify(self, context: ActionContext, plan: Plan, params: ExpandParams) -> Verification:
        """Fixed when the claim has the capacity; says what it waits for, and what only a person can do."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        planned = plan.changes[0]
        claim = await find_object(context, planned.ref)
        if (answer := missing(planned.ref, claim)) is not None or claim is None:
            return answer or Verification(Answer.UNKNOWN)
        asked, wanted = at(claim, *POINTER.split("/")[1:]), planned.fields[0].after
        if parse_quantity(asked or 0) < parse_quantity(wanted):
            text = f"{planned.ref} asks for {asked}, not {wanted}: somebody changed it"
            return Verification(Answer.NOT_FIXED, text, final=True)
        has = at(claim, "status", "capacity", "storage")
        if parse_quantity(has or 0) >= parse_quantity(wanted):
            return Verification(Answer.FIXED, f"{planned.ref} has {has}")
        return _waits_for(planned.ref, claim, str(has))


def _wanted(params: ExpandParams, current: Decimal) -> Decimal:
    if params.size is not None:
        return parse_quantity(params.size)
    if params.by is not None:
        return current + parse_quantity(params.by)
    return -(-(current * Decimal(str(params.factor))) // _GIB) * _GIB


def _text(value: Decimal) -> str:
    """Return bytes in binary units, as people write sizes of volumes."""
    return f"{value / 1024}Ki" if value % 1024 == 0 else f"{value:f}"


async def _check_class(context: ActionContext, ref: ObjectRef, claim: Document) -> None:
    name = at(claim, "spec", "storageClassName")
    if not name:
        raise PlanError(
            f"{ref} has no storage class: its volume was made by hand and grows by hand; make a larger claim and "
            "copy the data"
        )
    place = ObjectRef("storage.k8s.io/v1", "StorageClass", "", str(name), cluster=ref.cluster)
    try:
        storage = await context.reach.cluster.get(place)
    except KubeNotFound:
        raise PlanError(f"the storage class {name} of {ref} does not exist any more: nothing can grow it") from None
    if storage.get("allowVolumeExpansion") is not True:
        raise PlanError(
            f"the storage class {name} of {ref} does not grow volumes: set `allowVolumeExpansion: true` on it if its "
            f"provisioner {storage.get('provisioner')} can, or make a larger claim and copy the data"
        )


def _waits_for(ref: ObjectRef, claim: Document, has: str) -> Verification:
    state = str(at(claim, "status", "allocatedResourceStatuses", "storage") or "")
    failed = condition(claim, "ControllerResizeError") or condition(claim, "NodeResizeError")
    if state.endswith("Infeasible"):
        told = failed.get("message") or "the storage refuses the size"
        return Verification(Answer.NOT_FIXED, f"{ref} stays at {has}: {told} ({state})", final=True)
    if failed.get("status") == "True":
        return Verification(Answer.NOT_FIXED, f"{ref} has {has} still: {failed.get('message')}")
    if condition(claim, "FileSystemResizePending").get("status") == "True":
        return Verification(
            Answer.NOT_FIXED,
            f"{ref} has {has} still: its volume has grown, its file system waits for a pod that uses it; where "
            "that does not come by itself, a person has to restart the pod",
        )
    return Verification(Answer.NOT_FIXED, f"{ref} has {has} still: the storage is growing the volume")
