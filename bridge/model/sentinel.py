"""What Sentinels say about the servers that they watch, as values. Pure.

Source: Redis' documentation, High availability with Redis Sentinel; the fields of SENTINEL MASTER and REPLICAS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_DOWN = frozenset({"s_down", "o_down"})


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One server, as a Sentinel sees it."""

    address: str
    flags: frozenset[str]
    link: bool = True
    """A replica's: whether its link to the primary is up."""
    priority: int = 100
    """A replica's: 0 is never promoted."""

    @property
    def down(self) -> bool:
        return bool(self.flags & _DOWN)


class MasterState(msgspec.Struct, frozen=True, kw_only=True):
    """One watched primary with everything around it."""

    name: str
    primary: Watched
    replicas: tuple[Watched, ...] = ()
    epoch: int = 0
    """Of its configuration: every failover makes a new one."""
    sentinels: int = 0
    """The other Sentinels that the one that was asked knows."""
    quorum: int = 0

    @property
    def failing_over(self) -> bool:
        return bool(self.primary.flags & {"failover_in_progress", "force_failover"})

    @property
    def good_replicas(self) -> tuple[Watched, ...]:
        """Those that Sentinel would promote; while the primary is down no link to it is asked for."""
        return tuple(
            each
            for each in self.replicas
            if not each.down
            and "disconnected" not in each.flags
            and each.priority > 0
            and (each.link or self.primary.down)
        )


def pairs(reply: Any) -> dict[str, str]:
    """Return a flat list of names and values as a mapping; empty for anything else."""
    if not isinstance(reply, list):
        return {}
    return {str(name): str(value) for name, value in zip(reply[::2], reply[1::2], strict=False)}


def master_state(master: Mapping[str, str], replicas: Sequence[Mapping[str, str]] = ()) -> MasterState:
    """Return the state from the fields of `SENTINEL MASTER` and of each entry of `SENTINEL REPLICAS`."""
    return MasterState(
        name=master.get("name", ""),
        primary=_watched(master),
        replicas=tuple(sorted(map(_watched, replicas), key=lambda each: each.address)),
        epoch=_number(master, "config-epoch"),
        sentinels=_number(master, "num-other-sentinels"),
        quorum=_number(master, "quorum"),
    )


def replication(text: str) -> dict[str, str]:
    """Return the fields of `INFO replication`."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def connected_replicas(fields: Mapping[str, str]) -> int:
    """Return how many replicas of a primary are online, from `INFO replication`."""
    return sum("state=online" in value for name, value in fields.items() if _is_replica(name))


def _is_replica(name: str) -> bool:
    return name.startswith("slave") and name.removeprefix("slave").isdecimal()


def _watched(fields: Mapping[str, str]) -> Watched:
    return Watched(
        address=f"{fields.get('ip', '')}:{fields.get('port', '')}",
        flags=frozenset(filter(None, fields.get("flags", "").split(","))),
        link=fields.get("master-link-status", "ok") == "ok",
        priority=_number(fields, "slave-priority", 100),
    )


def _number(fields: Mapping[str, str], name: str, default: int = 0) -> int:
    try:
        return int(fields.get(name, default))
    except ValueError:
        return default
