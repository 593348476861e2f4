"""`kubectl create job`: run a Job from a fixed template, or as a CronJob would, and wait for its end.

The Job's name comes from the remediation and the template, so that a second making finds the first one's Job.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, field_validator, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.configmaps import text_of
from bridge.actions.objects import find_object
from bridge.actions.permits import permit
from bridge.actions.waiting import wait_a_moment
from bridge.errors import KubeError, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Undo
from bridge.model.redact import redact
from bridge.model.runbook import Duration, Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, at, condition, number
from bridge.ports import ActionContext

_VERSION = "batch/v1"
_LONGEST_NAME = 52
"""Characters of the author's part: a Job's name is a label of its pods, 63 at most with ours behind it."""
_LINES, _LONGEST_LOG = 50, 2000
_INSTANTIATE = "cronjob.kubernetes.io/instantiate"


class JobParams(Strict):
    """Exactly one of `template` and `from_cronjob`."""

    namespace: str | None = ParamField(
        default=None, description="Where it runs; left out: in the target's namespace."
    )
    name: str = ParamField(
        max_length=_LONGEST_NAME, description="The first part of the Job's name; two runs of one runbook need two."
    )
    template: dict[str, Any] | None = ParamField(
        default=None, description="The Job's spec: `template` with the pod, `backoffLimit` and so on."
    )
    from_cronjob: str | None = ParamField(default=None, description="Name of the CronJob whose Job is run now.")
    container: str | None = ParamField(default=None, description="Whose args and env; left out: the only one.")
    args: list[Annotated[str, ParamField(max_length=4096)]] | None = ParamField(
        default=None,
        max_length=100,
        description="Arguments of the container in place of its own; never a shell line.",
    )
    env: dict[str, str] = ParamField(
        default={}, max_length=50, description="Variables of the container beside its own. Not for secrets."
    )
    deadline: Duration = ParamField(
        default=3600.0, gt=0, le=86400.0, description="After so long the cluster ends it (activeDeadlineSeconds)."
    )
    keep: Duration = ParamField(
        default=86400.0,
        ge=300,
        le=30 * 86400.0,
        description="So long it is kept after its end, with its pods and logs.",
    )

    @field_validator("env", mode="before")
    @classmethod
    def _texts(cls, env: object) -> object:
        return {key: text_of(value) for key, value in env.items()} if isinstance(env, dict) else env

    @model_validator(mode="after")
    def _one_source(self) -> JobParams:
        if (self.template is None) == (self.from_cronjob is None):
            raise ValueError("give exactly one of template and from_cronjob")
        if self.template is not None and not at(self.template, "template", "spec", "containers"):
            raise ValueError("the template is a Job's spec: it has `template` with a `spec` that has `containers`")
        return self


class JobRun(BaseAction):
    """A Job that does what no other action can: a restore, a migration, an integrity check."""

    name = "job_run"
    summary = "Run a Job from a template or a CronJob, wait for its end and keep the end of its log."
    params: type[BaseModel] = JobParams
    example: Mapping[str, Any] = {
        "name": "restore",
        "template": {
            "backoffLimit": 0,
            "template": {
                "spec": {"containers": [{"name": "restore", "image": "backup:1.0", "args": ["restore", "--latest"]}]}
            },
        },
    }
    # What its pods have done is done.
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (
            permit(_VERSION, "Job", "create", "get", "list", "watch"),
            permit("v1", "Pod", "list"),
            permit("v1", "Pod", "get", subresource="log"),
            *((permit(_VERSION, "CronJob", "get"),) if params.get("from_cronjob") else ()),
        )

    async def plan(self, context: ActionContext, params: JobParams) -> Plan:
        """Plan the Job; raise PlanError for a CronJob that is at work already, or a container that is not there."""
        namespace = check_namespace(params.namespace or context.target.namespace)
        check_name(params.name)
        manifest = await self._manifest(context, params, namespace)
        name = f"{params.name}-{_suffix(context.remediation, manifest)}"
        ref = ObjectRef(_VERSION, "Job", namespace, name, cluster=context.target.cluster)
        manifest["metadata"]["name"] = name
        source = f" as CronJob {params.from_cronjob} would" if params.from_cronjob else ""
        pods = at(manifest, "spec", "template", "spec", "containers") or []
        what = ", ".join(" ".join([str(c.get("image")), *map(str, c.get("args") or [])]) for c in pods)
        summary = f"run {ref}{source} ({what[:200]})"
        notes = ["what a Job has done is not undone", f"ended by the cluster after {params.deadline:.0f} s at most"]
        change = Change(ref=ref, operation=Operation.CREATE, manifest=manifest, summary=summary)
        return self.planned(summary, change, notes=tuple(notes))

    async def _manifest(self, context: ActionContext, params: JobParams, namespace: str) -> dict[str, Any]:
        spec: dict[str, Any] = copy.deepcopy(params.template or {})
        meta: dict[str, Any] = {"namespace": namespace}
        if params.from_cronjob is not None:
            name = check_name(params.from_cronjob, "from_cronjob")
            place = ObjectRef(_VERSION, "CronJob", namespace, name, cluster=context.target.cluster)
            cronjob = await context.reach.cluster.get(place)
            _refuse_active(place, cronjob)
            spec = copy.deepcopy(at(cronjob, "spec", "jobTemplate", "spec") or {})
            theirs = at(cronjob, "spec", "jobTemplate", "metadata") or {}
            meta["annotations"] = {**(theirs.get("annotations") or {}), _INSTANTIATE: "manual"}
            meta |= {"labels": theirs["labels"]} if theirs.get("labels") else {}
        pod = spec.setdefault("template", {}).setdefault("spec", {})
        pod.setdefault("restartPolicy", "Never")
        spec.setdefault("backoffLimit", 0)
        spec["activeDeadlineSeconds"] = int(params.deadline)
        spec["ttlSecondsAfterFinished"] = int(params.keep)
        _adjust(pod, params)
        return {"apiVersion": _VERSION, "kind": "Job", "metadata": meta, "spec": spec}

    async def verify(self, context: ActionContext, plan: Plan, params: JobParams) -> Verification:
        """Fixed when the Job is complete; a failed one is final. Both with the end of its log.

        Unknown while it runs, and when it is gone: nothing else may be tried beside it, or in its place.
        """
        ref = plan.changes[0].ref
        job = await find_object(context, ref)
        if job is not None and not _at_rest(job):
            job = await wait_a_moment(context, ref, _at_rest)
        if job is None:
            return Verification(Answer.UNKNOWN, f"{ref} is not there any more: how it ended cannot be told")
        if condition(job, "Complete").get("status") == "True":
            return Verification(Answer.FIXED, f"{ref} is complete{await _log_of(context, ref, job)}")
        failed = condition(job, "Failed")
        if failed.get("status") == "True":
            told = f"{failed.get('reason', '')}: {failed.get('message', '')}"
            text = f"{ref} failed ({told}){await _log_of(context, ref, job)}"
            return Verification(Answer.NOT_FIXED, text, final=True)
        if at(job, "spec", "suspend"):
            return Verification(Answer.NOT_FIXED, f"{ref} is suspended: somebody has to let it run")
        active, lost = number(job, "status", "active"), number(job, "status", "failed")
        return Verification(Answer.UNKNOWN, f"{ref} is running: {active} pods active, {lost} failed")


def _at_rest(job: Document | None) -> bool:
    """Whether nothing is to be expected of it: it ended, is suspended or is not there."""
    ended = job is not None and any(condition(job, end).get("status") == "True" for end in ("Complete", "Failed"))
    return job is None or ended or bool(at(job, "spec", "suspend"))


def _suffix(remediation: str, manifest: Mapping[str, Any]) -> str:
    content = msgspec.json.encode([remediation, manifest], order="deterministic")
    return hashlib.sha256(content).hexdigest()[:10]


def _refuse_active(ref: ObjectRef, cronjob: Document) -> None:
    active = [str(each.get("name")) for each in at(cronjob, "status", "active") or []]
    if active and at(cronjob, "spec", "concurrencyPolicy") != "Allow":
        raise PlanError(
            f"{ref} is at work now ({', '.join(active)}) and allows one Job at a time: wait for its end, or delete it"
        )


def _adjust(pod: dict[str, Any], params: JobParams) -> None:
    """Give the container its arguments and variables; raise PlanError when it cannot be told which."""
    if params.args is None and not params.env:
        return
    containers: list[dict[str, Any]] = pod.get("containers") or []
    known = ", ".join(str(each.get("name")) for each in containers)
    chosen = [each for each in containers if params.container in (None, each.get("name"))]
    if len(chosen) != 1:
        raise PlanError(f"say by `container` whose `args` and `env` these are: one of {known}")
    if params.args is not None:
        chosen[0]["args"] = list(params.args)
    if params.env:
        others = [each for each in chosen[0].get("env") or [] if each.get("name") not in params.env]
        chosen[0]["env"] = [*others, *({"name": key, "value": value} for key, value in params.env.items())]


async def _log_of(context: ActionContext, ref: ObjectRef, job: Document) -> str:
    """Return the end of the log of the Job's newest pod for a sentence, without credentials."""
    try:
        pods = await context.reach.cluster.list("v1", "Pod", ref.namespace, labels={"job-name": ref.name}, limit=100)
        ours = [pod for pod in pods if _is_of(pod, str(job["metadata"].get("uid")))]
        if not ours:
            return "; its pods are gone, and their log with them"
        pod = max(ours, key=lambda each: str(each["metadata"].get("creationTimestamp", "")))
        container = pod["spec"]["containers"][0]["name"]
        text = await context.reach.cluster.logs(
            ref.namespace, pod["metadata"]["name"], container=container, lines=_LINES
        )
    except KubeError as error:
        return f"; its log could not be read: {error}"
    shown = redact(text.strip(), longest=_LONGEST_LOG)
    return f"; its log ends:\n{shown}" if shown else "; its log is empty"


def _is_of(pod: Document, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in at(pod, "metadata", "ownerReferences") or [])
