"""Who is told and called during the night, on which channel, and what they do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from tests.support.night.clock import NightClock

L1, L2, L3, L4 = "pager-l1", "pager-l2", "pager-l3", "pager-l4"
OMENDB_L1 = "omendb-on-call"
TEAM = "team-chat"
CHANNELS = (L1, L2, L3, L4, OMENDB_L1, TEAM)
PAGERS = frozenset({L1, L2, L3, L4, OMENDB_L1})

LEVELS = ((L1, "15m"), (L2, "30m"), (L3, "1h"), (L4, "2h"))


def _ladder(first: str) -> list[dict[str, str]]:
    steps = ((first, "15m"), *LEVELS[1:])
    return [
        {"name": f"L{nr}", "within": within, "channels": channel} for nr, (channel, within) in enumerate(steps, 1)
    ]


NOTIFY = {
    "rules": [{"on": ["started", "waiting", "done", "escalated", "acknowledged", "resolved"], "channels": TEAM}],
    "severity": {
        "scales": [
            {"runbooks": "netweave/*", "names": {"P1": "critical", "P2": "high", "P3": "medium", "P4": "low"}},
            {"runbooks": "omendb/*", "names": {"SEV1": "critical", "SEV2": "high", "SEV3": "medium"}},
            {"runbooks": "onboarding-kyc/*", "names": {"P0": "critical", "P1": "high", "P2": "medium", "P3": "low"}},
            {"runbooks": "omnimesh/*", "names": {"CRITICAL": "critical", "HIGH": "high", "MEDIUM": "medium"}},
        ]
    },
    "escalation": [{"runbooks": "omendb/*", "levels": _ladder(OMENDB_L1)}, {"levels": _ladder(L1)}],
}


@dataclass(frozen=True)
class Message:
    """What arrived on a channel."""

    at: float
    channel: str
    title: str
    text: str
    run: str
    """The remediation: its messages are one thread."""

    @property
    def calls(self) -> bool:
        """Whether it calls a person."""
        return self.channel in PAGERS and "a person is needed" in self.title


class Channels:
    """The services behind the channels. One that is silent takes the request and never answers."""

    def __init__(self, clock: NightClock) -> None:
        self._clock = clock
        self.messages: list[Message] = []
        self.silent: set[str] = set()
        self.url = ""
        self.heard: Callable[[Message], None] = lambda message: None

    async def _take(self, request: web.Request) -> web.Response:
        channel = request.path.strip("/")
        if channel in self.silent:
            await asyncio.sleep(30)
        said = await request.json()
        message = Message(self._clock.now(), channel, said["title"], said["message"], said["thread"])
        self.messages.append(message)
        self.heard(message)
        return web.Response()

    @property
    def calls(self) -> list[Message]:
        """Those that called a person. One that came twice (its answer was late) counts once."""
        found = {(each.run, each.channel, each.title): each for each in reversed(self.messages) if each.calls}
        return list(found.values())[::-1]

    def counts(self) -> dict[str, int]:
        """Return how many messages called a person, by channel."""
        return {name: sum(call.channel == name for call in self.calls) for name in CHANNELS if name in PAGERS}


@asynccontextmanager
async def open_channels(clock: NightClock) -> AsyncIterator[Channels]:
    """Serve all channels on one loopback port."""
    channels = Channels(clock)
    app = web.Application()
    app.router.add_post("/{path:.*}", channels._take)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    channels.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield channels
    finally:
        await runner.cleanup()
