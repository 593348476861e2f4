"""The schema of what `bridge.yml` says about people: who hears what, when, on which channel, and who is called next.

Everything is off by default: without rules and ladders the log alone tells. The names of severities differ between
organisations, and the same name means different things (P1 is the worst of four, or the second): `scales` map them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from bridge.model.fields import Name, Texts, as_list
from bridge.model.notice import Event, Severity
from bridge.model.peers import ChannelSpec
from bridge.model.route import MatchersText
from bridge.model.runbook import Duration, Strict

_WORDS = {
    Severity.CRITICAL: ("critical", "crit", "page", "emergency", "fatal", "sev0", "sev1", "p0"),
    Severity.HIGH: ("high", "error", "major", "sev2"),
    Severity.MEDIUM: ("medium", "warning", "warn", "minor", "sev3"),
    Severity.LOW: ("low", "info", "none", "sev4", "sev5"),
}
KNOWN = {word: severity for severity, words in _WORDS.items() for word in words}
"""Names that mean the same wherever they are used. P1 to P4 are not among them: some begin with P0."""

Severities = Annotated[tuple[Severity, ...], BeforeValidator(as_list)]
Events = Annotated[tuple[Event, ...], BeforeValidator(as_list), Field(min_length=1)]
Channels = Annotated[Texts, Field(min_length=1, max_length=20)]


class _About(Strict):
    """Which remediations something is about; everything that is not said is any."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    runbooks: Texts = ()
    """Names of runbooks; `netweave/*` is all of a folder."""
    matchers: Annotated[tuple[MatchersText, ...], BeforeValidator(as_list)] = ()
    """As a route's, on the labels of the alert."""

    def fits(self, runbook: str, labels: Mapping[str, str]) -> bool:
        named = not self.runbooks or any(fnmatchcase(runbook, pattern) for pattern in self.runbooks)
        conditions = (matcher for text in self.matchers for matcher in text)
        return named and all(matcher.matches(labels.get(matcher.name, "")) for matcher in conditions)


class Concerned(_About):
    """The same, and how bad they are."""

    severity: Severities = ()
    """How bad, on our scale; none: any."""

    def meets(self, runbook: str, labels: Mapping[str, str], severity: Severity) -> bool:
        return (not self.severity or severity in self.severity) and self.fits(runbook, labels)


class Scale(_About):
    """What the severities of some alerts are called."""

    names: dict[str, Severity] = Field(min_length=1)
    """Capital letters make no difference."""


class SeveritySpec(Strict):
    """How bad an alert is: from its labels, or else from its runbook, on one scale."""

    labels: Texts = ("severity", "priority")
    """The first that an alert has counts."""
    scales: tuple[Scale, ...] = ()
    """The first that is about the alert and knows the name counts; then the names that everybody uses."""
    default: Severity = Severity.HIGH
    """Of an alert whose severity is not known."""

    def of(self, runbook: str, labels: Mapping[str, str], own: str = "") -> Severity:
        """Return how bad the alert says that it is; where it does not say, or by no name that is known, how bad its
        runbook does (`own`, its `severity:`).
        """
        said = next((labels[name] for name in self.labels if labels.get(name)), "")
        found = (self._named(word.strip().lower(), runbook, labels) for word in (said, own))
        return next((severity for severity in found if severity is not None), self.default)

    def _named(self, word: str, runbook: str, labels: Mapping[str, str]) -> Severity | None:
        for scale in self.scales:
            if scale.fits(runbook, labels):
                for name, severity in scale.names.items():
                    if name.lower() == word:
                        return severity
        return KNOWN.get(word)


class Rule(Concerned):
    """Who hears of what. All rules that fit count; a channel hears of an event once."""

    on: Events
    """What is told: each of these events."""
    channels: Channels
    """Where to, by the names in `notify.channels`."""


class Level(Strict):
    """One level of a ladder: who is called, and how long the next level waits for an answer."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What messages call it, such as L1."""
    within: Annotated[Duration, Field(ge=60, le=7 * 86400)]
    """How long an answer is waited for before the next level is called."""
    channels: Channels
    """Where it is called, by the names in `notify.channels`."""


class Ladder(Concerned):
    """Who is called when a person is needed, and who when nobody answers. The last level is called again."""

    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=10)]
    """Who is called, one after the other."""


TEMPLATE_NAMES = frozenset(
    {"event", "headline", "severity", "level", "remediation", "runbook", "target", "alert", "labels", "annotations"}
    | {"reason", "detail", "plan", "found", "account", "report", "elapsed", "link", "next", "by", "why"}
)
"""What a template may name; bridge.notify.texts gives them their values."""


class TemplateSpec(Strict):
    """The text of a message: `${…}` holds CEL, as in runbooks. What is not given is the built-in one."""

    title: Annotated[str, Field(max_length=1000)] = ""
    """Its first line; left out: the built-in one."""
    text: Annotated[str, Field(max_length=8000)] = ""
    """What follows; left out: the built-in text."""


class TellAgain(Strict):
    """When people are called once more for the same cause: of an alert that comes and goes, with the same end."""

    every: Annotated[Duration, Field(ge=300, le=7 * 86400)] = 4 * 3600.0
    """After they were called, where no ladder goes on by itself."""
    acknowledged: Annotated[Duration, Field(ge=300, le=7 * 86400)] = 12 * 3600.0
    """After somebody took it on."""
    quiet: Annotated[Duration, Field(ge=60, le=86400)] = 3600.0
    """Whatever has not fired for so long is over: the next firing is called for anew."""


class Notify(Strict):
    """`notify:`"""

    channels: dict[Name, ChannelSpec] = Field(default={})
    """Where messages go, by the names that rules, ladders and runbooks call them."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=100)] = ()
    """Who hears of what; all that fit count."""
    escalation: Annotated[tuple[Ladder, ...], Field(max_length=50)] = ()
    """The first that fits counts."""
    severity: SeveritySpec = SeveritySpec()
    """How bad an alert is: from its labels, or else from its runbook."""
    tell_again: TellAgain = TellAgain()
    """When people are called once more for the same cause."""
    update_every: Annotated[Duration, Field(ge=60)] = 900.0
    """How often `update` is told while a remediation runs."""
    templates: dict[Event, TemplateSpec] = Field(default={})
    """Texts of one's own, by event."""

    @model_validator(mode="after")
    def _known_channels(self) -> Notify:
        for place, names in self._named():
            for name in names:
                if name not in self.channels:
                    raise ValueError(f"{place}: no channel is called {name!r}")
        return self

    def _named(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for at, rule in enumerate(self.rules):
            yield f"rules[{at}].channels", rule.channels
        for at, ladder in enumerate(self.escalation):
            for step, level in enumerate(ladder.levels):
                yield f"escalation[{at}].levels[{step}].channels", level.channels


class HoldSpec(Strict):
    """Whether a page is held while a repair runs: by a short silence of ours at Alertmanager."""

    for_: Annotated[Duration, Field(ge=30, le=3600)] = Field(default=300.0, alias="for")
    """How long one silence lasts. It is renewed while the repair runs, and ends by itself when we die."""
    at_most: Annotated[Duration, Field(ge=30, le=3600)] = 900.0
    """From the first silence: then people hear of it, whatever the repair does."""


class AlertmanagerSpec(Strict):
    """The Alertmanager whose alerts we get."""

    url: str
    """Its address, such as `http://alertmanager:9093`."""
    token_file: str = ""
    """File with a bearer token; empty: none."""
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 10.0
    """How long one request to it may take."""
    hold_page: HoldSpec | None = None
    """Off by default."""
