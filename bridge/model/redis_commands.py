"""Which commands of Redis and Sentinel only read. Pure data; from the list of commands in Redis' documentation.

What is not here counts as a write: its lost reply is an unknown outcome, and no evidence is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

_NAMES = """
    bitcount dbsize exists expiretime get getrange hexists hget hgetall hkeys hlen hmget hstrlen hvals info keys
    lastsave lindex llen lrange mget ping pttl role scan scard sismember smembers sscan hscan zscan strlen time
    ttl type xinfo xlen xpending xrange xrevrange zcard zcount zrange zrangebyscore zscore
"""
_READS = frozenset(_NAMES.split())
_READ_PARTS = {
    "acl": {"whoami"},
    "client": {"id", "info", "list"},
    "cluster": {"info", "nodes", "slots", "myid"},
    "config": {"get"},
    "latency": {"latest", "history"},
    "memory": {"stats", "usage", "doctor"},
    "object": {"encoding", "idletime", "freq"},
    "sentinel": {
        "ckquorum",
        "get-master-addr-by-name",
        "master",
        "masters",
        "myid",
        "replicas",
        "sentinels",
        "slaves",
    },
    "slowlog": {"get", "len"},
}


def only_reads(command: Sequence[str]) -> bool:
    """Whether the command changes nothing, whatever its arguments are."""
    words = [word.lower() for word in command[:2]]
    if not words:
        return False
    return words[0] in _READS or (len(words) > 1 and words[1] in _READ_PARTS.get(words[0], ()))
