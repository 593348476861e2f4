"""Plug-ins: actions and collectors that somebody else wrote, found by entry point or by the path of a Python file.

Called by bridge.catalogue. Whatever a plug-in's module holds that is an action or a collector is taken; nothing of it
is run before a runbook names it.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from bridge.actions.base import BaseAction
from bridge.errors import ConfigurationError
from bridge.evidence.base import BaseCollector, Facts
from bridge.model.runbook import Strict

GROUP = "alertbridge.plugins"
"""The group of entry points; each names a module, an action or a collector."""
_BASES = (BaseAction, BaseCollector)

Plugin = BaseAction | BaseCollector


def from_entry_points() -> Iterator[Plugin]:
    """Yield what installed distributions offer in the group `alertbridge.plugins`. Raises ConfigurationError."""
    for point in entry_points(group=GROUP):
        try:
            yield from _inside(point.load(), f"entry point {point.name}")
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError([f"entry point {point.name} ({point.value}): {_said(error)}"]) from error


def from_files(files: Sequence[Path]) -> Iterator[Plugin]:
    """Yield what Python files hold; a file is run once in a process. Raises ConfigurationError."""
    for file in files:
        yield from _inside(_module(file), str(file))


def _module(file: Path) -> ModuleType:
    name = f"alertbridge_plugin_{file.resolve().as_posix().replace('/', '_').removesuffix('.py')}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError([f"{file}: is no Python file"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError([f"{file}: {_said(error)}"]) from error
    return module


def _inside(found: Any, place: str) -> Iterator[Plugin]:
    items = vars(found).values() if isinstance(found, ModuleType) else [found]
    plugins = list(_plugins(items, found.__name__ if isinstance(found, ModuleType) else ""))
    if not plugins:
        raise ConfigurationError([f"{place}: holds no action and no collector: use `bridge.action` on a function"])
    for plugin in plugins:
        problems = list(_problems(plugin))
        if problems:
            raise ConfigurationError([f"{place}: {problem}" for problem in problems])
        yield plugin


def _plugins(items: Iterable[Any], module: str) -> Iterator[Plugin]:
    for item in items:
        if isinstance(item, _BASES):
            yield item
        elif inspect.isclass(item) and issubclass(item, _BASES) and not inspect.isabstract(item):
            own = not module or item.__module__ == module
            # What a module imports to derive from it is not what it offers.
            yield from [item()] if own else []


def _problems(plugin: Plugin) -> Iterator[str]:
    """Yield what a plug-in lacks, in words for its author."""
    name = getattr(plugin, "name", type(plugin).__name__)
    for attribute in ("name", "summary", "params"):
        if not getattr(plugin, attribute, None):
            yield f"{name} has no `{attribute}`"
            return
    if not (isinstance(plugin.name, str) and plugin.name.isidentifier()):
        yield f"{name!r} is no action's name: letters, digits and _"
    if not (inspect.isclass(plugin.params) and issubclass(plugin.params, BaseModel)):
        yield f"{name}: `params` is not a pydantic model"
        return
    if not issubclass(plugin.params, Strict):
        yield f"{name}: `params` derives from `bridge.Params`, so that a misspelt parameter is an error"
    for field, info in plugin.params.model_fields.items():
        if not info.description:
            yield f"{name}: parameter `{field}` has no description"
    if isinstance(plugin, BaseCollector):
        yield from _result_problems(plugin, name)
    if isinstance(plugin, BaseAction):
        try:
            plugin.params.model_validate(dict(plugin.example))
        except (ValidationError, TypeError, AttributeError) as error:
            yield f"{name}: its `example` does not fit its parameters: {str(error).splitlines()[0]}"


def _result_problems(plugin: BaseCollector, name: str) -> Iterator[str]:
    """Yield what a collector's declared result lacks: expressions are checked against it."""
    result = getattr(plugin, "result", None)
    if not (inspect.isclass(result) and issubclass(result, Facts)):
        yield f"{name}: `result` is not a model that derives from `bridge.Facts`"
        return
    for field, info in result.model_fields.items():
        if not info.description:
            yield f"{name}: field `{field}` of its result has no description"


def _said(error: Exception) -> str:
    return f"cannot be loaded: {type(error).__name__}: {error}"
