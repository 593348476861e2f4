"""What the actions on workloads share: parameters, reading the workload, and looking at its rollout."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from pydantic import Field as ParamField

from bridge.errors import InvalidInput, KubeNotFound, PlanError
from bridge.model.plan import Disruption, Plan
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS, Document, Rollout, at, condition, parse_time, ref_of, rollout_of
from bridge.ports import ActionContext

APPS = "apps/v1"
_DEADLINE = 600.0


class TargetParams(Strict):
    """Which object; what is left out is the remediation's target."""

    kind: str | None = ParamField(default=None, description="Kind of the object; left out: the target's.")
    namespace: str | None = ParamField(default=None, description="Namespace of the object; left out: the target's.")
    name: str | None = ParamField(default=None, description="Name of the object; left out: the target's.")


class Workload(msgspec.Struct, frozen=True):
    """A workload as it was read."""

    ref: ObjectRef
    document: Document
    rollout: Rollout

    @property
    def disruption(self) -> Disruption:
        """What replacing its pods disturbs: those that are ready now."""
        ready, desired = self.rollout.ready, max(self.rollout.desired, self.rollout.ready)
        return Disruption(ready, round(100 * ready / desired, 1) if desired else 0.0)


def object_ref(context: ActionContext, params: TargetParams, api_version: str, kinds: Collection[str]) -> ObjectRef:
    """Return the object that the parameters and the target name; raise InvalidInput when it cannot be it."""
    target = context.target
    kind = params.kind or target.kind
    if kind not in kinds:
        raise InvalidInput(f"{kind} is not supported here: {', '.join(kinds)} are")
    namespace = check_namespace(params.namespace or target.namespace)
    name = check_name(params.name or target.name)
    return ObjectRef(api_version, kind, namespace, name, cluster=target.cluster)


async def read_workload(context: ActionContext, params: TargetParams, kinds: Collection[str] = WORKLOADS) -> Workload:
    """Return the workload; raise KubeError, InvalidInput, or PlanError for one that is being deleted."""
    ref = object_ref(context, params, APPS, kinds)
    document = await context.reach.cluster.get(ref)
    refuse_deleted(ref, document)
    return Workload(
        ref_of(document, APPS, ref.kind, context.target.cluster), document, rollout_of(ref.kind, document)
    )


def refuse_deleted(ref: ObjectRef, document: Document) -> None:
    """Raise PlanError for an object that somebody deletes: its controller does no more for it than clear it away."""
    if since := at(document, "metadata", "deletionTimestamp"):
        raise PlanError(f"{ref} is being deleted since {since}: there is nothing to mend")


def refuse_idle(workload: Workload) -> None:
    """Raise PlanError for a workload that has no pods on purpose: new ones would be none, and look like success."""
    if not workload.rollout.desired:
        ref = workload.ref
        raise PlanError(f"{ref} is to have no pods: scale it up, if it is not switched off on purpose")


def refuse_paused(workload: Workload) -> None:
    """Raise PlanError for a Deployment whose rollouts are paused: a new template would stay without effect."""
    if at(workload.document, "spec", "paused"):
        ref = workload.ref
        raise PlanError(
            f"{ref} is paused, nothing would be rolled out: `kubectl rollout resume {ref.kind.lower()}/{ref.name} "
            f"-n {ref.namespace}` first"
        )


def refuse_on_delete(workload: Workload) -> None:
    """Raise PlanError for a workload that replaces no pod by itself: a new template would look like success."""
    if at(workload.document, "spec", "updateStrategy", "type") == "OnDelete":
        raise PlanError(
            f"{workload.ref} replaces its pods only when they are deleted (update strategy OnDelete): a new template "
            "alone would change nothing; use `pod_delete`, or RollingUpdate"
        )


async def look(context: ActionContext, plan: Plan) -> tuple[Workload | None, Verification]:
    """Read the planned workload again and say how its rollout is; the workload is None when it is gone.

    Raises KubeError when the cluster cannot be asked: the engine takes that as unknown.
    """
    planned = plan.changes[0].ref
    try:
        document = await context.reach.cluster.get(planned)
    except KubeNotFound:
        return None, Verification(Answer.NOT_FIXED, f"{planned} does not exist any more", final=True)
    ref = ref_of(document, planned.api_version, planned.kind, planned.cluster)
    workload = Workload(ref, document, rollout_of(planned.kind, document))
    if ref.uid != planned.uid:
        return None, Verification(Answer.NOT_FIXED, f"{planned} was deleted and made again", final=True)
    return workload, progress_of(context, workload)


def progress_of(context: ActionContext, workload: Workload) -> Verification:
    """Return whether the rollout is complete; not fixed for good when it passed its progress deadline since."""
    rollout = workload.rollout
    if rollout.failed and _is_ours(context, workload.document):
        text = f"the rollout passed its progress deadline: {rollout.text}"
        return Verification(Answer.NOT_FIXED, text, final=True)
    return Verification(Answer.FIXED if rollout.complete else Answer.NOT_FIXED, rollout.text)


def _is_ours(context: ActionContext, deployment: Document) -> bool:
    """Whether a progress deadline that passed can be that of the rollout that the plan began.

    The controller keeps the condition of the rollout before until the new one makes its first progress, for a
    moment also after it has observed it: taken for the new one's, it would end a rollback that has just begun.
    """
    seconds = at(deployment, "spec", "progressDeadlineSeconds")
    passed_at = parse_time(condition(deployment, "Progressing").get("lastUpdateTime"))
    # The API's times are whole seconds.
    return passed_at >= int(context.planned_at) + (_DEADLINE if seconds is None else float(seconds))
