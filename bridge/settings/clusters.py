"""The clusters, and how an alert says which one it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from bridge.model.fields import Name
from bridge.model.runbook import Duration, Strict


class Connection(Strict):
    """How to reach one cluster: `in_cluster`, `url`, or a kubeconfig (the default)."""

    kubeconfig: str = ""
    """File with the way to the cluster; empty: the one that kubectl would take."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    in_cluster: bool = False
    """The cluster that this pod is in, by its service account."""
    url: str = ""
    """Address of the API server, with `token_file` and `ca_file`."""
    token_file: str = ""
    """With `url`: file with a bearer token."""
    ca_file: str = ""
    """With `url`: authority (PEM) of its certificate; empty: those of the system."""
    deadline: Annotated[Duration, Field(gt=0)] = 10.0
    """How long one request to the API server may take."""

    @model_validator(mode="after")
    def _one_way(self) -> Connection:
        if sum((bool(self.kubeconfig or self.context), self.in_cluster, bool(self.url))) > 1:
            raise ValueError("expected one of `kubeconfig` (with `context`), `in_cluster` and `url`")
        return self


class Clusters(Strict):
    """Which cluster an alert is about. A label value that names none is denied."""

    label: str = Field(default="cluster", min_length=1)
    """The label of an alert that names its cluster."""
    default: str | None = None
    """The connection for alerts without the label. With a single connection it is that one."""
    connections: dict[Name, Connection] = Field(default={})
    """The ways to the clusters, by the names that we call them."""
    names: dict[str, str] = Field(default={})
    """Label value to connection, where they differ; a connection's own name always means itself."""

    def ways(self, env: Mapping[str, str]) -> dict[str, Connection]:
        """Return the connections; with none configured `default`: the pod's own cluster, else the kubeconfig."""
        return dict(self.connections) or {"default": Connection(in_cluster="KUBERNETES_SERVICE_HOST" in env)}

    def default_of(self, ways: Mapping[str, Connection]) -> str | None:
        if "default" in self.model_fields_set:
            return self.default
        return next(iter(ways)) if len(ways) == 1 else None

    @model_validator(mode="after")
    def _known(self) -> Clusters:
        known = set(self.connections) or {"default"}
        for value, name in self.names.items():
            if name not in known:
                raise ValueError(f"names.{value}: no connection is called {name!r}")
        if self.default is not None and self.default not in known:
            raise ValueError(f"default: no connection is called {self.default!r}")
        return self
