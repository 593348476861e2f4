"""The actions by name. The engine runs them; the configuration checks steps against their parameters."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from bridge.actions.certificate_renew import CertificateRenew
from bridge.actions.rollout_restart import RolloutRestart
from bridge.actions.rollout_undo import RolloutUndo
from bridge.actions.scale import Scale
from bridge.ports import Action


def actions() -> dict[str, Action]:
    """Return every built-in action by its name."""
    built_in: tuple[Action, ...] = (RolloutRestart(), RolloutUndo(), Scale(), CertificateRenew())
    return {action.name: action for action in built_in}


def parameters() -> Mapping[str, type[BaseModel]]:
    """Return each action's parameters, for the check of runbooks."""
    return {name: action.params for name, action in actions().items()}
