"""Configuration files for tests: written into a folder, loaded as `serve` loads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from pydantic import BaseModel

from bridge.configuration import Configuration, ConfigurationError, load
from bridge.model.runbook import Strict


class Restart(Strict):
    """Parameters of the action `restart`."""

    grace: int = 30
    note: str = ""


class Logs(Strict):
    """Parameters of the collector `logs`."""

    lines: int = 100
    pod: str


class Nothing(Strict):
    """No parameters at all."""


ACTIONS: Mapping[str, type[BaseModel]] = {"restart": Restart, "undo": Nothing}
COLLECTORS: Mapping[str, type[BaseModel]] = {"pods": Nothing, "logs": Logs}

RUNBOOK = """
summary: Restart it.
params:
  replicas: {default: 3}
target: {name: "${labels.app}"}
evidence:
  pods: {collect: pods}
scenarios:
  - name: down
    when: evidence.pods.ready == 0
    steps: [{action: restart}]
verify: {fixed: evidence.pods.ready == params.replicas}
"""


class Folder:
    """A folder with a configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env: dict[str, str] = {}

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
        return file

    def load(self, name: str = "bridge.yml") -> Configuration:
        return load(self.path / name, actions=ACTIONS, collectors=COLLECTORS, env=self.env)

    def problems(self, name: str = "bridge.yml") -> list[str]:
        """Return what is wrong, without the folder's path; none when it loads."""
        try:
            self.load(name)
        except ConfigurationError as error:
            return [problem.replace(f"{self.path}/", "") for problem in error.problems]
        return []
