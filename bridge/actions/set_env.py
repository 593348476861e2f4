"""`kubectl set env` of one container: plain values set and variables removed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, model_validator
from pydantic import Field as ParamField

from bridge.actions.containers import ContainerParams, TemplateAction
from bridge.errors import PlanError
from bridge.model.plan import Plan
from bridge.ports import ActionContext

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Source: Kubernetes, apimachinery validation.IsEnvVarName."""
_LONGEST = 32_768


def _text(value: object) -> object:
    """Numbers and switches are written into runbooks without quotes; what a container gets is text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


EnvName = Annotated[str, ParamField(pattern=rf"^{_NAME.pattern}$", max_length=253)]
EnvValue = Annotated[str, BeforeValidator(_text), ParamField(max_length=_LONGEST)]


class EnvParams(ContainerParams):
    set: dict[EnvName, EnvValue] = ParamField(
        default={}, max_length=50, description="Variables and their values. Not for secrets: they would be readable."
    )
    remove: list[EnvName] = ParamField(default=[], max_length=50, description="Variables to be removed.")

    @model_validator(mode="after")
    def _something(self) -> EnvParams:
        if not self.set and not self.remove:
            raise ValueError("give `set`, `remove` or both")
        if both := sorted({*self.set} & {*self.remove}):
            raise ValueError(f"{', '.join(both)} cannot be both set and removed")
        return self


class SetEnv(TemplateAction):
    """Other plain values in a container's environment. What a Secret or ConfigMap gives is left to them."""

    name = "set_env"
    summary = "Set or remove environment variables of one container, as `kubectl set env` does."
    params: type[BaseModel] = EnvParams
    example: Mapping[str, Any] = {"name": "kyc-api", "container": "api", "set": {"CIRCUIT_BREAKER_ENABLED": "true"}}
    # A switch that did not help is not left on behind everybody's back.
    undo_failed = True

    async def plan(self, context: ActionContext, params: EnvParams) -> Plan:
        """Plan the container's whole `env`: its order has a meaning. Raises PlanError for a value from elsewhere."""
        workload, container = await self.container(context, params)
        before: Sequence[Mapping[str, Any]] = container.document.get("env") or []
        places = _places(before, (*params.set, *params.remove), f"{container.name} of {workload.ref}")
        after = [dict(entry) for entry in before]
        for name, value in params.set.items():
            if name not in places:
                after.append({"name": name, "value": value} if value else {"name": name})
                continue
            if "valueFrom" in after[places[name]]:
                raise PlanError(
                    f"{name} of {container.name} in {workload.ref} comes from elsewhere (valueFrom): change it "
                    "there, or remove it first"
                )
            # The server leaves an empty value out.
            after[places[name]] = {"name": name, "value": value} if value else {"name": name}
        after = [entry for entry in after if entry["name"] not in params.remove]
        words = [*(f"set {name}" for name in params.set), *(f"remove {name}" for name in params.remove)]
        summary = f"{', '.join(words)} in the environment of {container.name} of {workload.ref}"
        return await self.rolled_out(context, workload, container, (container.field("env", after or None),), summary)


def _places(entries: Sequence[Mapping[str, Any]], wanted: Sequence[str], where: str) -> dict[str, int]:
    """Return the place of each variable in the list; raise PlanError for a wanted one that is there twice."""
    found: dict[str, int] = {}
    for place, entry in enumerate(entries):
        name = str(entry.get("name"))
        if name in wanted and name in found:
            raise PlanError(f"{name} is there twice in {where}: which one counts is for a person")
        found[name] = place
    return found
