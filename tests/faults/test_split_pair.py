"""Two real Alertmanagers that no longer hear of each other: both send everything."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.alertmanager import Gossip, joined, start_alertmanager
from tests.support.gossip import open_lines
from tests.support.installation import SENDER, Installation
from tests.support.processes import Processes, free_port, until
from tests.support.workshop import open_workshop

LABELS = {"alertname": "GatewayDown", "namespace": "shop", "deployment": "web"}


async def test_two_alertmanagers_whose_gossip_is_cut_make_one_action(processes: Processes) -> None:
    """Fault 54."""
    ports = free_port(), free_port()
    async with open_workshop() as shop, open_lines(*ports) as lines:
        installation = Installation(processes, kubernetes=shop.url, skew_window="60s")
        try:
            server = await installation.start()
            webhook = f"{server.url}/webhook"
            first = await start_alertmanager(
                processes, webhook, token=SENDER, gossip=Gossip(ports[0], lines[0].port, ()), peer_timeout="1s"
            )
            second = await start_alertmanager(
                processes,
                webhook,
                token=SENDER,
                gossip=Gossip(ports[1], lines[1].port, (lines[0].port,)),
                peer_timeout="1s",
            )
            await joined(first, second)
            for line in lines:
                line.sever()
            began = datetime.now(UTC)
            for peer in (first, second):
                await peer.fire(LABELS, starts_at=began)
            done = await server.outcome()
            assert done["outcome"] == "succeeded", done["detail"]

            async def seen(what: str, count: int) -> bool:
                return await server.figure("alertbridge_alerts_total", seen=what) == count

            await until(lambda: seen("duplicate", 1), what="the second peer's notification")
            # One peer says that it is over; the other, cut off, hears of it later.
            await first.resolve(LABELS, starts_at=began)
            await until(lambda: seen("resolved", 1), what="the first resolve")
            await second.resolve(LABELS, starts_at=began)
            await until(lambda: seen("duplicate", 2), what="the second resolve")
            assert len(await server.remediations()) == 1
            fingerprint = done["incidents"][0].split("/")[1]
            (incident,) = (await server.explain(fingerprint))["incidents"]
            assert incident["state"] == "closed"
        finally:
            installation.end_private_redis()
        assert len(shop.proxy.applied()) == 1
