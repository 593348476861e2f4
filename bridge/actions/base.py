"""What every built-in action starts from: its declarations, and the parts that most of them don't need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bridge.errors import PermanentError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Plan, Repeat, Undo
from bridge.model.verification import Verification
from bridge.ports import ActionContext


class BaseAction(ABC):
    """Implements bridge.ports.Action for one that changes objects alone; one that makes calls adds `perform`."""

    name: str
    summary: str
    params: type[BaseModel]
    example: Mapping[str, Any]
    repeat: Repeat = Repeat.SAFE
    undo: Undo = Undo.EXACT
    undo_failed: bool = False
    texts: Collection[str] = ()
    """Parameters that are only read by people: what is not known of one is called so, and keeps it from nobody."""

    @abstractmethod
    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        """Return what it asks of the API server for an object of `kind`."""

    @abstractmethod
    async def plan(self, context: ActionContext, params: Any) -> Plan:
        """Read, and return the changes."""

    @abstractmethod
    async def verify(self, context: ActionContext, plan: Plan, params: Any) -> Verification:
        """Look once whether the plan's effect is there."""

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        raise PermanentError(f"{self.name} makes no calls")

    async def done(self, context: ActionContext, change: Change) -> bool | None:
        return None

    def planned(self, summary: str, *changes: Change, **more: Any) -> Plan:
        """Return a plan with the action's declarations; without changes it says that nothing would change."""
        declared = {"repeat": self.repeat, "undo": self.undo, "undo_failed": self.undo_failed}
        return Plan(action=self.name, summary=summary, changes=changes, **{**declared, **more})
