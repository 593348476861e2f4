"""What a further file of the configuration may hold, and how the peers that it names join the settings.

Such a file is about one system: its routes, its runbooks, and what they reach beside the cluster. How the process
runs, who may call it and how far it may go is the main file's alone. Used by the loader; pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from bridge.configuration.document import Document, Loc
from bridge.model.fields import Name, Texts
from bridge.model.goals import Goal
from bridge.model.interval import NamedIntervals
from bridge.model.peers import CommandSpec, ExecSpec, Http, RedisPeerSpec, SqlPeerSpec, TlsPairSpec
from bridge.model.route import AlertSpec, RouteSpec
from bridge.model.runbook import Strict
from bridge.model.schedule import ScheduleSpec
from bridge.model.telling import Notify
from bridge.settings import KeepCopy, Settings

_Model = TypeVar("_Model", bound=BaseModel)


class Included(Strict):
    """A further file: routes, runbooks, and what these need."""

    alerts: dict[str, AlertSpec] = Field(default={})
    routes: tuple[RouteSpec, ...] = ()
    """Children of the root, after those of the main file."""
    time_intervals: tuple[NamedIntervals, ...] = ()
    schedules: Annotated[tuple[ScheduleSpec, ...], Field(max_length=200)] = ()
    runbooks: Texts = ()
    http: Http = Http()
    sql: dict[Name, SqlPeerSpec] = Field(default={})
    redis_peers: dict[Name, RedisPeerSpec] = Field(default={})
    commands: dict[Name, CommandSpec] = Field(default={})
    exec: ExecSpec = ExecSpec()
    tls_pairs: dict[Name, TlsPairSpec] = Field(default={})
    notify: Notify = Notify()
    """Rules and ladders name channels of the same file."""
    secret_namespaces: Texts = ()
    keep_copies: Annotated[tuple[KeepCopy, ...], Field(max_length=200)] = ()
    goals: Annotated[tuple[Goal, ...], Field(max_length=100)] = ()


def joined(main: _Model, part: Included, complain: Callable[[Loc, str], None]) -> _Model:
    """Return the settings with the peers of a further file; what both say differently is told to `complain`."""
    given = {name: getattr(part, name) for name in part.model_fields_set & Settings.model_fields.keys()}
    return _with(main, given, (), complain)


def _with(base: _Model, given: Mapping[str, Any], loc: Loc, complain: Callable[[Loc, str], None]) -> _Model:
    update = {}
    for name, value in given.items():
        update[name] = _both(getattr(base, name), value, name in base.model_fields_set, (*loc, name), complain)
    return base.model_copy(update=update)


def _both(old: Any, new: Any, said: bool, loc: Loc, complain: Callable[[Loc, str], None]) -> Any:
    """Return the lists one after the other, the mappings as one; of a plain value, the new one."""
    if isinstance(new, BaseModel) and type(old) is type(new):
        return _with(old, {name: getattr(new, name) for name in new.model_fields_set}, loc, complain)
    if isinstance(new, dict) and isinstance(old, dict):
        for name in old.keys() & new.keys():
            if old[name] != new[name]:
                complain((*loc, name), "another file has this name already, and says something else of it")
        return {**old, **new}
    if isinstance(new, tuple) and isinstance(old, tuple):
        return (*old, *(each for each in new if each not in old))
    if said and old != new:
        complain(loc, "another file says something else here")
    return new


def holder_of(loc: Loc, documents: list[Document]) -> Document:
    """Return the file in which the value at `loc` stands: the one that has most of the way to it."""

    def known(document: Document) -> int:
        at: Any = document.value
        for depth, part in enumerate(loc):
            if not isinstance(at, dict) or part not in at:
                return depth
            at = at[part]
        return len(loc)

    return max(documents, key=known)
