"""Real Redis servers under real Sentinels: one primary, its replicas, and those who watch them."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.support.need import need
from tests.support.processes import Processes, free_port, until
from tests.support.redis import RedisServer

MASTER = "mine"


class SentinelSite:
    """A primary with `replicas` and three Sentinels that know each other and all of them."""

    def __init__(self, folder: Path, processes: Processes, *, replicas: int = 2, password: str = "") -> None:
        self._folder = folder
        self._processes = processes
        self._password = password
        secret = {"requirepass": password, "masterauth": password} if password else {}
        fast = {"repl-diskless-sync-delay": "0", "appendonly": "no", **secret}
        self.primary = RedisServer(folder / "primary", config=fast)
        at = f"127.0.0.1 {self.primary.port}"
        self.replicas = [
            RedisServer(folder / f"replica{number}", config={"replicaof": at, **fast}) for number in range(replicas)
        ]
        self.ports = [free_port() for _ in range(3)]

    @property
    def servers(self) -> list[RedisServer]:
        return [self.primary, *self.replicas]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the Sentinels."""
        return tuple(f"127.0.0.1:{port}" for port in self.ports)

    async def start(self) -> None:
        """Return when every Sentinel sees every server and every other Sentinel."""
        program = need("redis-sentinel")
        for server in self.servers:
            server.start(wait=not self._password)
        # Before the Sentinels: they look at the links once, and then again only after ten seconds.
        await until(self._linked, seconds=20, what="replicas that follow the primary")
        for port in self.ports:
            await self._start_sentinel(program, port)

        async def complete() -> bool:
            return all(self._complete(port) for port in self.ports)

        # A Sentinel that the machine held up for two seconds believes nothing for the next thirty (its TILT mode).
        await until(complete, seconds=60, what="Sentinels that know everything")

    async def _start_sentinel(self, program: str, port: int) -> None:
        config = self._folder / f"sentinel-{port}.conf"
        secret = f"sentinel auth-pass {MASTER} {self._password}\n" if self._password else ""
        # What they would find out by themselves within some seconds.
        known = [f"sentinel known-replica {MASTER} 127.0.0.1 {replica.port}" for replica in self.replicas]
        known += [
            f"sentinel known-sentinel {MASTER} 127.0.0.1 {other} {_id(other)}"
            for other in self.ports
            if other != port
        ]
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {self.primary.port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 3000\nsentinel failover-timeout {MASTER} 3000\n{secret}"
            f"sentinel myid {_id(port)}\n" + "\n".join(known) + "\n"
        )

        async def ready() -> bool:
            try:
                return RedisServer.at(port).call("PING") == b"+PONG"
            except OSError:
                return False

        await self._processes.start(f"sentinel-{port}", [program, str(config)], ready=ready)

    async def _linked(self) -> bool:
        try:
            return all(self._info(replica).get("master_link_status") == "up" for replica in self.replicas)
        except (OSError, redis.RedisError):
            return False

    def _info(self, server: RedisServer) -> dict[str, str]:
        with redis.Redis(port=server.port, password=self._password or None, decode_responses=True) as client:
            found: dict[str, str] = client.info("replication")
            return found

    def _complete(self, port: int) -> bool:
        about = RedisServer.at(port).info("sentinel").get("master0", "")
        return f"slaves={len(self.replicas)}" in about and "sentinels=3" in about and "status=ok" in about

    def primary_now(self) -> str:
        """Return the address that the first Sentinel names."""
        reply = RedisServer.at(self.ports[0]).list("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return ":".join(reply)

    def epoch(self) -> int:
        """Return the number of the newest configuration that any Sentinel has: each failover makes one."""
        return max(int(self.about(port)["config-epoch"]) for port in self.ports)

    def failing_over(self) -> bool:
        """Whether any Sentinel is in the midst of a failover."""
        return any("failover_in_progress" in self.about(port)["flags"] for port in self.ports)

    def about(self, port: int) -> dict[str, str]:
        """Return what one Sentinel says of the primary."""
        reply = RedisServer.at(port).list("SENTINEL", "MASTER", MASTER)
        return dict(zip(reply[::2], reply[1::2], strict=True))

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def _id(port: int) -> str:
    return f"{port:040x}"
