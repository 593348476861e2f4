"""Another log level for a workload, by the ConfigMap or the variable that it takes it from. Meant for `until:`.

A thin spelling of configmap_patch with rollout_restart, or of set_env: one step, one undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.configmap_patch import ConfigMapPatch, Edit, PatchParams
from bridge.actions.configmaps import Key, permissions_for_configmap
from bridge.actions.objects import fields_hold
from bridge.actions.rollout_restart import RolloutRestart
from bridge.actions.set_env import EnvParams, SetEnv
from bridge.actions.workloads import APPS, TargetParams, object_ref
from bridge.model.permission import Permission
from bridge.model.plan import Plan
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS
from bridge.ports import ActionContext


class LevelParams(TargetParams):
    """Exactly one of `config_map` and `env`."""

    level: str = ParamField(pattern=r"^[A-Za-z0-9_.,:=*-]{1,200}$", description="E.g. debug, or app=debug,db=info.")
    config_map: str | None = ParamField(default=None, description="Name of the ConfigMap that holds the level.")
    key: Key = ParamField(default="log_level", description="The ConfigMap's key: the level itself, or a file.")
    path: str | None = ParamField(default=None, max_length=500, description="Where in that file, e.g. logging.level.")
    restart: bool = ParamField(default=True, description="Restart the workload, unless it takes the level up itself.")
    env: str | None = ParamField(default=None, max_length=253, description="Variable that holds the level instead.")
    container: str | None = ParamField(default=None, description="Whose variable; left out: the only container's.")

    @model_validator(mode="after")
    def _one_place(self) -> LevelParams:
        if (self.config_map is None) == (self.env is None):
            raise ValueError("give exactly one of config_map and env")
        return self


class LogLevel(BaseAction):
    """Debug logging on, and off again by itself."""

    name = "log_level"
    summary = "Set a workload's log level, by its ConfigMap or environment; use it with `until`."
    params: type[BaseModel] = LevelParams
    example: Mapping[str, Any] = {"level": "debug", "config_map": "app-config", "key": "log_level"}
    # Debug logging that showed nothing only costs.
    undo_failed = True

    def __init__(self) -> None:
        self._patch, self._restart, self._env = ConfigMapPatch(), RolloutRestart(), SetEnv()

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        if params.get("env"):
            return self._env.permissions(kind, params)
        restart = () if params.get("restart") is False else self._restart.permissions(kind, params)
        return (permissions_for_configmap(), *restart)

    async def plan(self, context: ActionContext, params: LevelParams) -> Plan:
        """Plan the setting and, where pods read it when they start, their restart."""
        if params.env is not None:
            return self._ours(await self._env.plan(context, self._env_params(params)))
        object_ref(context, params, APPS, WORKLOADS)
        patch = await self._patch.plan(context, _patch_params(params))
        if patch.empty or not params.restart:
            return self._ours(patch)
        restart = await self._restart.plan(context, _workload(params))
        # What reads the level starts after it was set, also on the way back.
        return self.planned(
            f"{patch.summary}, and {restart.summary}", *patch.changes, *restart.changes, forward_undo=True
        )

    async def verify(self, context: ActionContext, plan: Plan, params: LevelParams) -> Verification:
        """Fixed when the level is set and, after a restart, every pod has started with it."""
        if params.env is not None:
            return await self._env.verify(context, plan, self._env_params(params))
        setting = msgspec.structs.replace(plan, changes=plan.changes[:1])
        answer = await fields_hold(context, setting)
        if answer.answer is not Answer.FIXED or len(plan.changes) < 2:
            return answer
        restart = msgspec.structs.replace(plan, changes=plan.changes[1:])
        return await self._restart.verify(context, restart, _workload(params))

    def _ours(self, plan: Plan) -> Plan:
        return msgspec.structs.replace(
            plan, action=self.name, repeat=self.repeat, undo=self.undo, undo_failed=self.undo_failed
        )

    def _env_params(self, params: LevelParams) -> EnvParams:
        return EnvParams(
            kind=params.kind,
            namespace=params.namespace,
            name=params.name,
            container=params.container,
            set={str(params.env): params.level},
        )


def _patch_params(params: LevelParams) -> PatchParams:
    if params.path is None:
        return PatchParams(namespace=params.namespace, name=params.config_map, set={params.key: params.level})
    edit = Edit(key=params.key, path=params.path, to=params.level)
    return PatchParams(namespace=params.namespace, name=params.config_map, edit=[edit])


def _workload(params: LevelParams) -> TargetParams:
    return TargetParams(kind=params.kind, namespace=params.namespace, name=params.name)
