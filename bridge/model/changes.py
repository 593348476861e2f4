"""`changes:` of the configuration: what is done about an object that somebody else is changing, or just changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bridge.model.fields import Texts
from bridge.model.runbook import Duration, Strict


class ChangeSettings(Strict):
    """Others are people, pipelines and operators: everybody but this program and Kubernetes' own controllers."""

    rollout: Literal["wait", "allow"] = "allow"
    """While a rollout is under way: wait until it is over, or stuck (its progress deadline). Not by default: most
    repairs are of what a rollout has broken."""
    recent: Literal["ask", "wait", "allow"] = "ask"
    """When somebody changed the object within `within`: ask a person (mode auto escalates instead of acting), or wait
    until the change is older."""
    within: Annotated[Duration, Field(le=86400)] = 0.0
    """How long a change counts as recent; 0: not at all."""
    mend: Texts = ("rollout_undo", "helm_rollback", "rollout_pause", "set_image", "set_env", "set_resources")
    """Actions that mend what a change has broken: they never wait for it."""
