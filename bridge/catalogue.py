"""What this process can do: the built-in actions and collectors, and those of plug-ins. Made by app and the CLI."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from bridge.actions.base import BaseAction
from bridge.actions.registry import actions as built_in_actions
from bridge.configuration.runbook_checks import Registry
from bridge.errors import ConfigurationError
from bridge.evidence.registry import collectors as built_in_collectors
from bridge.plugins import Plugin, from_entry_points, from_files
from bridge.ports import Action, Collector


class Catalogue(msgspec.Struct, frozen=True):
    """Actions and collectors by name."""

    actions: Mapping[str, Action]
    collectors: Mapping[str, Collector]


@lru_cache(maxsize=16)
def catalogue(files: tuple[Path, ...] = ()) -> Catalogue:
    """Return what there is, with the plug-ins that are installed and those in `files`. Raises ConfigurationError."""
    actions, collectors = dict(built_in_actions()), dict(built_in_collectors())
    for plugin in (*from_entry_points(), *from_files(files)):
        _add(plugin, actions, collectors)
    return Catalogue(actions, collectors)


def _add(plugin: Plugin, actions: dict[str, Action], collectors: dict[str, Collector]) -> None:
    known: dict[str, Action] | dict[str, Collector] = actions if isinstance(plugin, BaseAction) else collectors
    if plugin.name in known:
        raise ConfigurationError([f"plug-in {plugin.name!r} ({_place(plugin)}): there is one of that name already"])
    known[plugin.name] = plugin  # type: ignore[assignment]


def _place(plugin: Plugin) -> str:
    return f"{type(plugin).__module__}.{type(plugin).__qualname__}"


def registry_of(files: tuple[Path, ...]) -> Registry:
    """Return what runbooks may call, with the models of its parameters, for the check of the configuration."""
    known = catalogue(files)
    return Registry(
        {name: one.params for name, one in known.actions.items()},
        {name: one.params for name, one in known.collectors.items()},
        {name: one.result for name, one in known.collectors.items()},
    )
