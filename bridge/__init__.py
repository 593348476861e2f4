"""alertbridge turns alerts into verified repairs. This module is what a plug-in author imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.errors import OutcomeUnknown, PermanentError, PlanError, TemporaryError

if TYPE_CHECKING:
    from bridge.actions.base import BaseAction
    from bridge.actions.function_action import action
    from bridge.evidence.base import BaseCollector, Facts
    from bridge.model.outside import HttpRequest, Message
    from bridge.model.permission import Permission
    from bridge.model.plan import Change, Disruption, Field, Operation, Plan, Repeat, Undo
    from bridge.model.runbook import Strict as Params
    from bridge.model.target import ObjectRef, Target
    from bridge.model.verification import Answer, Verification
    from bridge.ports import ActionContext

_WHERE = {
    "BaseAction": "bridge.actions.base",
    "action": "bridge.actions.function_action",
    "BaseCollector": "bridge.evidence.base",
    "Facts": "bridge.evidence.base",
    "HttpRequest": "bridge.model.outside",
    "Message": "bridge.model.outside",
    "Permission": "bridge.model.permission",
    "Change": "bridge.model.plan",
    "Disruption": "bridge.model.plan",
    "Field": "bridge.model.plan",
    "Operation": "bridge.model.plan",
    "Plan": "bridge.model.plan",
    "Repeat": "bridge.model.plan",
    "Undo": "bridge.model.plan",
    "ObjectRef": "bridge.model.target",
    "Target": "bridge.model.target",
    "Answer": "bridge.model.verification",
    "Verification": "bridge.model.verification",
    "ActionContext": "bridge.ports",
}

__all__ = [
    "ActionContext",
    "Answer",
    "BaseAction",
    "BaseCollector",
    "Change",
    "Disruption",
    "Facts",
    "Field",
    "HttpRequest",
    "Message",
    "ObjectRef",
    "Operation",
    "OutcomeUnknown",
    "Params",
    "PermanentError",
    "Permission",
    "Plan",
    "PlanError",
    "Repeat",
    "Target",
    "TemporaryError",
    "Undo",
    "Verification",
    "__version__",
    "action",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what a plug-in needs when it asks for it: the command line has to start without all of it."""
    import importlib

    if name == "Params":
        from bridge.model.runbook import Strict

        return Strict
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
