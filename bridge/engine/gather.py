"""Gather evidence side by side, each piece with its deadline; none of them can fail a run. Called by execute."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import structlog

from bridge.configuration.expressions import render
from bridge.engine.context import RunContext
from bridge.engine.retry import TRANSIENT
from bridge.errors import AlertbridgeError, TemporaryError
from bridge.model.fit import fit
from bridge.model.runbook import Collect
from bridge.ports import Collector

MOST = 512 * 1024
"""Bytes of JSON that all pieces of one gathering may have; the largest texts are cut first."""

log = structlog.get_logger(__name__)


class Evidence(msgspec.Struct, frozen=True):
    """What was gathered, by name, and why the rest is missing."""

    values: dict[str, Any]
    missing: dict[str, str]
    passing: Exception | None = None
    """One of the errors behind what is missing that may pass by itself (the cluster is away)."""
    cut: dict[str, str] = {}
    """What was too large to be kept as a whole, by its path, and what of it was kept."""

    def lacking(self, names: Collection[str] | None = None) -> list[str]:
        """Say what of `names` (of all, when left out) is missing and why, each reason once."""
        by_reason: dict[str, list[str]] = {}
        for name, why in self.missing.items():
            if names is None or name in names:
                by_reason.setdefault(why, []).append(name)
        return [
            f"{', '.join(who)} {'is' if len(who) == 1 else 'are'} missing: {why}" for why, who in by_reason.items()
        ]


class _Missing(msgspec.Struct, frozen=True):
    why: str
    passing: Exception | None = None


async def gather(
    wanted: Mapping[str, Collect],
    *,
    collectors: Mapping[str, Collector],
    context: RunContext,
    variables: Mapping[str, Any],
) -> Evidence:
    """Return the evidence that `wanted` names; what fails or takes too long is missing, with its reason."""
    found = await asyncio.gather(
        *(_one(collectors.get(item.collect), item, context, variables) for item in wanted.values())
    )
    values: dict[str, Any] = {}
    missing: dict[str, str] = {}
    passing: Exception | None = None
    for name, piece in zip(wanted, found, strict=True):
        if isinstance(piece, _Missing):
            missing[name] = piece.why
            passing = passing or piece.passing
        else:
            values[name] = piece
    # Conditions see what is kept, so that whoever carries a run on decides as its first worker did.
    kept, cut = fit(values, MOST)
    return Evidence(kept, {**missing, **{name: cut[name] for name in values if name not in kept}}, passing, cut)


async def _one(
    collector: Collector | None, item: Collect, context: RunContext, variables: Mapping[str, Any]
) -> dict[str, Any] | _Missing:
    if collector is None:
        return _Missing(f"there is no collector {item.collect!r} here: is its plug-in installed?")
    try:
        async with asyncio.timeout(item.timeout):
            params = collector.params.model_validate(render(item.with_, variables))
            return await collector.collect(context, params)
    except TimeoutError:
        why = f"no answer within {item.timeout:g} s"
        return _Missing(why, TemporaryError(why))
    except TRANSIENT as error:
        return _Missing(str(error), error)
    except (AlertbridgeError, ValueError) as error:
        return _Missing(str(error))
    except Exception as error:
        # A collector's own mistake costs this piece of evidence, never the run.
        log.exception("collector failed", collector=collector.name)
        return _Missing(f"{type(error).__name__}: {error}")
