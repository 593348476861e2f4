"""One message on one channel. Nothing of a remediation depends on it: when it is not sent, the result says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.calls import own_ref, result_of, shown
from bridge.errors import AlertbridgeError
from bridge.model.outside import Message
from bridge.model.peers import ChannelName
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.runbook import Strict
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext


class NotifyParams(Strict):
    channel: ChannelName = ParamField(description="The channel, as `notify.channels` of the settings names it.")
    title: str = ParamField(min_length=1, max_length=250, description="What it is about, in one line.")
    text: str = ParamField(default="", max_length=8000, description="The message.")
    level: Literal["info", "success", "warning", "failure"] = ParamField(
        default="info", description="How the channel may colour it."
    )


class Notify(BaseAction):
    """A message to people."""

    name = "notify"
    summary = "Send one message to a configured channel (Slack, PagerDuty, e-mail, Teams, Jira, a webhook, …)."
    params: type[BaseModel] = NotifyParams
    example: Mapping[str, Any] = {
        "channel": "on-call",
        "title": "${target.name}: rolling back",
        "text": "The newest revision does not become ready.",
        "level": "warning",
    }
    # After a crash in its midst it is sent again: twice is better than never, and changes nothing more.
    repeat = Repeat.SAFE
    undo = Undo.NONE
    texts = ("title", "text")

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()

    async def plan(self, context: ActionContext, params: NotifyParams) -> Plan:
        """Plan the message; raise InvalidInput when there is no such channel."""
        context.reach.check("notify", params.channel)
        summary = f"tell {params.channel}: {shown(params.title)}"
        call = {"channel": params.channel, "title": params.title, "text": params.text, "level": params.level}
        change = Change(
            ref=own_ref(context, "Channel", params.channel), operation=Operation.CALL, call=call, summary=summary
        )
        return self.planned(summary, change, harmless=True)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Send it; return whether it was sent, and why not."""
        call = change.call
        message = Message(title=call["title"], text=call["text"], level=call["level"])
        try:
            await context.reach.notify(call["channel"], message)
        except AlertbridgeError as error:
            return {"sent": False, "error": str(error)}
        return {"sent": True, "error": ""}

    async def verify(self, context: ActionContext, plan: Plan, params: NotifyParams) -> Verification:
        """Fixed in any case: a message that was not sent leaves what is mended mended."""
        found = result_of(context)
        text = f"not sent: {found['error']}" if found.get("error") else f"{params.channel} was told"
        return Verification(Answer.FIXED, text)
