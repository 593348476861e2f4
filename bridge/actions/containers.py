"""What the actions on one container of a workload's pod template share: finding it, planning, proving.

The API has containers in lists, and our writes are merge patches, which send a list as a whole: the applier sends the
list as it just read it, with our field changed, under that resourceVersion, so that no sidecar is lost. A field is
addressed by the container's place in the list, and the plan relies on its name at that place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.permits import kind_of, permit
from bridge.actions.stuck_pods import permissions_for_stuck_pods, remove_stuck_pods, waits_in_order
from bridge.actions.workloads import (
    APPS,
    TargetParams,
    Workload,
    look,
    read_workload,
    refuse_idle,
    refuse_on_delete,
    refuse_paused,
)
from bridge.errors import PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan, read_pointer
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, at
from bridge.ports import ActionContext

_POD = "/spec/template/spec"
_STUCK_AGAIN = (
    "if it does not help, the old template is put back; a pod of the new one that never got ready then has to be "
    "deleted, e.g. by `pod_delete`"
)


class ContainerParams(TargetParams):
    container: str | None = ParamField(
        default=None, description="Name of the container; left out: the only one there is."
    )


class Container(msgspec.Struct, frozen=True):
    """A container of a pod template, and where it stands."""

    name: str
    document: Document
    pointer: str
    """JSON pointer within the workload."""

    @property
    def anchor(self) -> Field:
        """What keeps the pointer honest: the list may be reordered before the write, and before the undo."""
        return Field(f"{self.pointer}/name", self.name, self.name, change=False, lasting=True)

    def field(self, path: str, after: Any) -> Field:
        """Return the change of what is at `path` within the container (a JSON pointer) to `after`."""
        pointer = f"{self.pointer}/{path}"
        return Field(pointer, read_pointer(self.document, f"/{path}"), after)


class TemplateAction(BaseAction):
    """An action that changes a container of a pod template; the workload's own strategy rolls that out."""

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        own = permit(APPS, kind_of(kind, params), "get", "patch")
        return (own, *permissions_for_stuck_pods(kind, params))

    async def container(self, context: ActionContext, params: ContainerParams) -> tuple[Workload, Container]:
        """Return the workload and the container; raise PlanError where a new template would not be rolled out."""
        workload = await read_workload(context, params)
        refuse_paused(workload)
        refuse_idle(workload)
        refuse_on_delete(workload)
        return workload, find_container(workload, params.container)

    async def rolled_out(
        self,
        context: ActionContext,
        workload: Workload,
        container: Container,
        fields: Sequence[Field],
        summary: str,
        *notes: str,
    ) -> Plan:
        """Return the plan that makes those of `fields` that differ; an empty one when none does."""
        changed = [field for field in fields if field.before != field.after]
        if not changed:
            return self.planned(f"{container.name} of {workload.ref} is so already", notes=notes)
        change = Change(
            ref=workload.ref,
            fields=(*changed, container.anchor),
            summary=summary,
            disruption=workload.disruption,
        )
        if self.undo_failed and waits_in_order(workload):
            notes = (*notes, _STUCK_AGAIN)
        return self.planned(summary, change, *await remove_stuck_pods(context, workload), notes=notes)

    async def verify(self, context: ActionContext, plan: Plan, params: Any) -> Verification:
        """Fixed when the rollout of the changed template is complete."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        if workload is None:
            return answer
        for field in plan.changes[0].fields:
            if read_pointer(workload.document, field.pointer) != field.after:
                text = f"somebody changed it since: {field.pointer} is not what was set"
                return Verification(Answer.NOT_FIXED, text, final=True)
        return answer


def find_container(workload: Workload, name: str | None) -> Container:
    """Return the container of that name, initialising ones included, or the only one; raise PlanError."""
    pod = at(workload.document, "spec", "template", "spec") or {}
    own = [Container(c["name"], c, f"{_POD}/containers/{i}") for i, c in enumerate(pod.get("containers") or [])]
    first = [
        Container(c["name"], c, f"{_POD}/initContainers/{i}") for i, c in enumerate(pod.get("initContainers") or [])
    ]
    known = ", ".join(container.name for container in (*own, *first))
    if name is None and len(own) == 1:
        return own[0]
    if name is None:
        raise PlanError(f"{workload.ref} has several containers: say which by `container`, one of {known}")
    for container in (*own, *first):
        if container.name == name:
            return container
    raise PlanError(f"{workload.ref} has no container {name!r}; it has {known}")
