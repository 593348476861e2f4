"""Looks at a Redis before it is used: would it keep what we store? Called once, when the stores are opened."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.stores.link import Link, NoGroup
from bridge.stores.options import StoreOptions

log = structlog.get_logger(__name__)

OLDEST = (6, 2)


async def check_server(link: Link, *, private: bool = False) -> tuple[str, ...]:
    """Return warnings; raise ConfigurationError where alerts would be lost without a word, StoreUnavailable.

    A `private` one is synced by us, whatever it says of itself.
    """
    info = _parsed(await link.command("INFO"))
    settings = {name: await _setting(link, name) for name in ("save", "appendfsync", "min-replicas-to-write")}
    if private:
        settings["appendfsync"] = None
    refusals, warnings = judge(info, settings, link.options)
    if refusals and not link.options.allow_unsafe:
        raise ConfigurationError([f"store: {text}" for text in refusals])
    for text in (*refusals, *warnings):
        log.warning("the store is not as safe as it should be", problem=text)
    return (*refusals, *warnings)


def judge(
    info: Mapping[str, str], settings: Mapping[str, str | None], options: StoreOptions
) -> tuple[list[str], list[str]]:
    """Return what speaks against this server, and what a person should know.

    `info` is INFO's; `settings` those of CONFIG GET, None where the server doesn't tell them.
    """
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
        # What follows would be of no use: the scripts don't run there, whatever is allowed.
        raise ConfigurationError([f"store: Redis {version} is too old: 6.2 or later is needed"])
    if info.get("role", "master") != "master":
        primary = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        raise ConfigurationError([f"store: this Redis is a replica: name its primary ({primary}), or Sentinel"])
    if info.get("cluster_enabled") == "1" and options.mode != "cluster":
        raise ConfigurationError(["store: this Redis is part of a cluster: set the mode to cluster"])
    refusals: list[str] = []
    warnings: list[str] = []
    _eviction(info, refusals, warnings)
    _persistence(info, settings, refusals, warnings)
    _replicas(info, settings, options, warnings)
    return refusals, warnings


def _eviction(info: Mapping[str, str], refusals: list[str], warnings: list[str]) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return
    text = f"maxmemory-policy is {policy}: Redis would throw away alerts and locks; set it to noeviction"
    if info.get("maxmemory", "0") == "0":
        warnings.append(f"{text} (no maxmemory is set, so nothing is thrown away yet)")
    else:
        refusals.append(text)


def _persistence(
    info: Mapping[str, str], settings: Mapping[str, str | None], refusals: list[str], warnings: list[str]
) -> None:
    save = settings.get("save")
    if info.get("aof_enabled") != "1":
        if save == "":
            refusals.append("Redis keeps nothing on disk: a restart would lose every alert; set appendonly to yes")
        elif save is None:
            warnings.append("appendonly is off: a restart may lose alerts that were answered 200")
        else:
            warnings.append("appendonly is off: a restart loses what came after the last snapshot, minutes at times")
    elif settings.get("appendfsync") == "no":
        warnings.append("appendfsync is no: a power loss costs up to some 30 s of alerts, not 2")
    elif settings.get("appendfsync") == "everysec" and info.get("aof_delayed_fsync", "0") != "0":
        # Only where it was seen: on a disk that keeps up it is a matter of milliseconds.
        warnings.append(
            "its disk has taken more than 2 s for a sync: if it is killed at such a moment, up to 2 s of alerts that "
            "were answered 200 are lost; a quicker disk helps, or appendfsync always"
        )
    for name in ("aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(name, "ok") != "ok":
            warnings.append(f"{name} is {info[name]}: look at the server's log and at its disk")


def _replicas(
    info: Mapping[str, str], settings: Mapping[str, str | None], options: StoreOptions, warnings: list[str]
) -> None:
    there = int(info.get("connected_slaves", "0"))
    if options.min_replicas > there:
        warnings.append(f"min_replicas is {options.min_replicas} and {there} are there: alerts are answered 503")
    if options.mode == "sentinel" and settings.get("min-replicas-to-write") == "0":
        warnings.append(
            "min-replicas-to-write is 0: an old primary that is cut off takes alerts that a failover then loses"
        )


async def _setting(link: Link, name: str) -> str | None:
    try:
        reply = await link.command("CONFIG", "GET", name)
    except (StoreUnavailable, NoGroup):
        # Managed services forbid CONFIG; what cannot be seen is not held against them.
        return None
    return reply[1].decode() if len(reply) > 1 else None


def _parsed(raw: bytes) -> dict[str, str]:
    lines = (line for line in raw.decode().splitlines() if ":" in line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition(":") for line in lines)}
