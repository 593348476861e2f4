"""Collectors `http` and `service`: does it answer. Addresses come from the configuration, never from an alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import PermanentError
from bridge.evidence.answers import ProbeFacts, ProbeParams, probe
from bridge.evidence.base import BaseCollector
from bridge.evidence.objects import PlaceParams, place
from bridge.model.outside import HttpRequest
from bridge.model.peers import AllowedUrl, SecretHeaders
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.ports import ActionContext


class HttpParams(ProbeParams):
    url: AllowedUrl = Field(
        max_length=2048, description="Address; its host has to be in `http.hosts`. Empty: the evidence is missing."
    )
    headers: dict[str, str] = Field(default={}, description="Headers of the request.")
    secret_headers: SecretHeaders = Field(
        default={}, description="Headers whose value is a secret: header to the secret's name in `http.secrets`."
    )


class ServiceParams(ProbeParams, PlaceParams):
    service: str | None = Field(default=None, description="Name of the Service; left out: called as the target is.")
    port: str = Field(default="http", description="Name or number of its port; `https:` before it for TLS.")
    path: str = Field(default="/healthz", description="Path, with its query.")


class Http(BaseCollector):
    """A refused connection is status 0; one that hangs is missing."""

    name = "http"
    summary = "The answer to a GET at an allow-listed address: status, body, and how long it took."
    params: type[BaseModel] = HttpParams
    result: type[BaseModel] = ProbeFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return []

    async def gather(self, context: ActionContext, params: HttpParams) -> ProbeFacts:
        """Return how it answers. A refused connection is status 0; a hung one raises."""
        if not params.url:
            raise PermanentError("no address is given")
        request = HttpRequest(url=params.url, headers=params.headers, secret_headers=params.secret_headers)
        return await probe(context.reach.clock, context.reach.http(request), params)


class Service(BaseCollector):
    """Without a ready endpoint it is status 503."""

    name = "service"
    summary = "The answer to a GET at a Service, through the API server's proxy."
    params: type[BaseModel] = ServiceParams
    result: type[BaseModel] = ProbeFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "Service", "get", subresource="proxy")]

    async def gather(self, context: ActionContext, params: ServiceParams) -> ProbeFacts:
        """Return how it answers; a Service without ready endpoints has status 503."""
        call = context.reach.cluster.service_text(
            place(context, params), params.service or context.target.name, params.port, params.path
        )
        return await probe(context.reach.clock, call, params)
