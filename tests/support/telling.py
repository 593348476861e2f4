"""What tells people, on a stage: its jobs, run when a test says so, and channels that lead to a real HTTP server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.model.telling import Notify
from bridge.notify.courier import Courier
from bridge.notify.crier import Crier
from bridge.outside.reach import Outside
from tests.support.stage import Stage


def channels(folder: Path, **urls: str) -> dict[str, Any]:
    """Return `notify.channels` with these addresses, each in a file as it has to be."""
    found = {}
    for name, url in urls.items():
        place = folder / f"{name}.url"
        place.write_text(url)
        found[name.replace("_", "-")] = {"url_file": str(place), "timeout": "2s"}
    return found


def webhook(url: str, path: str) -> str:
    """Return apprise's address of a webhook of ours that gets JSON."""
    return f"{url.replace('http://', 'json://')}/{path}?rto=1&cto=1"


class Telling:
    """One worker's jobs about people."""

    def __init__(self, stage: Stage, *, external_url: str = "https://bridge.example") -> None:
        self._stage = stage
        self.together: set[str] = set()
        """Channels that are read by people, as far as this test goes: the webhooks of tests are for programs."""
        rules: Callable[[], Notify] = lambda: stage._configuration.settings.notify  # noqa: E731
        stores = stage.stores
        self.crier = Crier(
            stores.notices,
            stores.work,
            stores.journal,
            rules,
            external_url=lambda: external_url,
            holds=lambda: False,
            clock=stage.clock,
        )
        outside: Outside = stage._outside
        self.courier = Courier(
            stores.notices,
            outside.notify,
            one_by_one=lambda channel: channel not in self.together,
            external_url=lambda: external_url,
            clock=stage.clock,
            metrics=stage.metrics,
        )

    async def look(self) -> None:
        """Decide and write what is to be told by now."""
        while await self.crier.look():
            pass

    async def tell(self) -> None:
        """The same, and send what is due."""
        await self.look()
        for channel in self._stage._configuration.settings.notify.channels:
            await self.courier.deliver(channel)

    async def pass_time(self, minutes: int) -> None:
        """Let time pass, and tell every minute."""
        for _ in range(minutes):
            await self._stage.advance(60)
            await self.tell()

    async def states(self, remediation: str) -> dict[str, str]:
        """Return what became of each message."""
        found = await self._stage.stores.notices.deliveries(remediation)
        return {each.name: each.state for each in found.messages}
