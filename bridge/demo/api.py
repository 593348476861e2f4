"""Requests to the API server, answered. Called by `server` with plain data; does no I/O and knows no aiohttp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bridge.demo import discovery, metrics, rbac, subresources
from bridge.demo.deletion import delete_collection, delete_object
from bridge.demo.exec import ExecResult, is_running
from bridge.demo.logs import choose_container
from bridge.demo.objects import Obj, name_of
from bridge.demo.patches import APPLY_PATCH, check_content_type, decode_patch
from bridge.demo.paths import ApiPath, parse
from bridge.demo.resources import NOT_SERVED, Resource, not_served_reason
from bridge.demo.status_errors import (
    PageNotFound,
    bad_request,
    method_not_allowed,
    no_such_resource,
    not_found,
    not_served,
    unauthorized,
    unsupported_format,
)
from bridge.demo.verbs import Options, Verbs, missing_manager
from bridge.demo.versions import as_version
from bridge.demo.watch import Selection, Watch, is_true, list_page, select

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

_JSON_TYPES = ("application/json", "", "*/*")


@dataclass(frozen=True)
class ApiRequest:
    """A request as it came in; `path` still escaped."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""
    content_type: str = ""
    user_agent: str = ""
    user: str = rbac.ADMIN
    address: str = ""
    command: tuple[str, ...] = ()


@dataclass
class ApiReply:
    """A complete answer: an object, or a plain text."""

    status: int
    body: Obj | str
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ExecSession:
    """An exec that may begin: the server turns it into frames."""

    result: ExecResult


class Api:
    """Routes requests to the verbs. `handle` raises ApiError or PageNotFound for refusals."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._verbs = Verbs(cluster)

    def user_of(self, authorization: str, admin_token: str | None) -> str:
        """Who a request is from. Raises ApiError 401. Without an admin token, a nameless request is the admin's."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token in self._cluster.tokens:
            return self._cluster.tokens[token]
        if admin_token is None and (not authorization or not self._cluster.tokens):
            return rbac.ADMIN
        if admin_token is not None and scheme.lower() == "bearer" and token == admin_token:
            return rbac.ADMIN
        raise unauthorized()

    def handle(self, request: ApiRequest) -> ApiReply | Watch | ExecSession:
        """The answer to a request."""
        if request.method == "GET":
            well = discovery.health(self._cluster, request.path, "verbose" in request.query)
            if well is not None:
                return ApiReply(*well)
            document = discovery.answer(self._cluster, request.path, request.address)
            if document is not None:
                return ApiReply(200, document)
        path = parse(request.path)
        if path is None or not path.plural:
            if reason := not_served_reason(request.path):
                raise not_served(reason)
            raise PageNotFound
        resource = self._cluster.registry.find(path.group, path.version, path.plural)
        if resource is None:
            return self._missing(path)
        self._check_path(request, path, resource)
        self._authorize(request, path, resource)
        if path.subresource:
            return self._subresource(request, path, resource)
        return self._main(request, path, resource)

    def _missing(self, path: ApiPath) -> ApiReply:
        if reason := not_served_reason(path.without_namespace):
            raise not_served(reason)
        known = any(group == path.group for group, _ in self._cluster.registry.group_versions())
        if known and path.group == "":
            raise no_such_resource()
        raise PageNotFound

    def _check_path(self, request: ApiRequest, path: ApiPath, resource: Resource) -> None:
        if "/" in path.name or "/" in path.namespace or path.name in (".", ".."):
            raise no_such_resource()
        if not resource.namespaced and path.namespace:
            raise no_such_resource()
        if resource.namespaced and path.name and not path.namespace:
            raise no_such_resource()
        if path.subresource and path.subresource not in (*resource.subresources, "exec"):
            if what := NOT_SERVED.get(f"{resource.plural}/{path.subresource}"):
                raise not_served(what)
            raise no_such_resource()

    def _authorize(self, request: ApiRequest, path: ApiPath, resource: Resource) -> None:
        if request.user == rbac.ADMIN or resource.group == "authorization.k8s.io":
            return
        verb = _verb(request, path)
        action = rbac.Action(verb, path.group, path.plural, path.subresource, path.namespace, path.name)
        if not rbac.is_allowed(self._cluster, request.user, action):
            raise rbac.refusal(request.user, action)
        if path.subresource == "exec" and verb == "get":
            # Since 1.35 a command over a WebSocket needs `create` too, as it always did over SPDY.
            creating = replace(action, verb="create")
            if not rbac.is_allowed(self._cluster, request.user, creating):
                raise rbac.refusal(request.user, creating)

    # The main resource

    def _main(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ApiReply | Watch:
        if request.method == "GET":
            return self._read(request, path, resource)
        if resource.group == metrics.GROUP:
            raise method_not_allowed()
        if request.method == "POST" and not path.name:
            return self._post(request, path, resource)
        if request.method == "DELETE":
            return self._delete(request, path, resource)
        if request.method in ("PUT", "PATCH") and path.name:
            return self._write(request, path, resource, "")
        raise method_not_allowed()

    def _read(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ApiReply | Watch:
        if "get" not in resource.verbs:
            raise method_not_allowed()
        version = _api_version(path)
        watching = is_true(request.query.get("watch"))
        if path.name and not watching:
            return ApiReply(200, as_version(self._one(path, resource), version))
        selection = Selection.of(resource, path.namespace, path.name, version, request.query)
        if watching:
            return Watch(self._cluster, selection, request.query)
        return ApiReply(200, list_page(self._cluster, selection, request.query))

    def _one(self, path: ApiPath, resource: Resource) -> Obj:
        if resource.group != metrics.GROUP:
            return self._verbs.current(resource, path.namespace, path.name)
        for told in metrics.objects(self._cluster, resource, path.namespace):
            if name_of(told) == path.name:
                return told
        raise not_found(resource, path.name)

    def _post(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ApiReply:
        body = _json_body(request)
        options = _options(request, path)
        if resource.plural == "selfsubjectaccessreviews":
            return ApiReply(201, self._review(request, resource, body, options))
        self._only_kept_version(path, resource)
        created = self._verbs.create(resource, path.namespace, body, options)
        return ApiReply(201, created, options.warnings)

    def _review(self, request: ApiRequest, resource: Resource, body: Obj, options: Options) -> Obj:
        asked = (body.get("spec") or {}).get("resourceAttributes") or {}
        action = rbac.Action(
            asked.get("verb", ""),
            asked.get("group", ""),
            asked.get("resource", ""),
            asked.get("subresource", ""),
            asked.get("namespace", ""),
            asked.get("name", ""),
        )
        allowed = rbac.is_allowed(self._cluster, request.user, action)
        return subresources.review_access(self._cluster, resource, body, options, allowed)

    def _write(self, request: ApiRequest, path: ApiPath, resource: Resource, subresource: str) -> ApiReply:
        options = _options(request, path)
        self._only_kept_version(path, resource)
        if request.method == "PUT":
            body = _json_body(request)
            changed = self._verbs.replace(resource, path.namespace, path.name, body, options, subresource)
            return ApiReply(200, changed, options.warnings)
        check_content_type(resource, request.content_type)
        if request.content_type == APPLY_PATCH:
            if not request.query.get("fieldManager"):
                raise missing_manager()
            if subresource:
                raise not_served("server-side apply to a subresource")
            config = _yaml_body(request)
            applied, created = self._verbs.apply(resource, path.namespace, path.name, config, options)
            return ApiReply(201 if created else 200, applied, options.warnings)
        self._verbs.current(resource, path.namespace, path.name)
        patch = decode_patch(request.body, request.content_type)
        changed = self._verbs.patch(
            resource, path.namespace, path.name, patch, request.content_type, options, subresource
        )
        return ApiReply(200, changed, options.warnings)

    @staticmethod
    def _only_kept_version(path: ApiPath, resource: Resource) -> None:
        if path.version != resource.version:
            raise not_served(f"writing {resource.plural} as {path.group}/{path.version}; use {resource.version}")

    def _delete(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ApiReply:
        given = _json_body(request) if request.body.strip() else {}
        wanted = given | {
            key: request.query[key] for key in ("propagationPolicy", "gracePeriodSeconds") if key in request.query
        }
        if "gracePeriodSeconds" in wanted:
            wanted["gracePeriodSeconds"] = int(wanted["gracePeriodSeconds"])
        dry_run = _is_dry_run(request) or wanted.get("dryRun") == ["All"]
        if path.name:
            obj = self._verbs.current(resource, path.namespace, path.name)
            body, _ = delete_object(self._cluster, resource, obj, wanted, dry_run=dry_run)
            return ApiReply(200, as_version(body, _api_version(path)))
        selection = Selection.of(resource, path.namespace, "", _api_version(path), request.query)
        found = select(self._cluster, selection)
        page = list_page(self._cluster, selection, {})
        delete_collection(self._cluster, resource, found, wanted, dry_run=dry_run)
        return ApiReply(200, page)

    # Subresources

    def _subresource(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ApiReply | ExecSession:
        if path.subresource == "status":
            if request.method == "GET":
                return ApiReply(200, self._verbs.current(resource, path.namespace, path.name))
            if request.method in ("PUT", "PATCH"):
                return self._write(request, path, resource, "status")
        if path.subresource == "scale":
            return self._scale(request, path, resource)
        if path.subresource == "eviction" and request.method == "POST":
            body, dry_run = _json_body(request), _is_dry_run(request)
            done = subresources.evict(self._cluster, resource, path.namespace, path.name, body, dry_run=dry_run)
            return ApiReply(201, done)
        if path.subresource == "log" and request.method == "GET":
            text = subresources.read_log(self._cluster, resource, path.namespace, path.name, request.query)
            return ApiReply(200, text)
        if path.subresource == "proxy":
            status, body_text = subresources.proxy_service(
                self._cluster, resource, path.namespace, path.name, request.method, path.rest
            )
            return ApiReply(status, body_text)
        if path.subresource == "exec":
            return self._exec(request, path, resource)
        if path.subresource == "finalize":
            raise not_served("finalizing a namespace by hand")
        raise method_not_allowed()

    def _scale(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ApiReply:
        obj = self._verbs.current(resource, path.namespace, path.name)
        if request.method == "GET":
            return ApiReply(200, subresources.scale_of(obj))
        options = _options(request, path)
        content_type = request.content_type if request.method == "PATCH" else ""
        if request.method == "PATCH":
            check_content_type(resource, content_type)
            if content_type == APPLY_PATCH:
                raise not_served("server-side apply to a subresource")
            change: Any = decode_patch(request.body, content_type)
        elif request.method == "PUT":
            change = _json_body(request)
        else:
            raise method_not_allowed()
        scaled = subresources.write_scale(self._cluster, self._verbs, resource, obj, change, content_type, options)
        return ApiReply(200, scaled)

    def _exec(self, request: ApiRequest, path: ApiPath, resource: Resource) -> ExecSession:
        pod = self._cluster.store.get(resource.key, path.namespace, path.name)
        if pod is None:
            raise not_found(resource, path.name)
        container = choose_container(pod, request.query.get("container", ""))
        if not request.command:
            raise bad_request("you must specify at least 1 command for the container")
        subresources.check_kubelet(self._cluster, pod)
        if not is_running(pod, container):
            return ExecSession(ExecResult(error=f'unable to upgrade connection: container not found ("{container}")'))
        return ExecSession(self._cluster.programs.run(pod, container, list(request.command)))


def _verb(request: ApiRequest, path: ApiPath) -> str:
    """The verb by which RBAC knows a request."""
    if request.method in ("GET", "HEAD"):
        if is_true(request.query.get("watch")):
            return "watch"
        return "get" if path.name else "list"
    if request.method == "DELETE":
        return "delete" if path.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())


def _api_version(path: ApiPath) -> str:
    return f"{path.group}/{path.version}" if path.group else path.version


def _is_dry_run(request: ApiRequest) -> bool:
    asked = request.query.get("dryRun")
    if asked not in (None, "", "All"):
        raise bad_request(f'invalid dryRun: Unsupported value: {json.dumps(asked)}: supported values: "All"')
    return asked == "All"


def _options(request: ApiRequest, path: ApiPath) -> Options:
    manager = request.query.get("fieldManager") or request.user_agent.partition("/")[0] or "unknown"
    validation = request.query.get("fieldValidation", "Warn")
    options = Options(manager=manager, dry_run=_is_dry_run(request), api_version=_api_version(path))
    return replace(
        options,
        strict=validation == "Strict",
        warn=validation == "Warn",
        force=is_true(request.query.get("force")),
    )


def _json_body(request: ApiRequest) -> Obj:
    """The body as an object. Raises ApiError 400 or 415."""
    if request.content_type not in _JSON_TYPES:
        raise unsupported_format(["application/json"])
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the body is not a JSON object")
    if not isinstance(body.get("metadata", {}), dict):
        raise bad_request("json: cannot unmarshal into Go struct field metadata of type ObjectMeta")
    return body


def _yaml_body(request: ApiRequest) -> Obj:
    """The configuration of an apply: YAML, of which JSON is a part."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            body = YAML(typ="safe", pure=True).load(request.body)
        except YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the body is not an object")
    return body
