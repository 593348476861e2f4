"""Gather evidence side by side, each piece with its deadline; none of them can fail a run. Called by execute."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from bridge.configuration.expressions import render
from bridge.engine.context import RunContext
from bridge.errors import AlertbridgeError
from bridge.model.runbook import Collect
from bridge.ports import Collector

log = structlog.get_logger(__name__)


class Evidence(msgspec.Struct, frozen=True):
    """What was gathered, by name, and why the rest is missing."""

    values: dict[str, Any]
    missing: dict[str, str]


async def gather(
    wanted: Mapping[str, Collect],
    *,
    collectors: Mapping[str, Collector],
    context: RunContext,
    variables: Mapping[str, Any],
) -> Evidence:
    """Return the evidence that `wanted` names; what fails or takes too long is missing, with its reason."""
    found = await asyncio.gather(
        *(_one(collectors[item.collect], item, context, variables) for item in wanted.values())
    )
    values: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, piece in zip(wanted, found, strict=True):
        if isinstance(piece, str):
            missing[name] = piece
        else:
            values[name] = piece
    return Evidence(values, missing)


async def _one(
    collector: Collector, item: Collect, context: RunContext, variables: Mapping[str, Any]
) -> dict[str, Any] | str:
    try:
        async with asyncio.timeout(item.timeout):
            params = collector.params.model_validate(render(item.with_, variables))
            return await collector.collect(context, params)
    except TimeoutError:
        return f"no answer within {item.timeout:g} s"
    except (AlertbridgeError, ValueError) as error:
        return str(error)
    except Exception as error:
        # A collector's own mistake costs this piece of evidence, never the run.
        log.exception("collector failed", collector=collector.name)
        return f"{type(error).__name__}: {error}"
