"""`kubectl apply --server-side`: one object of any kind, from a manifest in the runbook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, field_validator
from pydantic import Field as ParamField

from bridge.actions.any_object import make_ref
from bridge.actions.autoscalers import AUTOSCALING, HPA
from bridge.actions.base import BaseAction
from bridge.actions.objects import find_object
from bridge.actions.permits import permit
from bridge.actions.workloads import refuse_deleted
from bridge.errors import InvalidInput, PlanError
from bridge.model.apply_merge import (
    Conflict,
    changes,
    configuration_of,
    conflicts,
    given_up,
    is_built_in,
    merged,
    without,
)
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Operation, Plan
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS, Document, condition, ref_of, rollout_of
from bridge.ports import ActionContext

_MANAGER = "alertbridge"
_TEMPLATE = "/spec/template"
_SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})


class ApplyParams(Strict):
    manifest: dict[str, Any] = ParamField(
        description="The object, as in a file for kubectl; without a namespace it goes to the target's."
    )
    cluster_wide: bool = ParamField(default=False, description="For a kind whose objects are in no namespace.")
    force: bool = ParamField(default=False, description="Take over fields that another manager owns.")
    condition: str | None = ParamField(
        default=None, max_length=100, description="It is done when this condition of its status is True."
    )

    @field_validator("manifest")
    @classmethod
    def _names_itself(cls, manifest: dict[str, Any]) -> dict[str, Any]:
        meta = manifest.get("metadata")
        if not (manifest.get("apiVersion") and manifest.get("kind")):
            raise ValueError("a manifest has `apiVersion` and `kind`")
        if not isinstance(meta, dict) or not meta.get("name"):
            raise ValueError("a manifest has `metadata` with a `name`")
        if "status" in manifest:
            raise ValueError("a status belongs to its controller: leave it out")
        return manifest


class ObjectApply(BaseAction):
    """An object as the runbook has it: made, or merged into what is there."""

    name = "object_apply"
    summary = "Make an object, or merge a manifest into it by server-side apply."
    params: type[BaseModel] = ApplyParams
    example: Mapping[str, Any] = {
        "manifest": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "allow-callbacks"},
            "spec": {"podSelector": {"matchLabels": {"app": "gateway"}}, "policyTypes": ["Egress"], "egress": [{}]},
        }
    }
    # What did not help is not left behind.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        manifest = params.get("manifest") or {}
        if not isinstance(manifest, Mapping):
            # A template that only a run renders: what it is about is not known, and shows as that.
            return (permit("v1", str(manifest), "get"),)
        version, own = str(manifest.get("apiVersion", "v1")), str(manifest.get("kind", kind))
        place = "" if params.get("cluster_wide") else (manifest.get("metadata") or {}).get("namespace")
        asked = [permit(version, own, "create", "delete", "get", "patch", namespace=place)]
        if own in _SCALED or "replicas" in (manifest.get("spec") or {}):
            # Before the number is changed, or given up, it is asked who scales the object.
            asked.append(permit(AUTOSCALING, HPA, "list", namespace=place))
        return tuple(asked)

    async def plan(self, context: ActionContext, params: ApplyParams) -> Plan:
        """Plan the object or its fields; raise PlanError for fields of others, naming them and the mend."""
        asked, manifest = _wanted(context, params)
        if asked.kind == "Secret":
            raise PlanError(f"{asked} is not applied: its values would stand in the plan; use `tls_rotate`")
        document = await find_object(context, asked)
        if document is None:
            change = Change(ref=asked, operation=Operation.CREATE, manifest=manifest, summary=f"create {asked}")
            return self.planned(change.summary, change)
        ref = ref_of(document, asked.api_version, asked.kind, asked.cluster)
        refuse_deleted(ref, document)
        config = configuration_of(manifest)
        gone = given_up(document, config, manager=_MANAGER)
        fields = changes(document, without(merged(document, config, ref.api_version), gone))
        if not fields:
            return self.planned(f"{ref} is so already")
        others = conflicts(document, config, ref.api_version, manager=_MANAGER)
        foreign = [each for each in others if each.manager != _MANAGER]
        if foreign and not params.force:
            raise PlanError(
                f"{ref} has fields that others own: {_listed(foreign)}; change them there, or take them over with "
                "`force: true`"
            )
        summary = f"apply {ref}: {', '.join(field.pointer for field in fields[:5])}" + (", …" * (len(fields) > 5))
        change = Change(
            ref=ref,
            operation=Operation.APPLY,
            fields=tuple(fields),
            manifest=manifest,
            # What alertbridge itself set by a patch is another manager's to the server.
            force=bool(others),
            summary=summary,
            disruption=_disruption(ref, document, [field.pointer for field in fields]),
        )
        return self.planned(summary, change, notes=_notes(ref, foreign, gone))

    async def verify(self, context: ActionContext, plan: Plan, params: ApplyParams) -> Verification:
        """Fixed when the object holds the manifest, a workload's rollout is complete, and the condition is True."""
        asked, manifest = _wanted(context, params)
        document = await find_object(context, asked)
        if document is None:
            final = bool(plan.changes) and plan.changes[0].operation is Operation.APPLY
            return Verification(Answer.NOT_FIXED, f"{asked} does not exist", final=final)
        if changes(document, merged(document, configuration_of(manifest), asked.api_version)):
            return Verification(Answer.NOT_FIXED, f"{asked} does not hold what was applied: somebody changed it")
        if asked.kind in WORKLOADS and asked.api_version == "apps/v1":
            rollout = rollout_of(asked.kind, document)
            if not rollout.complete:
                return Verification(Answer.NOT_FIXED, rollout.text, final=rollout.failed)
        if params.condition and condition(document, params.condition).get("status") != "True":
            told = condition(document, params.condition).get("message") or "it is not there yet"
            return Verification(Answer.NOT_FIXED, f"{asked} is not {params.condition}: {told}")
        return Verification(Answer.FIXED, f"{asked} is as in the manifest")


def _wanted(context: ActionContext, params: ApplyParams) -> tuple[ObjectRef, dict[str, Any]]:
    """Return the object that the manifest names, and the manifest with its place in it."""
    manifest, meta = params.manifest, params.manifest["metadata"]
    place = meta.get("namespace")
    if params.cluster_wide and place:
        raise InvalidInput("a manifest with a namespace is of no cluster-wide kind")
    namespace = "" if params.cluster_wide else (place or context.target.namespace)
    ref = make_ref(context, manifest["apiVersion"], manifest["kind"], namespace, meta["name"])
    return ref, {**manifest, "metadata": {**meta, **({"namespace": namespace} if namespace else {})}}


def _listed(others: Sequence[Conflict]) -> str:
    shown = ", ".join(f"{each.field} of {each.manager}" for each in others[:5])
    return f"{shown} and {len(others) - 5} more" if len(others) > 5 else shown


def _disruption(ref: ObjectRef, document: Document, pointers: Sequence[str]) -> Disruption:
    if ref.kind not in WORKLOADS or not any(pointer.startswith(_TEMPLATE) for pointer in pointers):
        return Disruption()
    ready = rollout_of(ref.kind, document).ready
    return Disruption(ready, 100.0 if ready else 0.0)


def _notes(ref: ObjectRef, foreign: Sequence[Conflict], gone: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    notes = []
    if foreign:
        notes.append(f"takes over {_listed(foreign)}")
    if gone:
        notes.append(f"no longer in the manifest, so it goes: {', '.join('.'.join(path) for path in gone[:5])}")
    if not is_built_in(ref.api_version):
        notes.append("lists of this kind are replaced as wholes here; its schema may merge them by key")
    return tuple(notes)
