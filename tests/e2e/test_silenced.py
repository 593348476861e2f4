"""A person's silence in a real Alertmanager stops a whole alertbridge; its own silence stops nothing."""

from __future__ import annotations

import time

from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside
from tests.support.alertmanager import start_alertmanager
from tests.support.installation import Installation
from tests.support.processes import Processes, free_port, until
from tests.support.workshop import open_workshop

PEOPLES = {"alertname": "GatewayDown", "namespace": "shop", "deployment": "web"}
OURS = {"alertname": "GatewayDown", "namespace": "shop", "deployment": "api"}


async def test_a_persons_silence_stops_the_repair_and_our_own_does_not(processes: Processes) -> None:
    alertmanager = await start_alertmanager(processes, f"http://127.0.0.1:{free_port()}/nobody")
    outside = Outside(OutsideSettings(alertmanager=alertmanager.url))
    async with open_workshop() as shop:
        shop.deploy("api")
        for labels in (PEOPLES, OURS):
            await alertmanager.fire(labels)
        await alertmanager.silence({"deployment": "web"}, comment="ann moves the shop")
        await outside.alertmanager.silence(OURS, now=time.time(), until=time.time() + 600, comment="held")
        await outside.close()

        async def silenced() -> bool:
            return all(alert["status"]["silencedBy"] for alert in await alertmanager.alerts())

        await until(silenced, seconds=15, what="both silences")
        installation = Installation(processes, kubernetes=shop.url, alertmanager={"url": alertmanager.url})
        try:
            server = await installation.start()
            for labels in (PEOPLES, OURS):
                await server.fire(labels["alertname"], namespace="shop", deployment=labels["deployment"])
            done = {each["target"]["name"]: each for each in await server.finished(2)}
        finally:
            installation.end_private_redis()
        assert (done["web"]["outcome"], done["web"]["reason"]) == ("suppressed", "silenced"), done["web"]["detail"]
        assert "ann moves the shop" in done["web"]["detail"]
        assert done["api"]["outcome"] == "succeeded", done["api"]["detail"]
        assert {entry.path.rpartition("/")[2] for entry in shop.proxy.mutating(dry_runs=True)} == {"api"}
