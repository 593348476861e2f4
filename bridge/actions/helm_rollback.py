"""`helm rollback` without Helm: from the release's records, to the last good revision and not simply the one before.

The new revision is recorded as Helm records it (bridge.model.helm): first as pending, then the objects are changed,
then it is deployed and the one before superseded. Where a GitOps controller owns the release, the owner guard says
no: every change is read for its marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.helm_kinds import KindParams, kinds_of, split
from bridge.actions.helm_objects import Difference, Rules, difference
from bridge.actions.helm_records import Records, before
from bridge.actions.permits import permit
from bridge.actions.workloads import look
from bridge.errors import KubeNotFound, PlanError
from bridge.model import helm
from bridge.model.helm import BadRecord, Release
from bridge.model.helm_manifest import RELEASE_NAME, RELEASE_NAMESPACE
from bridge.model.helm_target import MOST_RECORDS, NAMESPACE_HELP, RELEASE_HELP, bearer, bearers
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS, annotations_of
from bridge.ports import ActionContext

_HOOKS = ("pre-rollback", "post-rollback")


class RollbackParams(KindParams):
    """Which release, and how far."""

    release: str | None = ParamField(
        default=None,
        description=RELEASE_HELP,
    )
    namespace: str | None = ParamField(
        default=None,
        description=NAMESPACE_HELP,
    )
    to_revision: int | None = ParamField(
        default=None,
        ge=1,
        description="Number of the revision to bring back; left out: the newest one that is still marked as deployed "
        "beside failed attempts, else the newest that served for 10 minutes, else the newest that did not fail. "
        "Revisions that somebody rolled back from are not chosen.",
    )
    allow_hooks: bool = ParamField(
        default=False,
        description="Go on although the revision has pre- or post-rollback hooks. They are not run, as with `helm "
        "rollback --no-hooks`.",
    )
    allow_data_loss: bool = ParamField(
        default=False,
        description="Also delete volume claims and other objects that take something with them which no undo brings "
        "back, where the older revision has none.",
    )
    max_history: int = ParamField(
        default=10,
        ge=0,
        le=1000,
        description="How many records are kept, as `helm rollback --history-max`; 0: all. The oldest ones go.",
    )


class HelmRollback(BaseAction):
    """Implements bridge.ports.Action; its calls are those of helm_records."""

    name = "helm_rollback"
    summary = "Roll a Helm release back to its last good revision, or to a given one, as `helm rollback` does."
    params: type[BaseModel] = RollbackParams
    example: Mapping[str, Any] = {"release": "netweave", "namespace": "o2ims-system"}
    repeat = Repeat.DETECTABLE
    # Fields and records get back what they were, unless the release was changed since. What was deleted is made again
    # under another uid, and records beyond the limit stay away.
    undo = Undo.COMPENSATING
    # It would bring the revision back that was bad enough to leave.
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        """Secrets for the records, every kind that the step names, the target for its annotation, autoscalers."""
        asked = [permit("v1", "Secret", "create", "delete", "get", "list", "patch")]
        for group, name in map(split, kinds_of(params)):
            asked.append(permit(f"{group}/v1" if group else "v1", name, "create", "delete", "get", "patch"))
        asked.append(permit("autoscaling/v2", "HorizontalPodAutoscaler", "list"))
        asked.extend(permit(api_version, bearing, "get") for api_version, bearing in bearers(kind, params))
        return tuple(asked)

    async def plan(self, context: ActionContext, params: RollbackParams) -> Plan:
        """Plan records and objects; raise PlanError, which names the mend, where there is nothing good to go to."""
        namespace = check_namespace(params.namespace or context.target.namespace)
        name = await _release_name(context, params, namespace)
        history = await read_history(context, namespace, name)
        current = history[-1]
        _refuse_state(current)
        target = _choose(history, params.to_revision)
        if target.version == current.version:
            return self.planned(f"release {name} is at revision {current.version} already")
        hooks = target.hooks(*_HOOKS)
        if hooks and not params.allow_hooks:
            raise PlanError(
                f"revision {target.version} of {name} has hooks ({', '.join(hooks[:5])}), which are not run here: "
                f"set `allow_hooks: true` to go on without them, or use `helm rollback {name} {target.version} "
                f"-n {namespace}`"
            )
        found = await difference(context, current, target, Rules(params.kinds, params.allow_data_loss))
        return self._compose(context, history, target, found, params, hooks)

    def _compose(
        self,
        context: ActionContext,
        history: Sequence[Release],
        target: Release,
        found: Difference,
        params: RollbackParams,
        hooks: Sequence[str],
    ) -> Plan:
        current = history[-1]
        pruned = helm.to_prune(history, params.max_history, (current.version, target.version))
        changes = (
            *(_prune(context, old) for old in pruned),
            _begin(context, current, target, found),
            *found.changes,
            *(_supersede(context, current, each) for each in history if each.status == "deployed"),
            _finish(context, current),
        )
        summary = (
            f"roll release {current.name} back from revision {current.version} ({current.status}, {current.chart}) "
            f"to {target.version} ({target.chart}): {found.text}"
        )
        notes = list(found.notes)
        if hooks:
            notes.append(f"hooks are not run: {', '.join(hooks[:5])}")
        lock = f"{context.target.cluster}|helm|{current.namespace}|{current.name}"
        return self.planned(summary, *changes, locks=(lock,), notes=tuple(notes))

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        return await Records(context, change).perform()

    async def done(self, context: ActionContext, change: Change) -> bool | None:
        return await Records(context, change).done()

    async def verify(self, context: ActionContext, plan: Plan, params: RollbackParams) -> Verification:
        """Fixed when the new revision reads back as deployed and every workload that changed is rolled out."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        version = next(change.call["version"] for change in plan.changes if change.call.get("do") == "begin")
        wrong = await self._record_wrong(context, plan, version)
        if wrong is not None:
            return wrong
        said = []
        for change in plan.changes:
            if change.ref.kind in WORKLOADS and change.operation is not Operation.DELETE:
                answer = await _look(context, change)
                if answer.answer is not Answer.FIXED:
                    return msgspec.structs.replace(answer, detail=f"{change.ref}: {answer.detail}")
                said.append(f"{change.ref}: {answer.detail}")
        return Verification(Answer.FIXED, "; ".join([f"revision {version} is deployed", *said]))

    async def _record_wrong(self, context: ActionContext, plan: Plan, version: int) -> Verification | None:
        call = next(change.call for change in plan.changes if change.call.get("do") == "begin")
        name = helm.secret_name(call["release"], version)
        ref = ObjectRef("v1", "Secret", call["namespace"], name, cluster=context.target.cluster)
        try:
            found = helm.release_of(await context.reach.cluster.get(ref))
        except KubeNotFound:
            return Verification(Answer.NOT_FIXED, f"revision {version} is not recorded")
        except BadRecord as error:
            return Verification(Answer.UNKNOWN, str(error))
        if found.status != "deployed":
            final = found.status != "pending-rollback"
            return Verification(Answer.NOT_FIXED, f"revision {version} is {found.status}", final=final)
        return None


async def read_history(context: ActionContext, namespace: str, name: str) -> list[Release]:
    """Return the revisions of a release, oldest first. Raises PlanError when there is none or one is unreadable."""
    secrets = await context.reach.cluster.list(
        "v1", "Secret", namespace, labels={"owner": "helm", "name": name}, limit=MOST_RECORDS
    )
    try:
        history = helm.releases_of(secrets, name)
    except BadRecord as error:
        raise PlanError(f"release {name} in {namespace}: {error}; look at it with `helm history {name}`") from None
    if not history:
        raise PlanError(
            f"there is no release {name} in namespace {namespace} with its records in Secrets: see `helm list -A`, "
            "and set `release` and `namespace`"
        )
    return history


async def _release_name(context: ActionContext, params: RollbackParams, namespace: str) -> str:
    """Return the release that the step is about, from its parameters or the target."""
    if params.release is not None:
        return check_name(params.release, "release")
    ref = bearer(context.target)
    if ref is None:
        return context.target.name
    notes = annotations_of(await context.reach.cluster.get(ref))
    release, place = notes.get(RELEASE_NAME), notes.get(RELEASE_NAMESPACE)
    if not release:
        raise PlanError(f"{ref} is of no Helm release: use `rollout_undo`, or set `release`")
    if place != namespace:
        raise PlanError(f"{ref} is of release {release} in namespace {place}: set `namespace: {place}` on the step")
    return check_name(release, "release")


def _refuse_state(current: Release) -> None:
    place = f"{current.name} REVISION -n {current.namespace}"
    if current.status in helm.PENDING:
        raise PlanError(
            f"revision {current.version} of {current.name} is {current.status}: Helm is at work, or was interrupted; "
            f"wait for it, or end it with `helm rollback {place}`"
        )
    if current.status not in helm.KNOWN:
        raise PlanError(f"release {current.name} is {current.status}: bring it back with `helm rollback {place}`")


def _choose(history: Sequence[Release], wanted: int | None) -> Release:
    current = history[-1]
    worth = helm.judge(history)
    known = ", ".join(f"{release.version} ({worth[release.version]})" for release in history)
    if wanted is not None:
        for release in history:
            if release.version == wanted:
                return release
        raise PlanError(f"release {current.name} has no revision {wanted}; it has {known}")
    if current.status == "deployed" and current.went_back_to:
        raise PlanError(
            f"release {current.name} was rolled back already, to revision {current.went_back_to}: that did not help, "
            "and a second step back is for a person (`to_revision`)"
        )
    chosen = helm.last_good(history)
    if chosen is None:
        raise PlanError(f"release {current.name} has no good revision to go back to; it has {known}")
    return chosen


def _call(context: ActionContext, release: Release, **more: Any) -> dict[str, Any]:
    return {"release": release.name, "namespace": release.namespace, "at": context.planned_at, **more}


def _record(context: ActionContext, release: Release) -> ObjectRef:
    return ObjectRef("v1", "Secret", release.namespace, release.secret, release.uid, context.target.cluster)


def _prune(context: ActionContext, old: Release) -> Change:
    return Change(
        ref=_record(context, old),
        operation=Operation.DELETE,
        as_owner="Helm",
        summary=f"remove the record of revision {old.version}, beyond the limit of the history",
    )


def _begin(context: ActionContext, current: Release, target: Release, found: Difference) -> Change:
    version = current.version + 1
    call = _call(context, current, current=current.version, target=target.version, version=version)
    return Change(
        # The new record is not there yet; whoever rolls back or upgrades begins at the newest one as well.
        ref=_record(context, current),
        operation=Operation.CALL,
        call={**call, "do": "begin", "status": current.status},
        inverse_call={**call, "do": "withdraw", "objects": before(found.changes)},
        as_owner="Helm",
        # It stands in the journal, for whoever finds a run that ended in the midst of it.
        summary=f"record revision {version} of {current.name} as pending-rollback (should it be left so, "
        f"`helm rollback {current.name} {target.version} -n {current.namespace}` goes on from there)",
    )


def _supersede(context: ActionContext, current: Release, old: Release) -> Change:
    call = _call(context, current, do="status", version=old.version, current=current.version)
    return Change(
        ref=_record(context, old),
        operation=Operation.CALL,
        call={**call, "from": "deployed", "to": "superseded"},
        inverse_call={**call, "from": "superseded", "to": "deployed", "back": True},
        as_owner="Helm",
        summary=f"record revision {old.version} of {current.name} as superseded",
    )


def _finish(context: ActionContext, current: Release) -> Change:
    version = current.version + 1
    call = _call(context, current, do="status", version=version, current=current.version)
    return Change(
        ref=_record(context, current),
        operation=Operation.CALL,
        call={**call, "from": "pending-rollback", "to": "deployed"},
        inverse_call={**call, "from": "deployed", "to": "pending-rollback", "back": True},
        as_owner="Helm",
        summary=f"record revision {version} of {current.name} as deployed",
    )


async def _look(context: ActionContext, change: Change) -> Verification:
    """Say how far the rollout of a changed or new workload is."""
    if not change.ref.uid:
        # Made by this plan: which one that is, is known only now.
        try:
            document = await context.reach.cluster.get(change.ref)
        except KubeNotFound:
            return Verification(Answer.NOT_FIXED, "it does not exist any more", final=True)
        ref = msgspec.structs.replace(change.ref, uid=document["metadata"]["uid"])
        change = msgspec.structs.replace(change, ref=ref)
    return (await look(context, Plan(action="helm_rollback", summary="", changes=(change,))))[1]
