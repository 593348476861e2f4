"""What the actions on single objects share: naming the object, reading it, and seeing it again. Changes nothing."""

from __future__ import annotations

from typing import Any

from pydantic import Field as ParamField

from bridge.actions.workloads import refuse_deleted
from bridge.errors import InvalidInput, KubeNotFound
from bridge.model.plan import Plan, read_pointer
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, ref_of
from bridge.ports import ActionContext


class NamedParams(Strict):
    """Which object of the action's own kind; what is left out is the remediation's target."""

    namespace: str | None = ParamField(default=None, description="Namespace of the object; left out: the target's.")
    name: str | None = ParamField(
        default=None, description="Name of the object; left out: the target's, where that is of the kind."
    )


def named_ref(context: ActionContext, params: NamedParams, api_version: str, kind: str) -> ObjectRef:
    """Return the object of that kind that the parameters and the target name; raise InvalidInput."""
    target = context.target
    if params.name is None and target.kind != kind:
        raise InvalidInput(f"say which {kind} by `name`: the target is a {target.kind}")
    return ObjectRef(
        api_version,
        kind,
        check_namespace(params.namespace or target.namespace),
        check_name(params.name or target.name),
        cluster=target.cluster,
    )


async def read_object(context: ActionContext, asked: ObjectRef) -> tuple[ObjectRef, Document]:
    """Return the object with its uid; raise KubeError, or PlanError for one that is being deleted."""
    document = await context.reach.cluster.get(asked)
    ref = ref_of(document, asked.api_version, asked.kind, asked.cluster)
    refuse_deleted(ref, document)
    return ref, document


async def find_object(context: ActionContext, asked: ObjectRef) -> Document | None:
    """Return the object as it is now, None when there is none of that name."""
    try:
        return await context.reach.cluster.get(asked)
    except KubeNotFound:
        return None


async def fields_hold(context: ActionContext, plan: Plan) -> Verification:
    """Say whether every field that the plan changes has its after-value: waiting longer changes nothing of that."""
    if plan.empty:
        return Verification(Answer.FIXED, plan.summary)
    for change in plan.changes:
        document = await find_object(context, change.ref)
        if (answer := missing(change.ref, document)) is not None:
            return answer
        for field in change.fields:
            if field.change and read_pointer(document, field.pointer) != field.after:
                text = f"{change.ref} {field.pointer} is not what was set: somebody changed it since"
                return Verification(Answer.NOT_FIXED, text, final=True)
    return Verification(Answer.FIXED, f"{plan.summary}: it is so")


def missing(planned: ObjectRef, document: Document | None) -> Verification | None:
    """Return the final answer for an object that is gone or was made again, None for the planned one."""
    if document is None:
        return Verification(Answer.NOT_FIXED, f"{planned} does not exist any more", final=True)
    if planned.uid and document["metadata"].get("uid") != planned.uid:
        return Verification(Answer.NOT_FIXED, f"{planned} was deleted and made again", final=True)
    return None


def values(document: Document | None, key: str) -> dict[str, Any]:
    """Return the mapping at a key of the object, empty when it is not there."""
    return dict((document or {}).get(key) or {})
