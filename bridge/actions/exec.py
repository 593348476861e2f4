"""`kubectl exec` with an argument list, in a pod or in a ready pod of a workload; the plan pins it by its uid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.calls import CallAction, Declared, exit_answer, exit_result, repeat_of, result_of, shown
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import TargetParams, read_workload
from bridge.errors import KubeNotFound, PlanError, TargetReplaced
from bridge.model.peers import AllowedCommand, PeerName
from bridge.model.permission import Permission
from bridge.model.plan import Change, Plan
from bridge.model.pod import is_leaving, is_ready
from bridge.model.runbook import Duration
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Verification
from bridge.model.workload import WORKLOADS, Document, annotations_of, at, ref_of, selector_of
from bridge.ports import ActionContext

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_MOST_PODS = 200


class ExecParams(TargetParams):
    """Of a workload the first ready pod is taken; `kind: Pod` names one itself."""

    command: AllowedCommand = ParamField(
        min_length=1,
        max_length=64,
        description="Program and arguments, one text each: nothing is read by a shell. `exec.allow` has to allow it.",
    )
    container: str | None = ParamField(
        default=None, description="The container; left out: the pod's default container, else its first one."
    )
    timeout: Duration = ParamField(
        default=30.0, gt=0, le=300, description="How long it may take; without an end by then it is unknown."
    )
    expect_exit_codes: tuple[int, ...] = ParamField(
        default=(0,), min_length=1, description="Exit codes that mean success."
    )
    repeat: Declared = ParamField(
        default="never",
        description="`safe` when running it twice is running it once; otherwise a crash in its midst is unknown.",
    )
    undo: Annotated[tuple[str, ...] | None, PeerName("exec.allow")] = ParamField(
        default=None,
        min_length=1,
        max_length=64,
        description="A command that makes up for it in the same container, when the remediation did not help.",
    )


class Exec(CallAction):
    """A command in a container."""

    name = "exec"
    summary = "Run an allow-listed argument list in a container, as `kubectl exec` does; never a shell line."
    params: type[BaseModel] = ExecParams
    example: Mapping[str, Any] = {
        "kind": "StatefulSet",
        "namespace": "o2ims-system",
        "name": "redis-node",
        "command": ["redis-cli", "INFO", "replication"],
        "repeat": "safe",
    }

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        kind = kind_of(kind, params)
        # A websocket begins with a GET; newer servers ask for `create` as well.
        run = permit("v1", "Pod", "create", "get", subresource="exec")
        # Whoever may not be touched says so on the workload: that is looked up from the pod.
        owners = tuple(permit("apps/v1", owner, "get") for owner in (*WORKLOADS, "ReplicaSet"))
        if kind == "Pod":
            return (permit("v1", "Pod", "get"), *owners, run)
        return (*owners, permit("v1", "Pod", "get", "list"), run)

    async def plan(self, context: ActionContext, params: ExecParams) -> Plan:
        """Plan the call; raise PermanentError where it is not allowed, PlanError where nothing runs."""
        context.reach.check("exec", "", params.command)
        if params.undo is not None:
            context.reach.check("exec", "", params.undo)
        pod = await _pod(context, params)
        ref = ref_of(pod, "v1", "Pod", context.target.cluster)
        container = _container(ref, pod, params.container)
        call = {
            "command": list(params.command),
            "container": container,
            "timeout": params.timeout,
            "expect_exit_codes": list(params.expect_exit_codes),
        }
        back = None if params.undo is None else {**call, "command": list(params.undo)}
        summary = shown(f"run {list(params.command)} in {ref}, container {container}")
        return self.planned_call(ref, summary, call, repeat=repeat_of(params.repeat), back=back)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Run it in exactly the planned pod; return exit code and output."""
        ref, call = change.ref, change.call
        await _still_there(context, ref)
        reply = await context.reach.exec(
            ref.namespace, ref.name, call["command"], container=call["container"], deadline=call["timeout"]
        )
        return {**exit_result(call, reply), "pod": ref.name}

    async def verify(self, context: ActionContext, plan: Plan, params: ExecParams) -> Verification:
        """Fixed when it ended with an expected exit code."""
        return exit_answer(result_of(context), params.expect_exit_codes)


async def _still_there(context: ActionContext, ref: ObjectRef) -> None:
    """Raise TargetReplaced when the pod is gone, or another one has its name."""
    try:
        pod = await context.reach.cluster.get(ref)
    except KubeNotFound as error:
        raise TargetReplaced(f"{ref} does not exist any more") from error
    uid = at(pod, "metadata", "uid")
    if uid != ref.uid:
        raise TargetReplaced(f"{ref} was made again since planning: uid {uid}, planned {ref.uid}")


async def _pod(context: ActionContext, params: ExecParams) -> Document:
    """Return the pod to run in."""
    if (params.kind or context.target.kind) == "Pod":
        namespace = check_namespace(params.namespace or context.target.namespace)
        name = check_name(params.name or context.target.name)
        return await context.reach.cluster.get(
            ObjectRef("v1", "Pod", namespace, name, cluster=context.target.cluster)
        )
    workload = await read_workload(context, params, WORKLOADS)
    pods = await context.reach.cluster.list(
        "v1", "Pod", workload.ref.namespace, labels=selector_of(workload.document), limit=_MOST_PODS
    )
    # By name, so that planning again finds the same one.
    for pod in sorted(pods, key=lambda pod: str(at(pod, "metadata", "name"))):
        if is_ready(pod) and not is_leaving(pod):
            return pod
    raise PlanError(f"no pod of {workload.ref} is ready: there is nothing to run the command in")


def _container(ref: ObjectRef, pod: Document, wanted: str | None) -> str:
    """Return the container; raise PlanError when there is none of that name, or it does not run."""
    names = [str(each["name"]) for each in at(pod, "spec", "containers") or []]
    name = wanted or annotations_of(pod).get(_DEFAULT_CONTAINER) or (names[0] if names else "")
    if name not in names:
        raise PlanError(f"{ref} has no container {name!r}: it has {', '.join(names)}")
    for status in at(pod, "status", "containerStatuses") or []:
        if status.get("name") == name and "running" not in (status.get("state") or {}):
            raise PlanError(f"the container {name} of {ref} does not run: nothing can be run in it")
    return name
