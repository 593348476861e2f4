"""Kubernetes API servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bridge.model.outside import ExecReply, HttpReply
from bridge.model.target import ObjectRef


class Cluster(Protocol):
    """One Kubernetes API server. Names and namespaces are checked against RFC 1123 before any request.

    Nothing at all is sent about a Secret outside `secret_namespaces`: SecretsClosed, which names the setting.
    Raises the Kube* errors of bridge.errors; a mutating call whose reply was lost raises KubeReplyLost.
    Every call has a deadline of its own (seconds), 10 by default.
    """

    name: str

    async def get(self, ref: ObjectRef) -> dict[str, Any]: ...

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | None = None,
        limit: int = 500,
        everywhere: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the objects; an empty label mapping is refused. `str` is a selector from an object's spec.

        A cluster-wide kind has the namespace "". For a namespaced one an empty namespace is refused, unless
        `everywhere` asks for the objects of all namespaces.
        """
        ...

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        """Return the object (None: it is not there) once `holds` of it, or as it is after `deadline` seconds.

        It lists and watches instead of asking again and again: the verbs are `list` and `watch`. For waits within
        one look, so a few seconds long. Raises Kube* errors; those for now only when they last to the end.
        """
        ...

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        """Send a merge patch (RFC 7386) with fieldManager `alertbridge` and return the object."""
        ...

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """POST the object; KubeConflict (reason AlreadyExists) where one of that name is there."""
        ...

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        """Server-side apply with fieldManager `alertbridge`; KubeConflict where another manager owns a field."""
        ...

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        """Delete under the preconditions uid (`ref.uid`, required) and, where given, resourceVersion.

        Raises KubeNotFound, and KubeConflict when a precondition does not hold.
        """
        ...

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        """Evict the pod with `ref.uid`; KubeBusy when a disruption budget says wait."""
        ...

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        """Run an argument list in a container, without a shell of ours; output is bounded, its end is kept.

        Raises KubeReplyLost when the connection broke or the deadline (seconds) passed after it began.
        """
        ...

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        previous: bool = False,
        lines: int = 100,
        since: float | None = None,
    ) -> str:
        """Return a container's last lines, newest last; with `since`, only those of so many seconds."""
        ...

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        """GET through the API server's service proxy and return the HTTP status."""
        ...

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        """GET through the API server's service proxy and return the answer, its body bounded."""
        ...

    async def health(self, path: str) -> HttpReply:
        """GET one of the server's own health endpoints, e.g. `/readyz?verbose`."""
        ...


class Clusters(Protocol):
    def get(self, name: str) -> Cluster:
        """Return the named connection; raise InvalidInput when there is none."""
        ...
