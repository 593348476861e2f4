"""The cases of the contract that every action keeps: one file a family, found by itself.

A family's file has `CASES`, a tuple of `Case`. Each says how to make a site ready for one action; the body in
tests/contract/test_actions.py then holds the action to what it declares (`repeat`, `undo`, `permissions`), so that
a case says only what cannot be derived. Every action of the registry needs at least one.

    async def restart(env: Env) -> Scene:
        ref = await env.site.deploy()                       # requests of the test itself: not recorded
        return Scene(about=ref, params={}, meddle=lambda: restart_by_hand(env.site))

    CASES = (Case(action="rollout_restart", prepare=restart),)

What a scene has to say beyond that:
- `meddle` changes, before the plan is made, something that the plan changes or relies on: the plan is then stale.
  `trample` does so after the plan was made (the same, when left out): the undo is then refused.
- `effects` counts how often the effect took place; left out: the accepted writes at the API server. A call to
  another peer counts there. `writes` is what one making of the plan comes to; left out: one for each change.
- `lose` prepares the loss of the next reply (True) or request (False); left out: at the API server.
- `undone` asserts that a compensating undo did what it is to do. Exact ones are compared field by field.
- `reach` replaces the connections of the run (peers beside Kubernetes); `env.stack` closes what you open, and
  `env.fixture("redis_server")` gives a pytest fixture (a synchronous one; use it for servers that all tests share).
- `blind`: a look before the write cannot tell that nothing was done.
- `settled` brings the site to rest between the write and the undo, where what follows by itself would race with it.

A case that needs more than an API server says so in `needs`; see tests/support/capabilities.py for the words.

What a case cannot have it says in `lacks`, and the tests of that are left out for it; one that neither has nor
lacks it fails there. The words: `meddle` (nobody can get in the way of a message that is sent, say), `trample`,
`remade` (no object of its plan can be deleted and made again by plain requests), `loss` (nothing can be lost on its
way) and `look` (its verification does not look at the cluster).

`names`, `selectors` and `arguments` are the parameters that hold names, label selectors and command arguments; left
out: those that are called so.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from bridge.model.target import ObjectRef
from bridge.ports import Action, Connections
from tests.support.cluster import Site

Does = Callable[[], Awaitable[Any]]
LACKS = frozenset({"meddle", "trample", "remade", "loss", "look"})
"""What a case may say that it lacks."""


@dataclass
class Env:
    """What a case is made ready with."""

    site: Site
    stack: AsyncExitStack
    fixture: Callable[[str], Any]


@dataclass(kw_only=True)
class Scene:
    """A site that is ready for one action, and how others get in its way."""

    about: ObjectRef
    """The remediation's target."""
    params: dict[str, Any]
    meddle: Does | None = None
    trample: Does | None = None
    effects: Callable[[], Awaitable[int]] | None = None
    writes: int | None = None
    lose: Callable[[bool], Any] | None = field(default=lambda after: NotImplemented)
    undone: Does | None = None
    settled: Does | None = None
    blind: bool = False
    reach: Connections | None = None
    planned_at: float | None = None
    """Unix seconds; left out: now."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An action in one situation."""

    action: str
    prepare: Callable[[Env], Awaitable[Scene]]
    variant: str = ""
    """Tells several cases of one action apart."""
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    selectors: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None
    make: Callable[[], Action] | None = None
    """Makes the action, where it is not the registry's."""

    def __post_init__(self) -> None:
        if unknown := set(self.lacks) - LACKS:
            raise ValueError(
                f"{self.id}: nothing is called {', '.join(unknown)}; there are {', '.join(sorted(LACKS))}"
            )

    @property
    def id(self) -> str:
        return f"{self.action}-{self.variant}" if self.variant else self.action


def all_cases() -> list[Case]:
    """Return the cases of every family."""
    found: list[Case] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        cases: Sequence[Case] = importlib.import_module(f"{__name__}.{module.name}").CASES
        found += cases
    return found
