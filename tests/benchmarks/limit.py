"""The limit L: as little as can be done between an HTTP request and Redis. Run by `throughput` as a program.

A bare aiohttp handler on uvloop: one typed decode, one EVALSHA with SET NX EX and XADD for each new alert, over a
hand-written pipelining connection. No authentication, no routing, no metrics, no reconnect, no limits.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Any

import hiredis
import msgspec
import uvloop
from aiohttp import web

SCRIPT = b"""
local new = 0
for i = 1, #ARGV, 2 do
  if redis.call('SET', ARGV[i], 1, 'NX', 'EX', 86400) then
    redis.call('XADD', KEYS[1], '*', 'a', ARGV[i + 1])
    new = new + 1
  end
end
return new
"""


class Alert(msgspec.Struct, rename="camel"):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    fingerprint: str


class Webhook(msgspec.Struct):
    alerts: list[Alert]


class Redis(asyncio.Protocol):
    """Commands go out as they come; replies belong to them in order."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader()
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            self.waiting.popleft().set_result(reply)

    def call(self, *args: Any) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.transport.write(hiredis.pack_command(args))
        return future


async def main(port: int, redis_port: int) -> None:
    _, redis = await asyncio.get_running_loop().create_connection(Redis, "127.0.0.1", redis_port)
    sha = await redis.call(b"SCRIPT", b"LOAD", SCRIPT)
    decode = msgspec.json.Decoder(Webhook).decode
    encode = msgspec.json.encode

    async def handle(request: web.Request) -> web.Response:
        webhook = decode(await request.read())
        args: list[Any] = []
        for alert in webhook.alerts:
            args += (f"{alert.fingerprint}{alert.starts_at}", encode(alert))
        new = await redis.call(b"EVALSHA", sha, 1, b"stream", *args)
        if isinstance(new, Exception):
            return web.Response(status=500, text=str(new))
        return web.Response(body=b'{"new":%d}' % new, content_type="application/json")

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/webhook", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
