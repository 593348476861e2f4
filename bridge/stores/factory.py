"""Opens all stores of a process. Called by app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from bridge.stores.audit import RedisAudit
from bridge.stores.breakers import RedisBreakers
from bridge.stores.budgets import RedisBudgets
from bridge.stores.checks import check_server
from bridge.stores.copies import RedisCopies
from bridge.stores.embedded import EmbeddedRedis
from bridge.stores.groups import Groups
from bridge.stores.guardbook import RedisGuardbook
from bridge.stores.health import RedisHealth
from bridge.stores.intake import RedisIntake
from bridge.stores.intake_queue import RedisIntakeQueue
from bridge.stores.journal import RedisJournal
from bridge.stores.link import Link
from bridge.stores.locks import RedisLocks
from bridge.stores.memory import RedisRefusals, RedisReplayMemory
from bridge.stores.notices import RedisNotices
from bridge.stores.options import StoreOptions
from bridge.stores.sync import Synced
from bridge.stores.trust import RedisTrustbook
from bridge.stores.work import RedisWorkQueue


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Every store over one Link."""

    intake: RedisIntake
    intake_queue: RedisIntakeQueue
    work: RedisWorkQueue
    journal: RedisJournal
    locks: RedisLocks
    guardbook: RedisGuardbook
    breakers: RedisBreakers
    budgets: RedisBudgets
    trust: RedisTrustbook
    health: RedisHealth
    refusals: RedisRefusals
    replays: RedisReplayMemory
    copies: RedisCopies
    notices: RedisNotices
    audit: RedisAudit
    warnings: tuple[str, ...] = ()
    """What the start-up checks found that is no reason to refuse."""
    synced: Callable[[], Synced] | None = None
    """How the private Redis's files are synced, where that is ours to do."""
    close: Callable[[], Awaitable[None]]
    """Close all connections, and stop the embedded Redis if it is ours."""


async def open_stores(options: StoreOptions) -> Stores:
    """Return the stores; start the embedded Redis where `options` says so.

    Raises ConfigurationError (a wrong setting, a server that must not be used) and StoreUnavailable.
    """
    embedded = await EmbeddedRedis.start(options) if options.mode == "embedded" else None
    if embedded is not None:
        options = msgspec.structs.replace(options, mode="url", url=embedded.url)
    link = Link(options)
    try:
        warnings = await check_server(link, private=embedded is not None)
        groups = Groups(link)
        await groups.make()
    except BaseException:
        await link.close()
        if embedded is not None:
            await embedded.stop()
        raise
    return connect(link, groups=groups, warnings=warnings, embedded=embedded)


def connect(
    link: Link,
    *,
    groups: Groups | None = None,
    warnings: tuple[str, ...] = (),
    embedded: EmbeddedRedis | None = None,
) -> Stores:
    """Return the stores over `link` without looking at the server first."""
    groups = groups or Groups(link)
    syncer = embedded.syncer if embedded is not None else None
    intake = RedisIntake(link, kept=syncer.check if syncer is not None else None)

    async def close() -> None:
        await intake.close()
        await link.close()
        if embedded is not None:
            await embedded.stop()

    return Stores(
        intake=intake,
        intake_queue=RedisIntakeQueue(link, groups),
        work=RedisWorkQueue(link, groups),
        journal=RedisJournal(link),
        locks=RedisLocks(link),
        guardbook=RedisGuardbook(link),
        breakers=RedisBreakers(link),
        budgets=RedisBudgets(link),
        trust=RedisTrustbook(link),
        health=RedisHealth(link, kept=syncer.check if syncer is not None else None),
        refusals=RedisRefusals(link),
        replays=RedisReplayMemory(link),
        copies=RedisCopies(link),
        notices=RedisNotices(link),
        audit=RedisAudit(link),
        warnings=warnings,
        synced=syncer.figures if syncer is not None else None,
        close=close,
    )
