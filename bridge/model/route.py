"""What a route says in YAML, and what an alert gets that ends at it. Compiled into a table by routing.py.

The tree is Alertmanager's; what is different on purpose: a child without a matcher is an error, the root names no
runbook, `params` merge with the child's winning, and the keys of notifications are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from bridge.errors import InvalidInput
from bridge.model.matcher import Matcher, parse_matchers
from bridge.model.mode import Mode
from bridge.model.runbook import DayAtMost, Duration, Strict

REFUSED = {
    "receiver": "alertbridge mends and doesn't notify by routes: name a `runbook`, keep receivers in Alertmanager",
    "group_wait": "alerts are handled as they come: waiting for a group is Alertmanager's business",
    "group_interval": "alerts are handled as they come: waiting for a group is Alertmanager's business",
    "repeat_interval": "how often a runbook may run again is said by `cooldown`, `max_attempts`, `attempts_window`",
    "match": 'write `matchers:` instead, e.g. `- severity="critical"`',
    "match_re": 'write `matchers:` instead, e.g. `- severity=~"critical|page"`',
}
"""Alertmanager's keys that a route doesn't have, and what to do instead."""

MOST_LEVELS = 32
"""How deep routes may be nested."""


def _matchers(value: object) -> tuple[Matcher, ...]:
    if not isinstance(value, str):
        raise ValueError(f'expected a text such as `severity="critical"` (in quotes of YAML), got {value!r}')
    try:
        return parse_matchers(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _grouping(value: object) -> object:
    """Refuse what Alertmanager refuses; an empty list inherits, as it does there."""
    if isinstance(value, list | tuple):
        if "..." in value and len(value) > 1:
            raise ValueError("`...` groups by all labels and stands alone")
        if len({*map(str, value)}) < len(value):
            raise ValueError("a label is named twice")
        return value or None
    return value


NamespaceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
MatchersText = Annotated[tuple[Matcher, ...], BeforeValidator(_matchers)]


class _Orders(Strict):
    """What a route says about the runbook that it names."""

    params: dict[str, Any] = Field(default={})
    """The runbook's parameters; those of a child go before its parent's."""
    mode: Mode | None = None
    """How far it may go, if the process's mode and the runbook's allow it as well."""
    cooldown: Duration | None = None
    """How long a runbook leaves a target alone after a run that changed it; 10m when no route says."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Runs with a change for one runbook and target within `attempts_window`, then a person is told; 3 when no route
    says."""
    attempts_window: Duration | None = None
    """The time that `max_attempts` is about; 1h when no route says."""
    allow_drift: bool | None = None
    """Whether it may change what Helm, Argo CD, Flux or an HPA owns, which may put it back; no when no route says."""
    allow_irreversible: bool | None = None
    """Whether it may do what has no undo; no when no route says."""
    allow_namespaces: tuple[NamespaceName, ...] | None = None
    """Protected namespaces in which runs of this route may change objects all the same."""
    approvers: Annotated[int, Field(ge=1, le=20)] | None = None
    """Mode approve: how many different people have to agree, the larger of this and the runbook's; 1 when no route
    says."""
    approve_within: DayAtMost | None = None
    """Mode approve: no answer by then means no. It goes before the runbook's."""
    group_by: Annotated[tuple[str, ...] | None, BeforeValidator(_grouping)] = None
    """Labels: alerts with the same values of them join one run, of runbooks with `target.at_most`; `...` is all."""
    hold_off: Duration | None = None
    """Act only on what still fires so long after it was first received."""
    mute_time_intervals: tuple[str, ...] = ()
    """Names of `time_intervals` in which nothing is done."""
    active_time_intervals: tuple[str, ...] = ()
    """Names of `time_intervals`: outside of all of them nothing is done."""


class RouteSpec(_Orders):
    """One route. What it doesn't say it inherits, but for `matchers`, `continue` and the time intervals."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    matchers: Annotated[tuple[MatchersText, ...], BeforeValidator(_as_list)] = ()
    """Which alerts it takes: all of these hold, such as `severity="critical"`. Every route but the root has one."""
    runbook: str | None = None
    """`null`, written out, means that nothing is to be done here, whatever a parent says."""
    continue_: bool = Field(default=False, alias="continue")
    """Whether the routes beside it that come after are tried as well once it has matched."""
    routes: tuple[RouteSpec, ...] = ()
    """Its children: the first that matches goes before it."""

    @property
    def conditions(self) -> tuple[Matcher, ...]:
        """All matchers, of all texts."""
        return tuple(matcher for text in self.matchers for matcher in text)


class AlertSpec(_Orders):
    """The short form: what to do for one alert name."""

    runbook: str
    """What is run for alerts with this name; alone, it may stand in place of the map."""

    @model_validator(mode="before")
    @classmethod
    def _only_a_name(cls, value: object) -> object:
        return {"runbook": value} if isinstance(value, str) else value

    def as_route(self, alertname: str) -> RouteSpec:
        escaped = alertname.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return RouteSpec.model_validate({**said, "matchers": [f'alertname="{escaped}"']})


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A route that an alert ends at, with all that it inherits. Times in seconds."""

    path: str
    """Where it stands, such as `route.routes[2].routes[0]`."""
    runbook: str = ""
    """Empty: nothing is to be done."""
    params: Mapping[str, Any] = {}
    mode: Mode | None = None
    cooldown: float = 600.0
    max_attempts: int = 3
    attempts_window: float = 3600.0
    hold_off: float = 0.0
    allow_drift: bool = False
    allow_irreversible: bool = False
    allow_namespaces: tuple[str, ...] = ()
    approvers: int = 1
    """Mode approve: how many different people have to agree; the runbook may want more."""
    approve_within: float | None = None
    """Mode approve: seconds after which no answer means no; None leaves it to the runbook."""
    group_by: tuple[str, ...] = ()
    """Labels that widen a join to one remediation with several targets; `("...",)` is all labels."""
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()

    def group(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return the labels that this route groups by, as far as the alert has them."""
        if self.group_by == ("...",):
            return dict(labels)
        return {name: labels[name] for name in self.group_by if name in labels}


_INHERITED = (
    *("runbook", "mode", "cooldown", "max_attempts", "attempts_window", "hold_off"),
    *("allow_drift", "allow_irreversible", "allow_namespaces", "approvers", "approve_within", "group_by"),
)


def inherit(parent: Match | None, spec: RouteSpec, path: str) -> Match:
    """Return what `spec` says, and for the rest what its parent does. Time intervals are not inherited."""
    said: dict[str, Any] = {name: value for name in _INHERITED if (value := getattr(spec, name)) is not None}
    if spec.runbook is None and "runbook" in spec.model_fields_set:
        said["runbook"] = ""
    said |= {
        "path": path,
        "params": {**(parent.params if parent else {}), **spec.params},
        "mute_time_intervals": spec.mute_time_intervals,
        "active_time_intervals": spec.active_time_intervals,
    }
    return msgspec.structs.replace(parent, **said) if parent else Match(**said)


Place = tuple[str | int, ...]


def tree_problems(root: RouteSpec) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with a tree as a whole: the place within the root, and a sentence."""
    if root.conditions:
        yield ("matchers",), "the root takes every alert and has no matchers: move them to a child"
    if root.runbook is not None:
        yield ("runbook",), "the root has no runbook, or everything unexpected would be acted on: name it in a child"
    for name in ("continue_", "mute_time_intervals", "active_time_intervals"):
        if getattr(root, name):
            yield (name.rstrip("_"),), "the root cannot have this: nothing comes after or beside it"
    yield from _children_problems(root, (), 1)


def _children_problems(spec: RouteSpec, place: Place, level: int) -> Iterator[tuple[Place, str]]:
    if level > MOST_LEVELS and spec.routes:
        yield (*place, "routes"), f"routes are nested deeper than {MOST_LEVELS} levels"
        return
    for at, child in enumerate(spec.routes):
        here = (*place, "routes", at)
        yield from child_problems(child, here)
        yield from _children_problems(child, here, level + 1)


def child_problems(child: RouteSpec, place: Place) -> Iterator[tuple[Place, str]]:
    if not child.conditions:
        yield (*place, "matchers"), "a route below the root needs a matcher, or it would take every alert"
