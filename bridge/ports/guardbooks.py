"""What guards ask and count: pauses and past runs, breakers, budgets, and how far a runbook is trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.model.budget import BudgetAnswer, BudgetRules, BudgetUse, Spend
from bridge.model.intake import (
    Claim,
    GuardFacts,
    Pause,
)
from bridge.model.reason import Reason
from bridge.model.remediation import Decision, Remediation
from bridge.model.run_limits import Most
from bridge.model.trust import Lowered, Stopped, Trust, TrustSettings


class Guardbook(Protocol):
    """What the guards remember."""

    async def facts(self, remediation: Remediation) -> GuardFacts: ...

    async def pause(self, pause: Pause) -> None:
        """Stop new writes in its scope; who did it and why is in the trail with the same step."""
        ...

    async def resume(self, scope: str, *, by: str = "", why: str = "") -> bool:
        """End a pause; False when there was none. A runbook is trusted again. In the trail with the same step."""
        ...

    async def pauses(self) -> list[Pause]: ...

    async def take_run(self, claim: Claim, limits: Sequence[Most]) -> bool:
        """Count a run that is about to write, once; False, and nothing counted, where a limit has no room by now.

        In one step, so that of any number of runs at once no more are counted than may be. One that ends, or waits,
        without a write counts no more. Raises LeaseLost.
        """
        ...

    async def waiting(self, reasons: Sequence[Reason]) -> Mapping[Reason, int]:
        """Return how many open alerts wait for the end of each reason."""
        ...

    async def first_to_tell(
        self, about: str, remediation: str, seconds: float, *, quiet: float | None = None
    ) -> bool:
        """Return True to the first remediation that asks (however often it does), and to no other for so long.

        When nobody has asked for `quiet` seconds the next one is the first again.
        """
        ...

    async def explain(self, fingerprint: str) -> list[Decision]:
        """Return every decision that is kept about this fingerprint, of all sources, oldest first."""
        ...

    async def incidents(self, fingerprint: str) -> list[Mapping[str, Any]]:
        """Return what is kept about this fingerprint's incidents: state, start, last seen, remediations."""
        ...


class Breakers(Protocol):
    """Circuit breakers, shared by all workers."""

    async def enter(self, name: str, policy: BreakerPolicy) -> Permit:
        """Return leave for one call; raise CircuitOpen when it is open or its one probe is out."""
        ...

    async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
        """Report the call's result; None (cancelled, not the dependency's fault) counts as neither."""
        ...

    async def states(self) -> Mapping[str, BreakerState]: ...


class Budgets(Protocol):
    """The disruption budget, shared by all workers. Strict: no moment's sum is ever above a limit."""

    async def look(self, spends: Sequence[Spend], rules: BudgetRules) -> BudgetAnswer:
        """Return what `reserve` would, and keep nothing."""
        ...

    async def reserve(
        self,
        claim: Claim,
        key: str,
        spends: Sequence[Spend],
        rules: BudgetRules,
        *,
        force: bool = False,
        anew: bool = False,
    ) -> BudgetAnswer:
        """Reserve what the plan `key` of a run disturbs, or none of it; in one step. Raises LeaseLost.

        Again with the same key takes the place of what it had reserved, which for no spends is given back; `anew`
        takes the place of all that the run had reserved: nothing of it was written. `force` reserves whatever the
        limits say. It counts while the run goes on and for the window after its end, unless that wrote nothing;
        a run that parks before it wrote gives it back. Where more than `halt_after` targets were asked for in the
        window, everything is paused (Pause `all`, by `alertbridge`).
        """
        ...

    async def use(self, window: float) -> BudgetUse:
        """Return what counts now, and how many targets were asked for within the window (seconds)."""
        ...

    async def settle(self, claim: Claim, *, wrote: bool) -> None:
        """Count what the run reserved from now on as spent, or give it back. The end of a run does it by itself."""
        ...


class Trustbook(Protocol):
    """Whether runbooks help. The end of a run that wrote something counts by itself; what only undoes does not."""

    async def judge(self, runbook: str, alert: str, policy: TrustSettings) -> Trust:
        """Return what holds for this runbook for alerts of this name, by the runs until now; lowers what is due."""
        ...

    async def restore(self, runbook: str) -> bool:
        """A person trusts it again, for every alert; what it did before does not count any more."""
        ...

    async def stopped(self) -> Mapping[str, Stopped]:
        """Return the runbooks that run no more."""
        ...

    async def lowered(self) -> Mapping[tuple[str, str], Lowered]:
        """Return by alert and runbook what may not go as far as its route says."""
        ...
