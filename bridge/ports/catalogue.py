"""Actions, collectors and guards, and what they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from bridge.model.decay import Recorded, Rule
from bridge.model.intake import Claim, GuardFacts
from bridge.model.outside import ExecReply, HttpReply, HttpRequest, Message, SqlReply
from bridge.model.permission import Permission
from bridge.model.plan import Change, Made, Plan, Repeat, Undo
from bridge.model.reason import Verdict
from bridge.model.remediation import Remediation, RemediationView
from bridge.model.silence import ActiveAlert, Silence
from bridge.model.target import Target
from bridge.model.verification import Verification
from bridge.ports.clock import Clock
from bridge.ports.cluster import Cluster
from bridge.ports.copies import Copies
from bridge.ports.runs import Runs


class Connections(Protocol):
    """What an action or a collector may use to reach the outside. Peers beside Kubernetes are configured by name."""

    clock: Clock
    cluster: Cluster
    copies: Copies
    runs: Runs

    def over(self, cluster: Cluster) -> Connections:
        """Return the same with `cluster` in the cluster's place, for `exec` too."""
        ...

    async def promql(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        """Return the samples of an instant query; raise PermanentError when no Prometheus is configured."""
        ...

    async def http_status(self, url: str) -> int: ...

    async def http(self, request: HttpRequest) -> HttpReply:
        """Send one request to an allow-listed host; no redirect is followed.

        Raises InvalidInput (not allowed), TemporaryError (nothing was sent), and OutcomeUnknown when a request
        other than GET and HEAD was sent and no answer came.
        """
        ...

    async def sql(
        self,
        connection: str,
        statement: str,
        arguments: Sequence[Any] = (),
        *,
        deadline: float = 30.0,
        read_only: bool = False,
    ) -> SqlReply:
        """Run one statement over the named connection, outside a transaction of ours; arguments are `$1`, `$2`, ….

        With `read_only` the server refuses whatever writes to a table.

        Raises InvalidInput (no such connection), PermanentError (the server refused it), TemporaryError (no
        connection could be made), OutcomeUnknown (sent, no answer).
        """
        ...

    async def redis(self, connection: str, command: Sequence[str], *, address: str = "") -> Any:
        """Run one command at the named Redis or Sentinel; `address` (host:port) picks one that it has named.

        Returns plain JSON values. Raises as `sql` does.
        """
        ...

    async def command(self, name: str, arguments: Sequence[str], *, deadline: float = 30.0) -> ExecReply:
        """Run an allow-listed command of this host with further arguments; never through a shell.

        Raises InvalidInput (not allowed), OutcomeUnknown (killed at the deadline).
        """
        ...

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        """Run an allow-listed argument list in a container; as `Cluster.exec`, but for the policy.

        Raises PermanentError (not allowed: names the setting) and what `Cluster.exec` raises.
        """
        ...

    def check(self, sort: str, name: str, arguments: Sequence[str] = ()) -> None:
        """Raise, naming the setting, when a call would be refused whatever it says; for plans. Sends nothing.

        `sort` is sql, redis, command or notify with the connection's name, http with the address and the names of
        the secrets, or exec with the argument list.
        """
        ...

    async def notify(self, channel: str, message: Message) -> None:
        """Tell it on the named channel. Raises InvalidInput (no such channel), TemporaryError."""
        ...

    async def served_certificate(self, url: str) -> str:
        """Return the certificate (PEM) that an allow-listed https:// address shows, trusted or not.

        Raises InvalidInput (not allowed), Unreachable (nothing listens) and TemporaryError.
        """
        ...

    async def tls_pair(self, name: str) -> tuple[bytes, bytes]:
        """Return certificate and key (PEM) of the named pair of files on this host, as they are now.

        Raises InvalidInput (no such pair) and PermanentError (cannot be read). Neither is ever stored or shown.
        """
        ...


class Action(Protocol):
    """One way to change something. Reads in `plan`; the engine applies, journals, locks and retries."""

    name: str
    summary: str
    params: type[BaseModel]
    example: Mapping[str, Any]
    """Parameters of a typical step, shown by `alertbridge actions NAME`; they are valid."""
    repeat: Repeat
    undo: Undo
    undo_failed: bool

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        """Return what it asks of the API server for an object of `kind`; `params` may hold templates still."""
        ...

    async def plan(self, context: ActionContext, params: Any) -> Plan:
        """Read, and return the changes; raise PlanError (names the mend) or InvalidInput."""
        ...

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Make one `call` change of a plan; return what is to be kept of it (plain JSON, bounded).

        Called by the engine alone. Raises TemporaryError when nothing was begun, OutcomeUnknown when that is not
        known, and PermanentError when it was refused.
        """
        ...

    async def done(self, context: ActionContext, change: Change) -> bool | None:
        """Read back whether a `call` change was made, for `repeat: detectable`; None when that cannot be told."""
        ...

    async def verify(self, context: ActionContext, plan: Plan, params: Any) -> Verification:
        """Look once whether the plan's effect is there: fixed, not fixed (yet) or unknown, with a sentence."""
        ...


class ActionContext(Protocol):
    """What an action sees."""

    @property
    def remediation(self) -> str:
        """Id of the remediation, for marks and idempotent values."""
        ...

    @property
    def planned_at(self) -> float:
        """When the remediation was created, unix seconds: the source of every time in a plan, so that it repeats."""
        ...

    @property
    def tried(self) -> int:
        """How many attempts of the run did not help: what this one does anew is not what they did already."""
        ...

    @property
    def target(self) -> Target: ...

    @property
    def run(self) -> Remediation | None:
        """The record of the run; None outside of one."""
        ...

    @property
    def results(self) -> Sequence[Mapping[str, Any]]:
        """What `perform` returned, by the plan's changes in order; empty ones for other operations. For `verify`."""
        ...

    @property
    def reach(self) -> Connections: ...


class Collector(Protocol):
    """Gathers one kind of evidence."""

    name: str
    summary: str
    params: type[BaseModel]
    result: type[BaseModel]
    """What it gathers, field by field: what expressions may read, with its types."""

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        """As an action's."""
        ...

    async def collect(self, context: ActionContext, params: Any) -> dict[str, Any]:
        """Return plain JSON values; raising means that the evidence is missing."""
        ...


class Applier(Protocol):
    """Makes a planned change under its preconditions."""

    async def apply(self, change: Change, *, remediation: str) -> Made:
        """Return what became of it: whether it wrote, and the change as it was made.

        Raises PlanStale, TargetReplaced, KubeError; KubeReplyLost is settled by reading back first.
        """
        ...


class EntryGuard(Protocol):
    name: str

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict: ...


class PlanGuard(Protocol):
    name: str

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict: ...


@runtime_checkable
class ReservingGuard(PlanGuard, Protocol):
    """A plan guard that keeps something for a plan that is about to be made; `check` alone keeps nothing."""

    async def reserve(
        self, claim: Claim, key: str, remediation: Remediation, plan: Plan, context: ActionContext, *, anew: bool
    ) -> Verdict:
        """Answer as `check`, and when it allows keep what the plan `key` of this run needs. Raises LeaseLost.

        `anew`: the run wrote nothing yet, so that whatever it had kept before is given back.
        """
        ...

    async def release(self, claim: Claim, key: str) -> None:
        """Give back what was kept for a plan that is not made now. Raises LeaseLost."""
        ...


class Silencer(Protocol):
    """The Alertmanager whose alerts we get. Every method raises TemporaryError and PermanentError."""

    async def alerts(self, matchers: Mapping[str, str]) -> list[ActiveAlert]:
        """Return the firing alerts with these labels, the silenced ones too."""
        ...

    async def started_at(self) -> float:
        """Return since when it runs, unix seconds: what fired before is known to it only once it was sent again."""
        ...

    async def silences(self) -> list[Silence]: ...

    async def silence(
        self, labels: Mapping[str, str], *, now: float, until: float, comment: str, renew: str = ""
    ) -> str:
        """Silence the alert with exactly these labels; return the id, which may change when one is renewed."""
        ...

    async def lift(self, silence: str) -> None: ...


class Notifier(Protocol):
    """Tells people. Never raises and never delays a remediation."""

    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None: ...


class AlertRules(Protocol):
    """What is known of how alerts come about and come to us."""

    async def rule(self, labels: Mapping[str, str]) -> Rule | None:
        """Return the rule that fires the alert with these labels; None where there is none, or nobody to ask.

        Raises TemporaryError and PermanentError.
        """
        ...

    async def recorded(self) -> Mapping[str, Recorded]:
        """Return the recording rules by name; none where there is nobody to ask. Raises as `rule` does."""
        ...

    async def group_interval(self) -> float:
        """Return for how long a resolve may be held before it is sent to us, seconds; raises as `rule`."""
        ...
