"""Addresses that an alert names, in every field that can hold one: asked of a whole process, from the alert's receipt
through its evidence, its repair and its messages.
"""

from __future__ import annotations

import asyncio

import aiohttp

from tests.support.installation import OPERATOR, SENDER, Installation, alert_body
from tests.support.processes import Processes
from tests.support.sink import open_sink
from tests.support.telling import webhook
from tests.support.workshop import open_workshop


async def test_no_address_in_an_alert_is_called_from_its_receipt_to_the_last_message(processes: Processes) -> None:
    """Fault 45: a listener that is named everywhere sees no connection, and people read the address as text."""
    calls: list[str] = []

    async def trap(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(str(writer.get_extra_info("peername")))
        writer.close()

    listening = await asyncio.start_server(trap, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
    text = "${labels.runbook_url} of ${alert}"
    notify = {
        "channels": {"team": {"url_env": "TEAM_URL", "timeout": "5s"}},
        "rules": [{"on": ["started", "done", "escalated"], "channels": "team"}],
        "templates": {"done": {"text": text}},
    }
    async with open_workshop() as shop, open_sink() as sink:
        installation = Installation(processes, kubernetes=shop.url, notify=notify)
        try:
            server = await installation.start(env={"TEAM_URL": webhook(sink.url, "team")})
            labels = {"alertname": "GatewayDown", "namespace": "shop", "deployment": "web", "runbook_url": url}
            body = alert_body(labels, starts_at=1_760_000_000.0)
            body["externalURL"] = url
            body["alerts"][0] |= {
                "generatorURL": url,
                "silenceURL": url,
                "dashboardURL": url,
                "panelURL": url,
                "imageURL": url,
                "annotations": {"runbook_url": url, "summary": f"<img src={url}>", "image": url},
            }
            status, _ = await server.request("POST", "/webhook", body, token=SENDER)
            assert status == 200
            done = await server.outcome()
            assert done["outcome"] == "succeeded", done["detail"]
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {OPERATOR}"}) as session:
                for path in ("", "/evidence", "/report"):
                    async with session.get(f"{server.url}/api/v1/remediations/{done['id']}{path}") as answer:
                        assert answer.status == 200
                async with session.get(f"{server.url}/r/{done['id']}") as answer:
                    assert answer.status == 200
            await sink.wait_for(
                lambda seen: any(url in each["message"] for each in seen.requests), what="the message"
            )
        finally:
            installation.end_private_redis()
    listening.close()
    assert calls == []
