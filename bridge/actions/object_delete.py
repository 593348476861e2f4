"""`kubectl delete`: one object of any kind, by its name; it is kept, so that it can be made again.

With `until` on the step it is lifted for a while and put back: a network policy, a mesh's destination rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.any_object import AnyParams, any_ref
from bridge.actions.base import BaseAction
from bridge.actions.kept_object import HARMLESS, MAKES_OTHERS, NEVER, ONCE, conditions_of, kept
from bridge.actions.objects import find_object
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import refuse_deleted
from bridge.errors import KubeError, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Operation, Plan, Undo
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS, Document, at, owned_by, ref_of, rollout_of
from bridge.ports import ActionContext

_MOST = 5000


class DeleteParams(AnyParams):
    dependents: Literal["refuse", "delete", "orphan"] = ParamField(
        default="refuse", description="What becomes of the objects that it owns; `refuse`: only one without any."
    )
    with_finalizers: bool = ParamField(
        default=False, description="Delete it also where finalizers wait for somebody to clean up first."
    )
    may_return: bool = ParamField(
        default=False, description="It is done also where somebody makes it again, e.g. the controller that owns it."
    )


class ObjectDelete(BaseAction):
    """The object goes; everything that makes it again is in the plan."""

    name = "object_delete"
    summary = "Delete one object by its name, and keep it for the undo."
    params: type[BaseModel] = DeleteParams
    example: Mapping[str, Any] = {
        "api_version": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "namespace": "omnimesh-core",
        "name": "go-node-proxy",
    }
    # What was lifted for nothing is put back.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        own, version = kind_of(kind, params), str(params.get("api_version", "v1"))
        place = "" if params.get("cluster_wide") else None
        listed = [(theirs, other) for theirs, other in MAKES_OTHERS.get(own, ()) if other not in HARMLESS]
        return (
            permit(version, own, "create", "delete", "get", namespace=place),
            *(permit(theirs, other, "list") for theirs, other in listed),
        )

    async def plan(self, context: ActionContext, params: DeleteParams) -> Plan:
        """Plan the deletion; raise PlanError for what must not go, or not alone."""
        asked = any_ref(context, params)
        if asked.kind in NEVER:
            raise PlanError(f"{asked} is not deleted here: {NEVER[asked.kind]}")
        document = await find_object(context, asked)
        if document is None:
            return self.planned(f"{asked} does not exist")
        ref = ref_of(document, asked.api_version, asked.kind, asked.cluster)
        refuse_deleted(ref, document)
        finalizers = at(document, "metadata", "finalizers") or []
        if finalizers and not params.with_finalizers:
            raise PlanError(
                f"{ref} has finalizers ({', '.join(map(str, finalizers))}): somebody cleans up before it goes, and "
                "that is not undone; `with_finalizers: true` deletes it all the same"
            )
        owned = await _owned(context, ref)
        if owned and params.dependents == "refuse":
            raise PlanError(
                f"{ref} owns {_listed(owned)}: say by `dependents` whether they go (`delete`) or stay (`orphan`)"
            )
        once = ref.kind in ONCE
        change = Change(
            ref=ref,
            operation=Operation.DELETE,
            fields=conditions_of(document),
            manifest=None if once else kept(document),
            propagation="Orphan" if params.dependents == "orphan" else "Background",
            summary=f"delete {ref}",
            disruption=_disruption(ref, document, params),
        )
        return self.planned(
            change.summary, change, undo=Undo.NONE if once else self.undo, notes=_notes(ref, owned, params)
        )

    async def verify(self, context: ActionContext, plan: Plan, params: DeleteParams) -> Verification:
        """Fixed when it is gone."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        ref = plan.changes[0].ref
        document = await find_object(context, ref)
        if document is None:
            return Verification(Answer.FIXED, f"{ref} is gone")
        if document["metadata"].get("uid") != ref.uid:
            answer = Answer.FIXED if params.may_return else Answer.NOT_FIXED
            return Verification(answer, f"{ref} went, and somebody made it again", final=True)
        if since := at(document, "metadata", "deletionTimestamp"):
            waits = ", ".join(map(str, at(document, "metadata", "finalizers") or ["its end"]))
            return Verification(Answer.NOT_FIXED, f"{ref} is being deleted since {since}, and waits for {waits}")
        return Verification(Answer.NOT_FIXED, f"{ref} is there")


async def _owned(context: ActionContext, ref: ObjectRef) -> dict[str, int]:
    """Return how many objects of each kind go with it, as far as its kind is known to make others."""
    found: dict[str, int] = {}
    for version, kind in MAKES_OTHERS.get(ref.kind, ()):
        if kind in HARMLESS:
            continue
        try:
            objects = await context.reach.cluster.list(version, kind, ref.namespace, limit=_MOST)
        except KubeError as error:
            raise PlanError(f"what {ref} owns cannot be told: {error}") from error
        if count := sum(owned_by(each, ref.uid) for each in objects):
            found[kind] = count
    return found


def _listed(owned: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of kind {kind}" for kind, count in owned.items())


def _disruption(ref: ObjectRef, document: Document, params: DeleteParams) -> Disruption:
    if ref.kind not in WORKLOADS or params.dependents != "delete":
        return Disruption()
    ready = rollout_of(ref.kind, document).ready
    return Disruption(ready, 100.0 if ready else 0.0)


def _notes(ref: ObjectRef, owned: Mapping[str, int], params: DeleteParams) -> tuple[str, ...]:
    notes = []
    if owned:
        notes.append(
            f"{_listed(owned)} {'go with it' if params.dependents == 'delete' else 'stay, without an owner'}"
        )
    elif ref.kind not in MAKES_OTHERS and "." in ref.api_version.partition("/")[0]:
        notes.append("whether it owns other objects is not known of this kind; they would go with it")
    if ref.kind in ONCE:
        notes.append("it is not made again by an undo: it would do its work once more")
    return tuple(notes)
