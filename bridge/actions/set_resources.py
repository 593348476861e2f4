"""`kubectl set resources` of one container, with hard maxima."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.containers import Container, ContainerParams, TemplateAction
from bridge.errors import PlanError
from bridge.model.plan import Plan
from bridge.model.quantity import Quantity, parse_quantity
from bridge.model.workload import at
from bridge.ports import ActionContext

Resource = Literal["cpu", "memory"]


class ResourceParams(ContainerParams):
    requests: dict[Resource, Quantity] = ParamField(
        default={}, description="What the container is guaranteed, e.g. `{cpu: 500m, memory: 2Gi}`."
    )
    limits: dict[Resource, Quantity] = ParamField(
        default={}, description="What the container gets at most, e.g. `{memory: 4Gi}`."
    )
    max_cpu: Quantity = ParamField(default="4", description="No request or limit for CPU is set above this.")
    max_memory: Quantity = ParamField(default="8Gi", description="No request or limit for memory is set above this.")
    allow_lower: bool = ParamField(
        default=False,
        description="Whether a limit may become lower than it is now, or be set where there is none: what uses more "
        "is throttled or killed then.",
    )

    @model_validator(mode="after")
    def _within(self) -> ResourceParams:
        if not self.requests and not self.limits:
            raise ValueError("give `requests`, `limits` or both")
        for what, wanted in (("request", self.requests), ("limit", self.limits)):
            for resource, quantity in wanted.items():
                most = self.max_cpu if resource == "cpu" else self.max_memory
                if parse_quantity(quantity) > parse_quantity(most):
                    raise ValueError(
                        f"the {what} {resource} {quantity} is above max_{resource} {most}: raise that first"
                    )
                if parse_quantity(quantity) <= 0:
                    raise ValueError(f"the {what} {resource} {quantity} is nothing: it has to be above 0")
        return self


class SetResources(TemplateAction):
    """Other requests and limits for one container; what is not named stays as it is."""

    name = "set_resources"
    summary = "Set CPU and memory requests and limits of one container, never above hard maxima."
    params: type[BaseModel] = ResourceParams
    example: Mapping[str, Any] = {
        "kind": "StatefulSet",
        "name": "omendb",
        "container": "omendb",
        "limits": {"memory": "16Gi"},
        "max_memory": "16Gi",
    }
    # Back to the limits under which it failed, by restarting every pod once more, mends nothing.
    undo_failed = False

    async def plan(self, context: ActionContext, params: ResourceParams) -> Plan:
        """Plan the quantities; raise PlanError where a limit would fall below what is there or what is requested."""
        workload, container = await self.container(context, params)
        where = f"{container.name} of {workload.ref}"
        fields, words = [], []
        for what, wanted in (("requests", params.requests), ("limits", params.limits)):
            for resource, quantity in sorted(wanted.items()):
                before = _present(container, what, resource)
                if before is not None and parse_quantity(before) == parse_quantity(quantity):
                    continue
                if what == "limits" and not params.allow_lower:
                    _refuse_lower(before, quantity, f"the {resource} limit of {where}")
                fields.append(container.field(f"resources/{what}/{resource}", quantity))
                words.append(f"{resource} {what} from {before or 'none'} to {quantity}")
        _refuse_crossed(container, params, where)
        summary = f"set the {', '.join(words)} in {where}" if words else where
        return await self.rolled_out(context, workload, container, fields, summary)


def _present(container: Container, what: str, resource: str) -> Any:
    return at(container.document, "resources", what, resource)


def _refuse_lower(before: Any, wanted: str, which: str) -> None:
    if before is None:
        raise PlanError(f"{which} would be {wanted}, and there is none now: set `allow_lower` to bring one in")
    if parse_quantity(wanted) < parse_quantity(before):
        raise PlanError(f"{which} would fall from {before} to {wanted}: set `allow_lower` if that is meant")


def _refuse_crossed(container: Container, params: ResourceParams, where: str) -> None:
    """Raise PlanError where a request would be above its limit: the API server would refuse every new pod."""
    for resource in ("cpu", "memory"):
        request = _planned(container, "requests", params.requests, resource)
        limit = _planned(container, "limits", params.limits, resource)
        if request is not None and limit is not None and request > limit:
            raise PlanError(
                f"{where} would request more {resource} than its limit allows: give both `requests` and `limits`"
            )


def _planned(container: Container, what: str, wanted: Mapping[Any, str], resource: str) -> Decimal | None:
    found = wanted.get(resource) or _present(container, what, resource)
    return None if found is None else parse_quantity(found)
