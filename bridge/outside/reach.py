"""Puts the peers together: `Outside` once a process, `Reach` once a cluster. Made by app."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from bridge.errors import Hung, InvalidInput, PermanentError, TemporaryError
from bridge.kube.circuit import Circuit
from bridge.model.argument_lists import arguments_match
from bridge.model.http_address import origin_of
from bridge.model.outside import Copy, ExecReply, HttpReply, HttpRequest, Message, SqlReply
from bridge.model.remediation import Remediation, RemediationView
from bridge.model.target import ObjectRef
from bridge.outside.alertmanager import Alertmanager
from bridge.outside.command import Commands
from bridge.outside.http import HttpPeers, Session
from bridge.outside.notify import Channels
from bridge.outside.options import OutsideSettings
from bridge.outside.pairs import read_pair
from bridge.outside.prometheus import Prometheus, Sample
from bridge.outside.redis import RedisPeers
from bridge.outside.rules import AlertRules
from bridge.outside.served import served_certificate
from bridge.outside.sql import SqlPeers
from bridge.ports import Breakers, Clock, Cluster, Copies, Ordered, Runs

T = TypeVar("T")

_ANY_FAILURE = (TemporaryError,)
_HANGING = (Hung,)


class Outside:
    """Everything beside Kubernetes, for all clusters of the process. Connects at first use.

    With `breakers` a peer that hangs is left alone for a while. One that refuses is not: that is an answer about
    its health, and looking at what is broken is what much of this is for.
    """

    def __init__(
        self, settings: OutsideSettings, *, breakers: Breakers | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._breakers = breakers
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self._session = Session()
        self._prometheus = Prometheus(
            self._session,
            settings.prometheus,
            settings.prometheus_token,
            deadline=settings.deadline,
            circuit=self._circuit("prometheus", _ANY_FAILURE) if settings.prometheus else None,
        )
        self._http = HttpPeers(
            self._session, allowed=settings.allowed, secrets=settings.http_secrets, deadline=settings.deadline
        )
        self._sql = SqlPeers(settings.sql)
        self._redis = RedisPeers(settings.redis)
        self._commands = Commands(settings.commands)
        self._channels = Channels(settings.channels)
        self.rules = AlertRules(
            self._session,
            settings.prometheus,
            settings.prometheus_token,
            alertmanager=settings.alertmanager,
            alertmanager_token=settings.alertmanager_token,
            deadline=settings.deadline,
        )
        self.alertmanager = Alertmanager(
            self._session,
            settings.alertmanager,
            settings.alertmanager_token,
            deadline=settings.alertmanager_deadline,
        )

    @property
    def prometheus(self) -> bool:
        """Whether a Prometheus is configured."""
        return bool(self._settings.prometheus)

    async def close(self) -> None:
        await self._session.close()
        await self._channels.close()

    def check(self, sort: str, name: str, arguments: Sequence[str] = ()) -> None:
        """Raise InvalidInput, or PermanentError, when a call would be refused; see ports.Connections.check."""
        if sort == "exec":
            self._check_exec(arguments)
        elif sort == "http":
            self._http.check(name, arguments)
        elif sort == "sql":
            self._sql.peer(name)
        elif sort == "redis":
            self._redis.peer(name)
        elif sort == "command":
            self._commands.check(name, arguments)
        elif sort == "notify":
            self._channels.channel(name)
        else:
            raise InvalidInput(f"there is no sort of peer {sort!r}")

    def _check_exec(self, command: Sequence[str]) -> None:
        if not command or not any(arguments_match(allowed, command) for allowed in self._settings.exec_allow):
            shown = [word if len(word) <= 80 else f"{word[:77]}..." for word in command[:10]]
            raise PermanentError(f"{shown} may not be run in a container: allow it in `exec.allow`")

    async def promql(self, query: str) -> list[Sample]:
        return await self._prometheus.query(query)

    async def http_status(self, url: str) -> int:
        return await self._http.status(url)

    async def http(self, request: HttpRequest) -> HttpReply:
        self._http.check(request.url, request.secret_headers.values())
        return await self._call(f"http/{origin_of(request.url)[0]}", lambda: self._http.request(request))

    async def sql(
        self, connection: str, statement: str, arguments: Sequence[Any], *, deadline: float, read_only: bool = False
    ) -> SqlReply:
        self._sql.peer(connection)
        return await self._call(
            f"sql/{connection}",
            lambda: self._sql.run(connection, statement, arguments, deadline=deadline, read_only=read_only),
        )

    async def redis(self, connection: str, command: Sequence[str], *, address: str) -> Any:
        self._redis.peer(connection)
        at = f"redis/{connection}/{address}" if address else f"redis/{connection}"
        return await self._call(at, lambda: self._redis.run(connection, command, address=address))

    async def command(self, name: str, arguments: Sequence[str], *, deadline: float) -> ExecReply:
        return await self._commands.run(name, arguments, deadline=deadline)

    async def served_certificate(self, url: str) -> str:
        return await self._call(f"tls/{origin_of(url)[0]}", lambda: served_certificate(self._http, url))

    async def tls_pair(self, name: str) -> tuple[bytes, bytes]:
        return await read_pair(name, self._settings.tls_pairs)

    async def notify(self, channel: str, message: Message) -> None:
        self._channels.channel(channel)
        await self._call(f"notify/{channel}", lambda: self._channels.send(channel, message))

    def one_by_one(self, channel: str) -> bool:
        """Whether messages of several remediations may not be told as one on a channel."""
        return self._channels.one_by_one(channel)

    async def _call(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        circuit = self._circuit(name, _HANGING)
        return await (call() if circuit is None else circuit.call(call))

    def _circuit(self, name: str, failures: tuple[type[Exception], ...]) -> Circuit | None:
        if self._breakers is None or self._clock is None:
            return None
        if name not in self._circuits:
            self._circuits[name] = Circuit(name, self._breakers, self._clock, failures=failures)
        return self._circuits[name]


class Reach:
    """Implements bridge.ports.Connections for one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        outside: Outside,
        copies: Copies | None = None,
        runs: Runs | None = None,
    ) -> None:
        self.cluster = cluster
        self.clock = clock
        self.copies: Copies = copies if copies is not None else NoCopies()
        self.runs: Runs = runs if runs is not None else NoRuns()
        self._outside = outside

    def over(self, cluster: Cluster) -> Reach:
        """Return the same with `cluster` in the cluster's place."""
        other = copy.copy(self)
        other.cluster = cluster
        return other

    def check(self, sort: str, name: str, arguments: Sequence[str] = ()) -> None:
        self._outside.check(sort, name, arguments)

    async def promql(self, query: str) -> list[Sample]:
        return await self._outside.promql(query)

    async def http_status(self, url: str) -> int:
        return await self._outside.http_status(url)

    async def http(self, request: HttpRequest) -> HttpReply:
        return await self._outside.http(request)

    async def sql(
        self,
        connection: str,
        statement: str,
        arguments: Sequence[Any] = (),
        *,
        deadline: float = 30.0,
        read_only: bool = False,
    ) -> SqlReply:
        return await self._outside.sql(connection, statement, arguments, deadline=deadline, read_only=read_only)

    async def redis(self, connection: str, command: Sequence[str], *, address: str = "") -> Any:
        return await self._outside.redis(connection, command, address=address)

    async def command(self, name: str, arguments: Sequence[str], *, deadline: float = 30.0) -> ExecReply:
        return await self._outside.command(name, arguments, deadline=deadline)

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        self._outside.check("exec", pod, command)
        return await self.cluster.exec(namespace, pod, command, container=container, deadline=deadline)

    async def served_certificate(self, url: str) -> str:
        return await self._outside.served_certificate(url)

    async def tls_pair(self, name: str) -> tuple[bytes, bytes]:
        return await self._outside.tls_pair(name)

    async def notify(self, channel: str, message: Message) -> None:
        await self._outside.notify(channel, message)


class NoCopies:
    """Implements bridge.ports.Copies where nothing is kept: there is no store."""

    async def keep(self, ref: ObjectRef, copy: Copy) -> bool:
        return False

    async def of(self, ref: ObjectRef) -> list[Copy]:
        return []

    async def watched(self, ref: ObjectRef, manifest: dict[str, Any], *, well: bool, gap: float) -> float:
        return 0.0

    async def take_turn(self, seconds: float) -> bool:
        return False


class NoRuns:
    """Implements bridge.ports.Runs where no other runbook can be run."""

    def order(
        self, run: Remediation | None, runbook: str, labels: Mapping[str, str], params: Mapping[str, Any]
    ) -> Ordered:
        raise PermanentError("no other runbook can be run from here")

    async def ask(self, order: Mapping[str, Any]) -> None:
        raise PermanentError("no other runbook can be run from here")

    async def found(self, order: Mapping[str, Any]) -> RemediationView | None:
        return None


def reaches(
    get_cluster: Callable[[str], Cluster],
    clock: Clock,
    outside: Outside,
    copies: Copies | None = None,
    runs: Runs | None = None,
) -> Callable[[str], Reach]:
    """Return what makes a cluster's name into its Reach. Raises InvalidInput for an unknown name."""
    return lambda name: Reach(get_cluster(name), clock, outside, copies, runs)
