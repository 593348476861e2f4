"""`maintenance:` of the configuration: one-off windows in which nothing is done for what they cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from bridge.model.fields import as_list
from bridge.model.route import MatchersText
from bridge.model.runbook import Strict


class Maintenance(Strict):
    """One window. Without matchers it covers every alert."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = Field(min_length=1)
    """What it is called where it is told of."""
    begins: AwareDatetime
    """With its offset from UTC, such as `2026-11-21T22:00:00+01:00`."""
    ends: AwareDatetime
    """Written as `begins`; from this moment on it is over."""
    matchers: Annotated[tuple[MatchersText, ...], BeforeValidator(as_list)] = ()
    """All of them have to match the alert's labels, as those of a route."""

    @model_validator(mode="after")
    def _not_backwards(self) -> Maintenance:
        if self.ends <= self.begins:
            raise ValueError("ends before it begins")
        return self

    def covers(self, labels: Mapping[str, str], now: float) -> bool:
        """Whether the moment (unix seconds) and the alert are in it."""
        if not self.begins.timestamp() <= now < self.ends.timestamp():
            return False
        return all(m.matches(labels.get(m.name, "")) for text in self.matchers for m in text)
