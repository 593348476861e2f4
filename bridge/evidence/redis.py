"""Collectors `redis` and `sentinel`: how somebody's Redis is, and what its Sentinels say. Only commands that read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, Field, model_validator

from bridge.errors import PermanentError, Unreachable
from bridge.evidence.base import BaseCollector, Facts
from bridge.model.peers import RedisName
from bridge.model.permission import Permission
from bridge.model.redact import mask
from bridge.model.redis_commands import only_reads
from bridge.model.runbook import Strict
from bridge.model.sentinel import MasterState, connected_replicas, master_state, pairs, replication
from bridge.ports import ActionContext

_MOST_KEYS = 100
_MOST_SCANS = 50
_DEEPEST = 20


class RedisParams(Strict):
    connection: RedisName = Field(description="The server, as `redis_peers` of the settings names it.")
    address: str = Field(
        default="", description="`host:port` of one that its Sentinels have named; empty: the primary, or the server."
    )
    command: tuple[str, ...] = Field(
        default=(), max_length=20, description="A command that only reads; what it returns is in `reply`."
    )
    match: str = Field(
        default="",
        max_length=200,
        description="A pattern of keys, e.g. `subscription:*`, whose values are in `items`.",
    )

    @model_validator(mode="after")
    def _reads(self) -> RedisParams:
        # One with templates in it is looked at again when those are filled in.
        if self.command and not only_reads(self.command):
            raise ValueError(f"{self.command[0]} is not known to be a command that only reads")
        return self


class Item(Facts):
    key: str = Field(description="The key.")
    value: Any = Field(description="Its text, or what is in it where that is JSON; null for another type.")


class RedisFacts(Facts):
    reachable: bool = Field(description="Whether it answers; false: the connection was refused.")
    error: str = Field(description="Why it does not answer; empty: it does.")
    role: str = Field(description="`master` or `slave`, as it says itself; empty: not reachable.")
    version: str = Field(description="Its version.")
    uptime_seconds: int = Field(description="How long it runs.")
    replicas: int = Field(description="A primary's replicas that are online.")
    link_up: bool = Field(description="Whether a replica's link to its primary is up; true for a primary.")
    loading: bool = Field(description="Whether it is loading its data.")
    save_ok: bool = Field(description="Whether the last snapshot and the last write of the log went well.")
    used_memory: int = Field(description="Bytes that it uses.")
    max_memory: int = Field(description="Bytes that it may use; 0: no limit.")
    clients: int = Field(description="Connected clients.")
    keys: int = Field(description="How many keys its databases have.")
    info: dict[str, str] = Field(description="All fields of INFO.")
    reply: Any = Field(description="What `command` returned, without credentials; null: none was asked.")
    items: list[Item] = Field(description="The keys that `match` finds, with their values, 100 at most.")
    truncated: bool = Field(description="Whether more keys were found.")


class RedisEvidence(BaseCollector):
    """A refused connection is an answer; a server that hangs is missing evidence."""

    name = "redis"
    summary = (
        "State of a configured Redis: role, replicas, memory; what a reading command returns; values by pattern."
    )
    params: type[BaseModel] = RedisParams
    result: type[BaseModel] = RedisFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return []

    async def gather(self, context: ActionContext, params: RedisParams) -> Mapping[str, Any]:
        """Return its state; raises what the connection raises, but for a refusal."""
        ask = _Ask(context, params.connection, params.address)
        try:
            fields = replication(await ask("INFO"))
        except Unreachable as error:
            return {**_facts({}), "reachable": False, "error": str(error)}
        items, more = await _items(ask, params.match) if params.match else ([], False)
        reply = mask(await ask(*params.command)) if params.command else None
        return {**_facts(fields), "reply": reply, "items": items, "truncated": more}


class SentinelParams(Strict):
    connection: RedisName = Field(description="The Sentinels, as `redis_peers` of the settings names them.")
    master: str | None = Field(
        default=None, description="What they call the primary; left out: the only one that they watch."
    )


class Replica(Facts):
    address: str = Field(description="`host:port`.")
    down: bool = Field(description="Whether the Sentinel calls it down.")
    good: bool = Field(description="Whether it could be promoted.")
    link_up: bool = Field(description="Whether its link to the primary is up.")


class SentinelFacts(Facts):
    master: str = Field(description="What they call the primary.")
    primary: str = Field(description="Its address, `host:port`.")
    primary_down: bool = Field(description="Whether the Sentinel that answered calls it down.")
    failing_over: bool = Field(description="Whether a failover is under way.")
    epoch: int = Field(description="Number of the configuration: every failover makes a new one.")
    sentinels: int = Field(description="How many Sentinels there are.")
    quorum: int = Field(description="How many have to agree that the primary is down.")
    quorum_ok: bool = Field(description="Whether enough of them can be reached for a failover by themselves.")
    replicas: list[Replica] = Field(description="The replicas, by address.")
    good_replicas: int = Field(description="How many of them could be promoted.")
    replicas_down: int = Field(description="How many of them are down.")


class SentinelEvidence(BaseCollector):
    """From the first of the configured Sentinels that answers."""

    name = "sentinel"
    summary = "What Redis Sentinels say: the primary, whether it is down, its replicas, whether a failover runs."
    params: type[BaseModel] = SentinelParams
    result: type[BaseModel] = SentinelFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return []

    async def gather(self, context: ActionContext, params: SentinelParams) -> SentinelFacts:
        """Return what they say; raises what the connection raises."""
        ask = _Ask(context, params.connection, "")
        name = params.master or await _only_master(ask)
        master = pairs(await ask("SENTINEL", "MASTER", name))
        state = master_state(master, [pairs(each) for each in await ask("SENTINEL", "REPLICAS", name)])
        return _sentinel_facts(state, await _quorum_ok(ask, name))


class _Ask:
    """Commands over one connection."""

    def __init__(self, context: ActionContext, connection: str, address: str) -> None:
        self._context = context
        self._connection = connection
        self._address = address

    async def __call__(self, *command: str) -> Any:
        return await self._context.reach.redis(self._connection, list(command), address=self._address)


def _facts(info: Mapping[str, str]) -> dict[str, Any]:
    return {
        "reachable": True,
        "error": "",
        "role": info.get("role", ""),
        "version": info.get("redis_version", ""),
        "uptime_seconds": _number(info, "uptime_in_seconds"),
        "replicas": connected_replicas(info),
        "link_up": info.get("master_link_status", "up") == "up",
        "loading": info.get("loading", "0") == "1",
        "save_ok": all(info.get(key, "ok") == "ok" for key in ("rdb_last_bgsave_status", "aof_last_write_status")),
        "used_memory": _number(info, "used_memory"),
        "max_memory": _number(info, "maxmemory"),
        "clients": _number(info, "connected_clients"),
        "keys": sum(_keys(value) for name, value in info.items() if name.startswith("db") and name[2:].isdecimal()),
        "info": dict(info),
        "reply": None,
        "items": [],
        "truncated": False,
    }


def _number(info: Mapping[str, str], name: str) -> int:
    text = info.get(name, "0")
    return int(text) if text.isdecimal() else 0


def _keys(value: str) -> int:
    """Return the count in a line of INFO's keyspace, `keys=1,expires=0,…`."""
    text = value.partition(",")[0].removeprefix("keys=")
    return int(text) if text.isdecimal() else 0


async def _items(ask: _Ask, match: str) -> tuple[list[Item], bool]:
    """Return the keys that a pattern finds with their values, and whether there are more than are kept."""
    found: set[str] = set()
    cursor, rounds = "0", 0
    while True:
        cursor, keys = await ask("SCAN", cursor, "MATCH", match, "COUNT", "1000")
        found |= set(keys)
        rounds += 1
        if str(cursor) == "0" or len(found) > _MOST_KEYS or rounds >= _MOST_SCANS:
            break
    names = sorted(found)
    kept = names[:_MOST_KEYS]
    return [Item(key=key, value=await _value(ask, key)) for key in kept], str(cursor) != "0" or len(names) > len(kept)


async def _value(ask: _Ask, key: str) -> Any:
    try:
        text = await ask("GET", key)
    except PermanentError:
        return None  # not a string
    if not isinstance(text, str):
        return text
    if text.lstrip().startswith(("{", "[")):
        try:
            value = msgspec.json.decode(text)
            return mask(value) if _depth(value) <= _DEEPEST else None
        except (msgspec.DecodeError, RecursionError):
            pass
    return mask(text)


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)


async def _only_master(ask: _Ask) -> str:
    names = sorted(pairs(each).get("name", "") for each in await ask("SENTINEL", "MASTERS"))
    if len(names) == 1:
        return names[0]
    raise PermanentError(f"the Sentinels watch {', '.join(names) or 'nothing'}: say which by `master`")


async def _quorum_ok(ask: _Ask, name: str) -> bool:
    try:
        return str(await ask("SENTINEL", "CKQUORUM", name)).startswith("OK")
    except PermanentError:
        return False


def _sentinel_facts(state: MasterState, quorum_ok: bool) -> SentinelFacts:
    good = set(state.good_replicas)
    return SentinelFacts(
        master=state.name,
        primary=state.primary.address,
        primary_down=state.primary.down,
        failing_over=state.failing_over,
        epoch=state.epoch,
        sentinels=state.sentinels + 1,
        quorum=state.quorum,
        quorum_ok=quorum_ok,
        replicas=[
            Replica(address=each.address, down=each.down, good=each in good, link_up=each.link)
            for each in state.replicas
        ],
        good_replicas=len(good),
        replicas_down=sum(each.down for each in state.replicas),
    )
